"""The one `Client`: verbs on objects to requests, answers to views, on any transport."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import cache
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import urlencode

import msgspec

from steersman.client.body import read_whole
from steersman.client.errors import Unreachable, Unreadable
from steersman.client.interface import (
    Change,
    Deleted,
    Listing,
    PatchType,
    Propagation,
    Transport,
)
from steersman.model import builtin
from steersman.model.errors import Expired, from_status
from steersman.model.kind import Document, Kind
from steersman.model.ref import Ref, Resource
from steersman.model.view import Object
from steersman.wire.message import Channel, Request, Response
from steersman.wire.status import from_body
from steersman.world.interface import World

# client-go's page size for lists
PAGE = 500
# One event of a watch; an object is at most 3 MiB, twice in a frame would still fit
FRAME_BYTES = 8 * 1024 * 1024
# An answer that comes as a stream and is wanted whole: a page of large objects
WHOLE_BYTES = 1024 * 1024 * 1024
# Told by our server where the answer to a DELETE is a Status
REVISION_HEADER = "x-steersman-revision"

_PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}
_METADATA = "application/json;as={};g=meta.k8s.io;v=v1"
_STREAMS = {"portforward": "SPDY/3.1+portforward.k8s.io"}
_STREAM = "v5.channel.k8s.io"

T = TypeVar("T")
# Finds the kind of a resource by group and plural name
Find = Callable[[Resource], Kind | None]


class _ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct, Generic[T], frozen=True):
    items: tuple[T, ...] | None = ()
    metadata: _ListMeta = _ListMeta()


class _Told(msgspec.Struct, Generic[T], frozen=True):
    """An event of a watch whose object is what was asked for."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: T


class _Frame(msgspec.Struct, frozen=True):
    """An event of a watch whose object is not read yet."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


class _Decoders:
    """A view's decoders, made once."""

    def __init__(self, view: type[Any]) -> None:
        self._name = view.__name__
        self._one = msgspec.json.Decoder(view)
        self._page = msgspec.json.Decoder(_Page[view])  # type: ignore[valid-type]
        self._told = msgspec.json.Decoder(_Told[view])  # type: ignore[valid-type]

    def one(self, body: bytes | msgspec.Raw) -> Any:
        """Returns the view of one object; raises Unreadable."""
        return _read(self._one, body, self._name)

    def change(self, line: bytes) -> Change:
        """Returns what a line of a watch tells; raises the error of an ERROR event, Unreadable."""
        try:
            told: Any = self._told.decode(line)
            type, found = told.type, told.object
        except msgspec.DecodeError:
            frame = _read(_frame, line, "event of a watch")
            if frame.type == "ERROR":
                status: Document = _read(_document, frame.object, "Status")
                raise from_status(status) from None
            type, found = frame.type, self.one(frame.object)
        revision = found.metadata.revision
        return Change(type, None if type == "BOOKMARK" else found, revision)

    def page(self, body: bytes) -> _Page[Any]:
        """Returns a page of a list; raises Unreadable."""
        return _read(self._page, body, f"{self._name} list")


@cache
def _decoders(view: Any) -> _Decoders:
    """Returns the decoders of a view, which all clients share."""
    return _Decoders(view)


def _read(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw, name: str) -> T:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise Unreadable(f"the answer is no {name} that can be read: {error}") from None


_frame = msgspec.json.Decoder(_Frame)
_document: msgspec.json.Decoder[Document] = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


def path_of(
    kind: Kind, namespace: str = "", name: str = "", subresource: str = "", version: str = ""
) -> str:
    """Returns the path of an object, a collection or a subresource, without escapes: those are the
    transport's. A slash in a name, which no object has, leads nowhere else."""
    version = version or kind.storage
    path = f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
    if namespace and kind.namespaced:
        path = f"{path}/namespaces/{_plain(namespace)}"
    for part in (kind.plural, _plain(name), *subresource.split("/")):
        if part:
            path = f"{path}/{part}"
    return path


def _plain(name: str) -> str:
    return name.replace("/", "%2F")


class APIClient:
    """See `client.interface.Client`.

    `find` knows the kinds that references name; kinds given in other calls are remembered.
    """

    def __init__(self, transport: Transport, world: World, *, find: Find | None = None) -> None:
        self.identity = transport.identity
        self._transport = transport
        self._world = world
        self._find = find or builtin.registry().of
        self._kinds: dict[Resource, Kind] = {}
        self._metadata_only = False
        # Field ownership is recorded under the component's name, as client-go's default does
        self._agent = self.identity.rpartition(":")[2] or "steersman"

    def metadata_only(self) -> APIClient:
        """Returns a client whose reads ask for metadata alone and give `model.view.Object`."""
        client = APIClient(self._transport, self._world, find=self._find)
        client._metadata_only = True
        return client

    async def close(self) -> None:
        """Releases the transport's connections."""
        await self._transport.close()

    # Reads

    async def get(self, ref: Ref) -> Any:
        """Returns the view of one object; raises NotFound."""
        kind = self._kind(ref.kind)
        body = await self._whole("GET", path_of(kind, ref.namespace, ref.name))
        return self._decoder(kind).one(body)

    async def read(self, path: str, query: Mapping[str, str] | None = None) -> Document:
        """Returns the document at a path; raises NotFound."""
        return _read(_document, await self._whole("GET", path, query), "document")

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> Listing:
        """Returns all matching objects, in pages; a list that outlives its revision starts anew,
        in one page (as client-go's pager does)."""
        selectors = _selectors(labels, fields)
        try:
            return await self._list(kind, namespace, {**selectors, "limit": str(PAGE)})
        except Expired:
            return await self._list(kind, namespace, selectors)

    async def _list(self, kind: Kind, namespace: str, query: Mapping[str, str]) -> Listing:
        path, decoder = path_of(kind, namespace), self._decoder(kind).page
        page = decoder(await self._whole("GET", path, query, list=True))
        items = page.items or ()
        while page.metadata.continue_:
            following = {**query, "continue": page.metadata.continue_}
            page = decoder(await self._whole("GET", path, following, list=True))
            items += page.items or ()
        return Listing(items, int(page.metadata.resource_version or 0))

    async def watch(
        self, kind: Kind, namespace: str = "", *, after: int, labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[Change, ...]]:
        """Yields changes after a revision until the server ends the watch; raises Expired."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(after),
            **_selectors(labels, fields),
        }
        request = self._request("GET", path_of(kind, namespace), query)
        response = await self._ask(request)
        change = self._decoder(kind).change
        body = response.body
        pieces = body if isinstance(body, AsyncIterator) else _once(body)
        async with aclosing(_frames(pieces)) as frames:
            async for batch in frames:
                yield tuple(map(change, batch))

    # Writes

    async def create(
        self, kind: Kind, document: Document, *, namespace: str = "", dry_run: bool = False
    ) -> Any:
        """Creates an object and returns its view; raises AlreadyExists, Invalid, Forbidden."""
        namespace = namespace or document.get("metadata", {}).get("namespace", "")
        query = {"dryRun": "All"} if dry_run else {}
        content = _encode(_typed(kind, document))
        return await self._write("POST", kind, path_of(kind, namespace), query, content)

    async def patch(
        self,
        ref: Ref,
        patch: Mapping[str, Any] | Sequence[Any],
        *,
        how: PatchType = "merge",
        subresource: str = "",
        uid: str = "",
        revision: int = 0,
        dry_run: bool = False,
    ) -> Any:
        """Changes an object and returns its view; with `uid` or `revision` only that very one
        (Conflict otherwise)."""
        kind = self._kind(ref.kind)
        path = path_of(kind, ref.namespace, ref.name, subresource)
        content = _encode(_conditional(patch, how, uid, revision))
        query = {"dryRun": "All"} if dry_run else {}
        return await self._write("PATCH", kind, path, query, content, _PATCHES[how])

    async def update(self, ref: Ref, document: Document, *, subresource: str = "") -> Any:
        """Replaces an object by a whole document and returns its view."""
        kind = self._kind(ref.kind)
        path = path_of(kind, ref.namespace, ref.name, subresource)
        return await self._write("PUT", kind, path, {}, _encode(_typed(kind, document)))

    async def write(self, path: str, document: Document) -> Document:
        """Replaces the document at a path and returns what became of it; raises Conflict."""
        answer = await self._whole("PUT", path, {}, _encode(document))
        return _read(_document, answer, "document")

    async def apply(
        self,
        ref: Ref,
        document: Document,
        *,
        manager: str,
        force: bool = False,
        subresource: str = "",
    ) -> Any:
        """Applies fields as a field manager and returns the view; raises Conflict."""
        kind = self._kind(ref.kind)
        path = path_of(kind, ref.namespace, ref.name, subresource)
        query = {"fieldManager": manager, **({"force": "true"} if force else {})}
        content = _encode(_typed(kind, document))
        return await self._write(
            "PATCH", kind, path, query, content, "application/apply-patch+yaml"
        )

    async def delete(
        self,
        ref: Ref,
        *,
        uid: str = "",
        revision: int = 0,
        grace_seconds: int | None = None,
        propagation: Propagation = "",
    ) -> Deleted:
        """Deletes one object; raises NotFound, Conflict."""
        kind = self._kind(ref.kind)
        options = _encode(_delete_options(uid, revision, grace_seconds, propagation))
        path = path_of(kind, ref.namespace, ref.name)
        request = self._request("DELETE", path, {}, options)
        response = await self._ask(request)
        body = await whole(response)
        told = _header(response, REVISION_HEADER)
        if _read(_document, body, kind.name).get("kind") == "Status":
            return Deleted(None, int(told or 0))
        found = self._decoder(kind).one(body)
        meta = found.metadata
        # Some kinds answer with the object even where it is gone (pods); what remains waits for
        # somebody: for finalizers, or for the node to end it
        waits = meta.finalizers or meta.deletion_grace_period_seconds
        remains = meta.deletion_timestamp is not None and bool(waits)
        return Deleted(found if remains else None, int(told or meta.revision))

    async def delete_collection(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> None:
        """Deletes all matching objects."""
        await self._whole("DELETE", path_of(kind, namespace), _selectors(labels, fields))

    async def post(self, ref: Ref, subresource: str, document: Document) -> Document:
        """Posts to a subresource and returns the answering document."""
        path = path_of(self._kind(ref.kind), ref.namespace, ref.name, subresource)
        body = await self._whole("POST", path, {}, _encode(document))
        return _read(_document, body, subresource)

    async def stream(self, ref: Ref, subresource: str, query: str = "") -> Channel:
        """Opens an upgraded stream: what comes back speaks WebSocket frames with the subprotocol
        v5.channel.k8s.io, or for port-forward SPDY/3.1+portforward.k8s.io."""
        path = path_of(self._kind(ref.kind), ref.namespace, ref.name, subresource)
        key = base64.b64encode(self._world.uid().replace("-", "")[:16].encode()).decode()
        headers = {
            "user-agent": self._agent,
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": key,
            "sec-websocket-protocol": _STREAMS.get(subresource, _STREAM),
        }
        return await self._transport.upgrade(Request("GET", path, query, headers))

    # Requests

    def _kind(self, resource: Resource) -> Kind:
        kind = self._find(resource) or self._kinds.get(resource)  # custom ones may change
        if kind is None:
            raise LookupError(f"{resource} is not a kind that this client knows")
        self._kinds[resource] = kind
        return kind

    def _decoder(self, kind: Kind) -> _Decoders:
        self._kinds.setdefault(kind.resource, kind)
        view: Any = Object if self._metadata_only or kind.view is None else kind.view
        return _decoders(view)

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes = b"",
        content_type: str = "application/json",
        *,
        list: bool = False,
    ) -> Request:
        headers = {"accept": "application/json", "user-agent": self._agent}
        if self._metadata_only and method == "GET":
            headers["accept"] = _METADATA.format(f"PartialObjectMetadata{'List' if list else ''}")
        if body:
            headers["content-type"] = content_type
        return Request(method, path, urlencode(query) if query else "", headers, body)

    async def _ask(self, request: Request) -> Response:
        """Sends a request; raises the error that its answer tells."""
        response = await self._transport.send(request)
        if response.status >= 400:
            raise from_body(response.status, await whole(response))
        return response

    async def _whole(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        list: bool = False,
    ) -> bytes:
        return await whole(
            await self._ask(self._request(method, path, query or {}, body, list=list))
        )

    async def _write(
        self,
        method: str,
        kind: Kind,
        path: str,
        query: Mapping[str, str],
        body: bytes,
        content_type: str = "application/json",
    ) -> Any:
        request = self._request(method, path, query, body, content_type)
        answer = await whole(await self._ask(request))
        return self._decoder(kind).one(answer)


async def whole(response: Response) -> bytes:
    """Returns a body whole, however it comes; raises Unreachable for one beyond all bounds."""
    found = await read_whole(response.body, WHOLE_BYTES)
    if found is None:
        raise Unreachable(f"the answer is longer than {WHOLE_BYTES} bytes")
    return found


def _header(response: Response, name: str) -> str:
    headers = response.headers or {}
    return next((value for key, value in headers.items() if key.lower() == name), "")


def _selectors(labels: str, fields: str) -> dict[str, str]:
    chosen = {"labelSelector": labels, "fieldSelector": fields}
    return {name: value for name, value in chosen.items() if value}


def _typed(kind: Kind, document: Document) -> Document:
    """Returns the document with its type, where it does not name one."""
    return {"apiVersion": kind.api_version(), "kind": kind.name, **document}


def _conditional(
    patch: Mapping[str, Any] | Sequence[Any], how: PatchType, uid: str, revision: int
) -> Mapping[str, Any] | Sequence[Any]:
    """Returns the patch with its preconditions: a uid or resourceVersion in a patch that differs
    from the object's is a Conflict."""
    wanted = {"uid": uid, "resourceVersion": str(revision) if revision else ""}
    wanted = {name: value for name, value in wanted.items() if value}
    if not wanted:
        return patch
    if isinstance(patch, Mapping):
        return {**patch, "metadata": {**(patch.get("metadata") or {}), **wanted}}
    tests = [
        {"op": "replace", "path": f"/metadata/{name}", "value": value}
        for name, value in wanted.items()
    ]
    return [*tests, *patch]


def _delete_options(
    uid: str, revision: int, grace_seconds: int | None, propagation: Propagation
) -> Document:
    options: Document = {"kind": "DeleteOptions", "apiVersion": "v1"}
    conditions = {"uid": uid, "resourceVersion": str(revision) if revision else ""}
    if conditions := {name: value for name, value in conditions.items() if value}:
        options["preconditions"] = conditions
    if grace_seconds is not None:
        options["gracePeriodSeconds"] = grace_seconds
    if propagation:
        options["propagationPolicy"] = propagation
    return options


async def _once(body: object) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body


async def _frames(pieces: AsyncIterator[bytes]) -> AsyncGenerator[list[bytes], None]:
    """Yields the whole lines that came together."""
    rest = b""
    try:
        async for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > FRAME_BYTES:
                raise Unreachable(f"an event of the watch is longer than {FRAME_BYTES} bytes")
            if lines := [line for line in lines if line]:
                yield lines
        if rest:
            yield [rest]
    finally:
        if close := getattr(pieces, "aclose", None):
            await close()
