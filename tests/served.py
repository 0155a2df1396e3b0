"""The API server of a new cluster in a simulated world, as a value that tests talk to.

`@served` turns `async def test(api)` into a test: the server is built as `cluster.py` builds it, on
a memory store, and time is virtual. Nothing of the server is replaced.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson

from steersman.api.access.settings import AccessSettings
from steersman.api.access.tokens import new_key
from steersman.api.admission.plugins.registry import AdmissionSettings
from steersman.api.assembly import Assembly, Configuration
from steersman.api.audit.settings import AuditSettings
from steersman.api.cache import Cache
from steersman.api.encryption.configuration import NO_ENCRYPTION, Encryption
from steersman.api.encryption.sealed_store import SealedStore
from steersman.api.fairness.settings import FlowSettings
from steersman.api.retention.events import TTL_SECONDS
from steersman.model.errors import APIError
from steersman.model.pack import NUMBER
from steersman.store.memory import MemoryStore
from steersman.wire.media import refusal
from steersman.wire.message import JSON, Chunk, Peer, Request, Response, User
from steersman.world.clock import Clock
from steersman.world.simulated import SimulatedWorld, simulate

Document = dict[str, Any]

ADMIN = User("admin", ("system:masters", "system:authenticated"))
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"
METADATA_LIST = METADATA.replace("Metadata;", "MetadataList;")


@cache
def signing_key() -> bytes:
    """Returns one key for all tests: making it takes longer than most of them."""
    return new_key()


class Answer(NamedTuple):
    """What a client was answered; `document` is the parsed JSON, or the bytes of anything else."""

    code: int
    document: Any
    headers: Mapping[str, str]

    @property
    def message(self) -> str:
        """The message of a Status."""
        text: str = self.document["message"]
        return text

    @property
    def revision(self) -> str:
        """The resourceVersion of an object or a list."""
        text: str = self.document["metadata"]["resourceVersion"]
        return text

    @property
    def names(self) -> list[str]:
        """The names of a list's items."""
        return [item["metadata"]["name"] for item in self.document["items"]]

    def ok(self) -> Document:
        """Returns the document of a success; fails the test otherwise."""
        assert self.code < 300, self.document
        document: Document = self.document
        return document


class Watched:
    """An open watch: a sink whose other end takes nothing unless told to. A frame is its document,
    or its bytes where it is not JSON."""

    def __init__(self, content_type: str = JSON) -> None:
        self.content_type = content_type
        self.frames: list[Any] = []
        self.finished = False
        self.broken = False
        self.pending = 0
        self.slow = False
        self.leave: Callable[[], None] = lambda: None
        self._came = asyncio.Event()

    def send(self, chunk: Chunk) -> None:
        """Takes a piece: one whole frame."""
        whole = self.content_type == JSON
        self.frames.append(orjson.loads(chunk.data) if whole else chunk.data)
        if self.slow:
            self.pending += len(chunk.data)
        self._came.set()

    def finish(self) -> None:
        """Hears that the stream ends."""
        self.finished = True
        self._came.set()

    def abort(self) -> None:
        """Hears that the stream breaks off."""
        self.broken = True
        self.finish()

    async def next(self) -> Any:
        """Returns the next frame, waiting in virtual time."""
        while not self.frames:
            assert not self.finished, "the watch has ended"
            self._came.clear()
            async with asyncio.timeout(3600):
                await self._came.wait()
        return self.frames.pop(0)

    async def end(self) -> None:
        """Waits until the stream has ended."""
        while not self.finished:
            self._came.clear()
            async with asyncio.timeout(7200):
                await self._came.wait()

    def close(self) -> None:
        """Goes away, as a client does."""
        self.leave()

    def brief(self) -> list[tuple[str, str]]:
        """Returns type and name of every frame so far, and forgets them."""
        found = [
            (frame["type"], frame["object"].get("metadata", {}).get("name", ""))
            for frame in self.frames
        ]
        self.frames.clear()
        return found


class Served:
    """A server and ways to ask it."""

    def __init__(self, assembly: Assembly, store: MemoryStore, world: SimulatedWorld) -> None:
        self.assembly = assembly
        self.store = store
        self.world = world

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content: str = "application/json",
        accept: str = "",
        user: User = ADMIN,
        agent: str = "tests",
        peer: Peer | None = None,
        **query: str,
    ) -> Answer:
        """Sends a request; errors come as the answer that a client is given. With a `peer` it comes
        from outside, else from a part of the server."""
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        headers = {"content-type": content, "user-agent": agent}
        if accept:
            headers["accept"] = accept
        request = Request(method, path, urlencode(query), headers, data, peer=peer, user=user)
        try:
            response = self.assembly.api.handle(request)
            if not isinstance(response, Response):
                response = await response
        except APIError as error:
            response = refusal(error, accept)
        return Answer(response.status, await _document(response), response.headers or {})

    async def get(self, path: str, **more: Any) -> Answer:
        """Reads an object or a list."""
        return await self.ask("GET", path, **more)

    async def post(self, path: str, body: Any, **more: Any) -> Answer:
        """Creates."""
        return await self.ask("POST", path, body, **more)

    async def put(self, path: str, body: Any, **more: Any) -> Answer:
        """Replaces."""
        return await self.ask("PUT", path, body, **more)

    async def patch(self, path: str, body: Any, how: str = MERGE, **more: Any) -> Answer:
        """Patches."""
        return await self.ask("PATCH", path, body, content=how, **more)

    async def delete(self, path: str, body: Any = None, **more: Any) -> Answer:
        """Deletes an object or a collection."""
        return await self.ask("DELETE", path, body, **more)

    async def watch(
        self, path: str, *, accept: str = "", user: User = ADMIN, **query: str
    ) -> Watched:
        """Opens a watch; raises APIError where it is refused."""
        response = await self._answer_to_watch(path, accept, user, query)
        assert callable(response.body), "no stream"
        watched = Watched(response.content_type)
        watched.leave = response.body(watched)
        return watched

    async def _answer_to_watch(
        self, path: str, accept: str, user: User, query: Mapping[str, str]
    ) -> Response:
        headers = {"accept": accept} if accept else {}
        text = urlencode({"watch": "1", **query})
        response = self.assembly.api.handle(Request("GET", path, text, headers, user=user))
        return response if isinstance(response, Response) else await response

    async def refused_watch(self, path: str, **query: str) -> Answer:
        """Asks for a watch that is to be refused before its stream begins."""
        try:
            await self._answer_to_watch(path, "", ADMIN, query)
        except APIError as error:
            return Answer(error.code, error.status(), {})
        raise AssertionError("the watch was opened")

    @property
    def revision(self) -> int:
        """The revision that the server stands at."""
        return self.assembly.cache.revision


async def _document(response: Response) -> Any:
    body = response.body
    if isinstance(body, AsyncIterator):
        body = b"".join([piece async for piece in body])
    assert isinstance(body, bytes), "a stream where a document was expected"
    return orjson.loads(body) if response.content_type == JSON else body


@asynccontextmanager
async def serving(
    world: SimulatedWorld,
    store: MemoryStore | None = None,
    dns: tuple[str, int] = ("", 53),
    access: AccessSettings | None = None,
    flow: FlowSettings | None = None,
    admission: AdmissionSettings | None = None,
    audit: AuditSettings | None = None,
    encryption: Encryption | None = None,
    minor: int = NUMBER,
    clock: Clock | None = None,
    event_seconds: float = TTL_SECONDS,
) -> AsyncIterator[Served]:
    """Runs a server, on a store of its own or on one that has been served before."""
    kept = store or MemoryStore(world)
    configuration = Configuration(
        "10.96.0.0/16",
        signing_key(),
        6443,
        "10.64.0.1",
        dns=dns,
        access=access or AccessSettings(),
        flow=flow or FlowSettings(),
        admission=admission or AdmissionSettings(),
        audit=audit,
        minor=minor,
        clock=clock,
        event_seconds=event_seconds,
    )
    sealed = SealedStore(kept, encryption or NO_ENCRYPTION)
    cache = Cache(sealed, world, stale=sealed.stale, unreadable=sealed.unreadable)
    assembly = Assembly(cache, configuration, world)
    async with world.tasks() as tasks:
        started = asyncio.Event()
        tasks.start(assembly.run(started.set), name="api")
        await started.wait()
        yield Served(assembly, kept, world)
        tasks.stop()


def served(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Makes a test of an `async def` whose first argument is a `Served`."""

    def run(**arguments: Any) -> None:
        async def main(world: SimulatedWorld) -> None:
            async with serving(world) as api:
                await prepare(api)
                await test(api, **arguments)

        simulate(1, main)

    signature = inspect.signature(test)
    first, *others = signature.parameters.values()
    del first
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    run.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
    run.pytestmark = getattr(test, "pytestmark", [])  # type: ignore[attr-defined]
    return run


async def prepare(api: Served) -> None:
    """Makes the account that the controllers would make: without it no pod is admitted."""
    account = {"metadata": {"name": "default"}}
    (await api.post("/api/v1/namespaces/default/serviceaccounts", account)).ok()


def config_map(name: str, **data: str) -> Document:
    """Returns a ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": data,
    }


def pod(name: str, **spec: Any) -> Document:
    """Returns a Pod with one container."""
    containers = [{"name": "main", "image": "busybox"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, **spec},
    }


def deployment(name: str, replicas: int = 1) -> Document:
    """Returns a Deployment."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod(name)["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template,
        },
    }


def service(name: str, **spec: Any) -> Document:
    """Returns a Service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}], **spec},
    }


MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
NAMESPACES = "/api/v1/namespaces"
