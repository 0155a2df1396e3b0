"""One suite for `Client` on every transport: in process, over TLS, over a Unix socket.

Behind it stands a small real server: ConfigMaps with one ordered history, in memory.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from steersman.client import kubeconfig
from steersman.client.client import APIClient
from steersman.client.errors import Unreachable, Unreadable
from steersman.client.http import HTTPTransport, Target
from steersman.client.interface import Change, Transport
from steersman.client.local import LocalTransport
from steersman.client.view import FollowedViews
from steersman.listen import certificates
from steersman.listen.serve import Server, tls_context
from steersman.model.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Expired,
    Forbidden,
    NotFound,
    TooManyRequests,
    already_exists,
    conflict,
    not_found,
)
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.wire.message import Channel, Chunk, Request, Response, Sink, Upgrade, User
from steersman.world.real import RealWorld

WAIT = 60.0
COLLECTION = "/api/v1/configmaps"
PLURAL = "configmaps"
Document = dict[str, Any]


class ConfigMaps:
    """A server of ConfigMaps: enough of the API for a client to be tried on."""

    def __init__(self) -> None:
        self.revision = 10
        self.oldest = 0
        self.objects: dict[tuple[str, str], Document] = {}
        self.history: list[tuple[int, str, Document]] = []
        self.watches: dict[Sink, Callable[[tuple[int, str, Document]], None]] = {}
        self.requests: list[Request] = []
        self.refusals: list[Exception] = []
        self.watched = asyncio.Event()

    def __call__(self, request: Request) -> Response | Coroutine[Any, Any, Response]:
        self.requests.append(request)
        if self.refusals:
            raise self.refusals.pop(0)
        parts = request.path.removeprefix("/api/v1/").split("/")
        namespace = ""
        if parts[0] == "namespaces":
            namespace, parts = parts[1], parts[2:]
        assert parts.pop(0) == PLURAL
        if not parts:
            return self.collection(request, namespace)
        if len(parts) == 2:
            return self.subresource(request, parts[1])
        return self.later(self.one, request, (namespace, parts[0]))

    async def later(self, act: Callable[..., Response], *arguments: Any) -> Response:
        await asyncio.sleep(0)
        return act(*arguments)

    def collection(self, request: Request, namespace: str) -> Response:
        if request.method == "POST":
            return self.create(request, namespace)
        if request.method == "DELETE":
            for found in self.chosen(request, namespace):
                self.write("DELETED", found)
            return Response(b'{"kind":"Status","status":"Success"}')
        if request.flag("watch"):
            return self.watch(request, namespace)
        return self.list(request, namespace)

    def chosen(self, request: Request, namespace: str) -> list[Document]:
        wanted = request.param("labelSelector")
        label, _, value = wanted.partition("=")
        return [
            found
            for key, found in sorted(self.objects.items())
            if namespace in ("", key[0])
            and (not wanted or found["metadata"].get("labels", {}).get(label) == value)
        ]

    def list(self, request: Request, namespace: str) -> Response:
        limit, start = int(request.param("limit", "0")), request.param("continue", "0")
        if start == "expired":
            raise Expired("too old")
        found = self.chosen(request, namespace)[int(start) :]
        metadata: Document = {"resourceVersion": str(self.revision)}
        if limit and len(found) > limit:
            metadata["continue"] = str(int(start) + limit)
            found = found[:limit]
        document = {"kind": "ConfigMapList", "metadata": metadata, "items": found}
        return Response([json.dumps(document).encode()])

    def watch(self, request: Request, namespace: str) -> Response:
        after = int(request.param("resourceVersion"))
        if after < self.oldest:
            error = Expired("too old resource version")
            frame = json.dumps({"type": "ERROR", "object": error.status()}).encode()

            def fail(sink: Sink) -> Callable[[], None]:
                sink.send(Chunk(frame + b"\n"))
                sink.finish()
                return lambda: None

            return Response(fail)

        def push(sink: Sink) -> Callable[[], None]:
            def tell(event: tuple[int, str, Document]) -> None:
                revision, kind, document = event
                if revision > after and namespace in ("", document["metadata"].get("namespace")):
                    sink.send(
                        Chunk(json.dumps({"type": kind, "object": document}).encode() + b"\n")
                    )

            self.watches[sink] = tell
            for event in self.history:
                tell(event)
            self.watched.set()
            return lambda: self.watches.pop(sink, None) and None

        return Response(push)

    def bookmark(self) -> None:
        self.tell(
            (self.revision, "BOOKMARK", {"metadata": {"resourceVersion": str(self.revision)}})
        )

    def tell(self, event: tuple[int, str, Document]) -> None:
        for sink in list(self.watches):
            if event[1] == "BOOKMARK":
                sink.send(
                    Chunk(json.dumps({"type": event[1], "object": event[2]}).encode() + b"\n")
                )
            else:
                self.watches[sink](event)

    def end_watches(self) -> None:
        for sink in list(self.watches):
            sink.finish()
        self.watched.clear()

    def write(self, kind: str, document: Document) -> Document:
        self.revision += 1
        metadata = {**document["metadata"], "resourceVersion": str(self.revision)}
        document = {**document, "metadata": metadata}
        key = (metadata["namespace"], metadata["name"])
        if kind == "DELETED":
            del self.objects[key]
        else:
            self.objects[key] = document
        self.history.append((self.revision, kind, document))
        self.tell(self.history[-1])
        return document

    def create(self, request: Request, namespace: str) -> Response:
        document = json.loads(request.body)
        name = document["metadata"]["name"]
        assert (document["kind"], document["apiVersion"]) == ("ConfigMap", "v1")
        if (namespace, name) in self.objects:
            raise already_exists("", PLURAL, name)
        document["metadata"] |= {"namespace": namespace, "uid": f"uid-{name}"}
        if request.param("dryRun") != "All":
            document = self.write("ADDED", document)
        return Response(json.dumps(document).encode(), 201)

    def one(self, request: Request, key: tuple[str, str]) -> Response:
        found = self.objects.get(key)
        if request.method == "PATCH" and "apply" in request.headers["content-type"]:
            return self.apply(request, key, found)
        if found is None:
            raise not_found("", PLURAL, key[1])
        if request.method == "GET":
            return Response(json.dumps(found).encode())
        if request.method == "DELETE":
            return self.delete(request, found)
        if request.method == "PUT":
            self.check(json.loads(request.body)["metadata"], found)
            new = {**json.loads(request.body)}
            new["metadata"] = {**found["metadata"], **new["metadata"]}
        else:
            new = self.patched(request, found)
        if request.param("dryRun") != "All":
            new = self.write("MODIFIED", new)
        return Response(json.dumps(new).encode())

    def check(self, wanted: Document, found: Document) -> None:
        for name in ("uid", "resourceVersion"):
            if wanted.get(name) and wanted[name] != found["metadata"][name]:
                raise conflict("", PLURAL, found["metadata"]["name"], "it is another")

    def patched(self, request: Request, found: Document) -> Document:
        patch = json.loads(request.body)
        if request.headers["content-type"] == "application/json-patch+json":
            new = json.loads(json.dumps(found))
            for operation in patch:
                *path, last = operation["path"].strip("/").split("/")
                place = new
                for step in path:
                    place = place[step]
                place[last] = operation["value"]
            self.check(new["metadata"], found)
            return dict(new)
        assert request.headers["content-type"] in (
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        )
        self.check(patch.get("metadata", {}), found)
        data = {**found.get("data", {}), **patch.get("data", {})}
        return {**found, "data": {key: value for key, value in data.items() if value is not None}}

    def apply(self, request: Request, key: tuple[str, str], found: Document | None) -> Response:
        manager, patch = request.param("fieldManager"), json.loads(request.body)
        owner = (found or {}).get("owner", manager)
        if owner != manager and not request.flag("force"):
            raise Conflict("Apply failed with 1 conflict", details={"name": key[1]})
        metadata = {"namespace": key[0], "name": key[1], "uid": f"uid-{key[1]}"}
        new = {**(found or {}), **patch, "owner": manager}
        new["metadata"] = {**metadata, **patch.get("metadata", {})}
        written = self.write("ADDED" if found is None else "MODIFIED", new)
        return Response(json.dumps(written).encode(), 201 if found is None else 200)

    def delete(self, request: Request, found: Document) -> Response:
        options = json.loads(request.body)
        assert options["kind"] == "DeleteOptions"
        self.check(options.get("preconditions", {}), found)
        if found["metadata"].get("finalizers"):
            metadata = {**found["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
            return Response(
                json.dumps(self.write("MODIFIED", {**found, "metadata": metadata})).encode()
            )
        revision = self.write("DELETED", found)["metadata"]["resourceVersion"]
        headers = {"X-Steersman-Revision": revision}
        return Response(b'{"kind":"Status","status":"Success"}', headers=headers)

    def subresource(self, request: Request, name: str) -> Response:
        if name == "token":
            return Response(json.dumps({"asked": json.loads(request.body)}).encode(), 201)
        if name == "refused":
            raise Forbidden("no streams for you")

        async def take(channel: Channel) -> None:
            while data := await channel.read():
                await channel.write(data.upper())

        assert request.headers["upgrade"] == "websocket"
        return Response(Upgrade(take), headers={"Upgrade": "websocket"})


Case = Callable[[APIClient, ConfigMaps], Awaitable[None]]
TRANSPORTS = ("local", "tls", "unix")


@asynccontextmanager
async def transport_to(how: str, server: ConfigMaps, directory: Path) -> AsyncIterator[Transport]:
    world = RealWorld()
    if how == "local":
        async with world.tasks() as tasks:
            yield LocalTransport(server, User("system:kube-scheduler"), tasks)
            tasks.stop()
        return
    async with Server(server, world) as listening:
        if how == "unix":
            listening.listen_unix(directory / "s")
            target = Target(socket=str(directory / "s"), token=lambda: "secret")
        else:
            files = certificates.ensure(directory / "pki", (), world.now())
            tls = tls_context(files.certificate(), files.key(), files.ca)
            _, port = await listening.listen("127.0.0.1", 0, tls)
            target = kubeconfig.read(_kubeconfig(files, port, directory))
        transport = HTTPTransport(target, identity="system:kube-scheduler")
        yield transport
        await transport.close()


def _kubeconfig(files: certificates.Certificates, port: int, directory: Path) -> Path:
    text = kubeconfig.write(
        name="test",
        server=f"https://127.0.0.1:{port}",
        authority=files.ca.read_bytes(),
        certificate=files.certificate("admin").read_bytes(),
        key=files.key("admin").read_bytes(),
    )
    path = directory / "config"
    path.write_text(text)
    return path


@pytest.fixture(params=TRANSPORTS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Case], None]:
    """Runs a case with a client on each transport."""

    def run(case: Case) -> None:
        async def main() -> None:
            server = ConfigMaps()
            async with transport_to(request.param, server, tmp_path) as transport:
                async with asyncio.timeout(WAIT):
                    await case(APIClient(transport, RealWorld()), server)

        uvloop.run(main())

    return run


Run = Callable[[Case], None]


def document(name: str, **data: str) -> Document:
    return {"metadata": {"name": name}, "data": data}


def ref(name: str) -> Any:
    return CONFIGMAP.ref("default", name)


async def make(client: APIClient, name: str, **data: str) -> Any:
    return await client.create(CONFIGMAP, document(name, **data), namespace="default")


def test_what_was_created_can_be_read_as_a_view(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        made = await make(client, "a", k="v")
        assert (made.metadata.name, made.data, made.metadata.revision) == ("a", {"k": "v"}, 11)
        assert await client.get(ref("a")) == made
        assert server.requests[-1].path == "/api/v1/namespaces/default/configmaps/a"
        assert server.requests[-1].headers["user-agent"] == "kube-scheduler"

    run(case)


def test_a_name_may_have_any_sign_that_a_path_has(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        for name in ("jane@example.com", "a b", "@every 1s", "[::]", "é?#=&+", "system:a"):
            made = await make(client, name)
            assert await client.get(ref(name)) == made
            assert server.requests[-1].path == f"/api/v1/namespaces/default/configmaps/{name}"

    run(case)


def test_the_identity_goes_with_each_request(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        await make(client, "a")
        request = server.requests[-1]
        assert client.identity == "system:kube-scheduler"
        shown = (
            request.user is not None
            or (request.peer is not None and request.peer.certificate is not None)
            or request.headers["authorization"] == "Bearer secret"
        )
        assert shown

    run(case)


def test_errors_are_rebuilt_with_their_details(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        with pytest.raises(NotFound) as missing:
            await client.get(ref("a"))
        assert missing.value.message == 'configmaps "a" not found'
        assert missing.value.details == {"name": "a", "kind": "configmaps"}
        await make(client, "a")
        with pytest.raises(AlreadyExists):
            await make(client, "a")
        server.refusals.append(BadRequest("what?"))
        with pytest.raises(BadRequest, match=r"what\?"):
            await client.get(ref("a"))
        server.refusals.append(TooManyRequests("wait", retry_after_seconds=3))
        with pytest.raises(TooManyRequests) as busy:
            await client.get(ref("a"))
        assert busy.value.retry_after_seconds == 3

    run(case)


def test_a_dry_run_changes_nothing(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        await client.create(CONFIGMAP, document("a"), namespace="default", dry_run=True)
        assert not server.objects
        await make(client, "b", k="v")
        patched = await client.patch(ref("b"), {"data": {"k": "w"}}, dry_run=True)
        assert patched.data == {"k": "w"}
        assert (await client.get(ref("b"))).data == {"k": "v"}

    run(case)


def test_a_list_comes_in_pages_and_is_whole(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        for number in range(1_001):
            server.write("ADDED", {"metadata": {"namespace": "default", "name": f"n{number:04}"}})
        listing = await client.list(CONFIGMAP)
        assert [found.metadata.name for found in listing.items] == [
            f"n{n:04}" for n in range(1_001)
        ]
        assert listing.revision == server.revision
        assert len(server.requests) == 3
        assert [request.param("limit") for request in server.requests] == ["500"] * 3

    run(case)


def test_a_list_that_expires_between_pages_starts_anew_whole(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        for number in range(501):
            server.write("ADDED", {"metadata": {"namespace": "default", "name": f"n{number}"}})
        original = server.list

        def expiring(request: Request, namespace: str) -> Response:
            if request.param("continue"):
                raise Expired("too old")
            return original(request, namespace)

        server.list = expiring  # type: ignore[method-assign]
        assert len((await client.list(CONFIGMAP)).items) == 501
        assert server.requests[-1].param("limit") == ""

    run(case)


def test_a_list_is_of_one_namespace_and_of_what_is_selected(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        for namespace, name, app in (("x", "a", "web"), ("x", "b", "db"), ("y", "c", "web")):
            metadata = {"namespace": namespace, "name": name, "labels": {"app": app}}
            server.write("ADDED", {"metadata": metadata})

        async def names(namespace: str, labels: str) -> list[str]:
            listing = await client.list(CONFIGMAP, namespace, labels=labels)
            return [found.metadata.name for found in listing.items]

        assert await names("x", "") == ["a", "b"]
        assert await names("", "app=web") == ["a", "c"]
        assert await names("x", "app=web") == ["a"]
        await client.list(CONFIGMAP, fields="metadata.name=a")
        assert server.requests[-1].param("fieldSelector") == "metadata.name=a"

    run(case)


def test_patches_of_every_kind_change_the_object(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        await make(client, "a", k="v", gone="soon")
        assert (await client.patch(ref("a"), {"data": {"gone": None}})).data == {"k": "v"}
        strategic = await client.patch(ref("a"), {"data": {"m": "n"}}, how="strategic")
        assert strategic.data == {"k": "v", "m": "n"}
        operations = [{"op": "replace", "path": "/data/k", "value": "w"}]
        changed = await client.patch(ref("a"), operations, how="json")
        assert changed.data == {"k": "w", "m": "n"}

    run(case)


@pytest.mark.parametrize("how", ["merge", "json"])
def test_a_patch_with_a_precondition_changes_only_that_very_object(run: Run, how: Any) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        made = await make(client, "a", k="v")
        patch: Any = {"data": {"k": "w"}}
        if how == "json":
            patch = [{"op": "replace", "path": "/data/k", "value": "w"}]
        for wrong in ({"uid": "another"}, {"revision": 3}):
            with pytest.raises(Conflict):
                await client.patch(ref("a"), patch, how=how, **wrong)  # type: ignore[arg-type]
        right = {"uid": made.metadata.uid, "revision": made.metadata.revision}
        assert (await client.patch(ref("a"), patch, how=how, **right)).data == {"k": "w"}

    run(case)


def test_an_update_replaces_and_is_refused_when_stale(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        made = await make(client, "a", k="v")
        new = {"metadata": {"name": "a", "resourceVersion": "11"}, "data": {"x": "y"}}
        assert (await client.update(ref("a"), new)).data == {"x": "y"}
        with pytest.raises(Conflict):
            await client.update(ref("a"), new)
        assert made.metadata.revision == 11

    run(case)


def test_apply_creates_conflicts_and_can_be_forced(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        mine = {"data": {"k": "v"}}
        assert (await client.apply(ref("a"), mine, manager="me")).data == {"k": "v"}
        assert json.loads(server.requests[-1].body)["kind"] == "ConfigMap"
        with pytest.raises(Conflict):
            await client.apply(ref("a"), mine, manager="you")
        await client.apply(ref("a"), mine, manager="you", force=True)

    run(case)


def test_a_deletion_tells_its_revision_and_what_remains(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        await make(client, "a")
        deleted = await client.delete(ref("a"), grace_seconds=0, propagation="Foreground")
        assert (deleted.object, deleted.revision) == (None, 12)
        options = json.loads(server.requests[-1].body)
        assert (options["gracePeriodSeconds"], options["propagationPolicy"]) == (0, "Foreground")
        held = document("b")
        held["metadata"]["finalizers"] = ["example.org/wait"]
        made = await client.create(CONFIGMAP, held, namespace="default")
        with pytest.raises(Conflict):
            await client.delete(ref("b"), uid="another")
        with pytest.raises(Conflict):
            await client.delete(ref("b"), revision=1)
        deleted = await client.delete(ref("b"), uid=made.metadata.uid, revision=13)
        assert deleted.object.metadata.deletion_timestamp is not None
        assert deleted.revision == 14

    run(case)


def test_a_collection_is_deleted_as_far_as_it_is_selected(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        for name, app in (("a", "web"), ("b", "db")):
            made = document(name)
            made["metadata"]["labels"] = {"app": app}
            await client.create(CONFIGMAP, made, namespace="default")
        await client.delete_collection(CONFIGMAP, "default", labels="app=web")
        assert [key[1] for key in server.objects] == ["b"]

    run(case)


def test_a_post_to_a_subresource_answers_with_its_document(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        answer = await client.post(ref("a"), "token", {"spec": {"x": 1}})
        assert answer == {"asked": {"spec": {"x": 1}}}

    run(case)


def test_a_stream_carries_bytes_both_ways(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        channel = await client.stream(ref("a"), "exec", "command=ls")
        assert server.requests[-1].param("command") == "ls"
        assert len(base64.b64decode(server.requests[-1].headers["sec-websocket-key"])) == 16
        sent = b"hello" * 200_000

        async def send() -> None:
            for start in range(0, len(sent), 50_000):
                await channel.write(sent[start : start + 50_000])

        async with RealWorld().tasks() as tasks:
            tasks.start(send(), name="send")
            got = b""
            while len(got) < len(sent):
                got += await channel.read()
        assert got == sent.upper()
        channel.close()
        assert await channel.read() == b""
        with pytest.raises(ConnectionResetError):
            await channel.write(b"late")

    run(case)


def test_a_stream_that_is_refused_raises_the_error(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        with pytest.raises(Forbidden, match="no streams for you"):
            await client.stream(ref("a"), "refused")

    run(case)


async def following(
    changes: AsyncIterator[tuple[Change, ...]], count: int
) -> list[tuple[str, str, int]]:
    found: list[tuple[str, str, int]] = []
    async for batch in changes:
        for change in batch:
            name = change.object.metadata.name if change.object is not None else ""
            found.append((change.type, name, change.revision))
        if len(found) >= count:
            break
    return found


def test_a_watch_tells_every_change_after_a_revision_in_order(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        await make(client, "before")
        await make(client, "a", k="v")
        watch = client.watch(CONFIGMAP, "default", after=11)
        async with RealWorld().tasks() as tasks:
            told = tasks.start(following(watch, 4), name="watch")
            await server.watched.wait()
            await client.patch(ref("a"), {"data": {"k": "w"}})
            server.bookmark()
            await client.delete(ref("a"))
        assert told.result() == [
            ("ADDED", "a", 12),
            ("MODIFIED", "a", 13),
            ("BOOKMARK", "", 13),
            ("DELETED", "a", 14),
        ]
        await watch.aclose()  # type: ignore[attr-defined]
        request = next(request for request in server.requests if request.flag("watch"))
        assert request.flag("allowWatchBookmarks")

    run(case)


def test_a_watch_that_is_given_up_is_told_to_the_server(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        await make(client, "a")
        watch = client.watch(CONFIGMAP, after=0)
        assert await following(watch, 1) == [("ADDED", "a", 11)]
        await watch.aclose()  # type: ignore[attr-defined]
        while server.watches:
            await client.list(CONFIGMAP)

    run(case)


def test_a_watch_that_the_server_ends_ends_without_an_error(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        await make(client, "a")
        async with RealWorld().tasks() as tasks:
            told = tasks.start(following(client.watch(CONFIGMAP, after=0), 99), name="watch")
            await server.watched.wait()
            server.end_watches()
        assert told.result() == [("ADDED", "a", 11)]

    run(case)


def test_a_watch_from_a_forgotten_revision_raises_expired(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        server.oldest = 5
        with pytest.raises(Expired):
            await following(client.watch(CONFIGMAP, after=1), 1)

    run(case)


def test_what_cannot_be_read_is_an_error_of_its_own(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        server.objects["default", "a"] = {"metadata": {"name": 3}}
        with pytest.raises(Unreadable, match="ConfigMap"):
            await client.get(ref("a"))

    run(case)


def test_metadata_alone_is_asked_for_and_decoded(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        await make(client, "a", k="v")
        found = await client.metadata_only().get(ref("a"))
        assert (found.metadata.name, hasattr(found, "data")) == ("a", False)
        accept = server.requests[-1].headers["accept"]
        assert accept == "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        await client.metadata_only().list(CONFIGMAP)
        accept = server.requests[-1].headers["accept"]
        assert accept == "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

    run(case)


def test_views_follow_the_server(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        await make(client, "a", k="v")
        async with RealWorld().tasks() as tasks:
            views = FollowedViews(client, RealWorld(), tasks)
            metadata = views.metadata_of(CONFIGMAP)
            view = views.of(CONFIGMAP)
            await views.synced()
            assert view.get(ref("a")).data == {"k": "v"}
            made = await make(client, "b")
            await view.reached(made.metadata.revision)
            await metadata.reached(made.metadata.revision)
            assert {found.metadata.name for found in view.list()} == {"a", "b"}
            assert {found.metadata.name for found in metadata.list()} == {"a", "b"}
            deleted = await client.delete(ref("a"))
            await view.reached(deleted.revision)
            assert view.get(ref("a")) is None
            tasks.stop()

    run(case)


def test_many_requests_at_once_are_all_answered(run: Run) -> None:
    async def case(client: APIClient, server: ConfigMaps) -> None:
        await asyncio.gather(*[make(client, f"n{number}") for number in range(200)])
        assert len(server.objects) == 200
        assert len((await client.list(CONFIGMAP)).items) == 200

    run(case)


def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    async def main() -> None:
        for target in (Target(socket=str(tmp_path / "none")), Target("127.0.0.1", 1)):
            client = APIClient(HTTPTransport(target), RealWorld())
            with pytest.raises(Unreachable, match="cannot be reached"):
                await client.get(ref("a"))

    uvloop.run(main())
