"""pods/log, exec, attach and portforward: from the API to a kubelet that the test plays."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from steersman.api.assembly import Assembly, Configuration
from steersman.api.cache import Cache
from steersman.api.subresources import proxy, streams
from steersman.api.subresources.kubelets import Kubelets, Undelivered, locate
from steersman.client import http
from steersman.client.http import HTTPTransport, Target
from steersman.listen import certificates
from steersman.listen.certificates import ADMIN, KUBELET_CLIENT, Certificates, Identity
from steersman.listen.serve import Server, tls_context
from steersman.model.errors import APIError, BadRequest, NotFound, ServiceUnavailable
from steersman.store.memory import MemoryStore
from steersman.wire import der
from steersman.wire.channels import ERROR, TUNNEL, V4, V5, Channels, Data, Ended
from steersman.wire.message import Channel, Peer, Request, Response, Upgrade, User
from steersman.wire.websocket import WebSocket, handshake
from steersman.world.real import RealWorld

NODE = "node-a"
NOBODY = Identity("viewer", "viewer")
TIMEOUT_SECONDS = 60.0
MASTER = User("admin", ("system:masters", "system:authenticated"))
PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
Document = dict[str, Any]


class Node:
    """A kubelet: notes what it is asked, and answers as it was told to."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.answer: Callable[[Request], Response] = lambda request: Response(b"", 404)

    def __call__(self, request: Request) -> Response:
        assert request.peer is not None
        assert request.peer.certificate is not None
        name = der.subject(request.peer.certificate).common_name
        assert name == "kube-apiserver-kubelet-client"
        self.asked.append(request)
        return self.answer(request)


class World:
    """What a scenario works with: the API as a client sees it, and the node."""

    def __init__(self, files: Certificates, assembly: Assembly, node: Node, port: int) -> None:
        self.files = files
        self.node = node
        self.port = port
        self._assembly = assembly
        self._transports: dict[str, HTTPTransport] = {}

    async def write(self, path: str, document: Document, method: str = "POST") -> None:
        """Writes an object as the administrator."""
        body, headers = orjson.dumps(document), {"content-type": "application/json"}
        request = Request(method, path, headers=headers, body=body, user=MASTER)
        answer = self._assembly.api.handle(request)
        done = answer if isinstance(answer, Response) else await answer
        assert done.status in (200, 201), done.body

    def transport(self, file: str = "admin") -> HTTPTransport:
        if file not in self._transports:
            tls = ssl.create_default_context(cafile=str(self.files.ca))
            tls.load_cert_chain(self.files.certificate(file), self.files.key(file))
            self._transports[file] = HTTPTransport(Target("127.0.0.1", self.port, tls))
        return self._transports[file]

    async def get(self, path: str, query: str = "", file: str = "admin") -> tuple[int, Any]:
        answer = await self.transport(file).send(Request("GET", path, query))
        body = answer.body
        if isinstance(body, AsyncIterator):
            body = b"".join([piece async for piece in body])
        assert isinstance(body, bytes)
        if answer.content_type.startswith("application/json"):
            return answer.status, json.loads(body)["message"]
        return answer.status, body.decode()

    async def upgrade(
        self, path: str, query: str, protocol: str = V5, file: str = "admin", accept: str = ""
    ) -> tuple[Response, Channel | None]:
        headers = upgrade_headers(protocol) | ({"accept": accept} if accept else {})
        request = Request("GET", path, query, headers)
        return await self.transport(file).ask_upgrade(request)

    async def close(self) -> None:
        for transport in self._transports.values():
            await transport.close()


def upgrade_headers(protocol: str) -> dict[str, str]:
    return {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "sec-websocket-protocol": protocol,
    }


def pod(name: str, *containers: str, node: str = NODE, init: tuple[str, ...] = ()) -> Document:
    spec: Document = {
        "containers": [{"name": each, "image": "i"} for each in containers],
        "initContainers": [{"name": each, "image": "i"} for each in init],
    }
    if node:
        spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def node_document(port: int, address: str = "127.0.0.1") -> Document:
    status = {
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}, "status": status}


async def begin(world: World, kubelet_port: int) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await world.write("/api/v1/namespaces/default/serviceaccounts", account)
    node = node_document(kubelet_port)
    await world.write("/api/v1/nodes", node)
    await world.write(f"/api/v1/nodes/{NODE}/status", node, "PUT")
    await world.write(PODS, pod("web", "main"))
    await world.write(PODS, pod("two", "a", "b", init=("first",)))
    await world.write(PODS, pod("waiting", "main", node=""))


def with_world(tmp_path: Path, scenario: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        real = RealWorld()
        identities = (ADMIN, KUBELET_CLIENT, NOBODY, certificates.node(NODE))
        files = certificates.ensure(tmp_path, (), time.time(), identities)

        def tls() -> ssl.SSLContext:
            context = ssl.create_default_context(cafile=str(files.ca))
            own = KUBELET_CLIENT.file
            context.load_cert_chain(files.certificate(own), files.key(own))
            return context

        key = files.service_account_key.read_bytes()
        configuration = Configuration("10.96.0.0/16", key, 6443, "10.0.0.1", tls)
        assembly = Assembly(Cache(MemoryStore(real), real), configuration, real)
        node, own = Node(), f"node-{NODE}"
        context = tls_context(files.certificate(), files.key(), files.ca)
        node_context = tls_context(files.certificate(own), files.key(own), files.ca)
        async with asyncio.timeout(TIMEOUT_SECONDS), real.tasks() as tasks:
            started = asyncio.Event()
            tasks.start(assembly.run(started.set), name="api")
            await started.wait()
            async with Server(assembly.api.handle, real) as api, Server(node, real) as kubelet:
                _, number = await api.listen("127.0.0.1", 0, context)
                _, kubelet_port = await kubelet.listen("127.0.0.1", 0, node_context)
                world = World(files, assembly, node, number)
                await begin(world, kubelet_port)
                await scenario(world)
                await world.close()
            tasks.stop()

    asyncio.run(whole())


def text(status: int, message: str) -> Callable[[Request], Response]:
    return lambda request: Response(message.encode(), status, "text/plain; charset=utf-8")


def echoing(request: Request) -> Response:
    """Answers an upgrade, and then sends back what comes until `end`."""

    async def take(channel: Channel) -> None:
        await channel.write(b"hello ")
        while (data := await channel.read()) and data != b"end":
            await channel.write(data)

    protocol = request.headers.get("sec-websocket-protocol", "")
    return Response(Upgrade(take), headers=handshake(request.headers, protocol))


# Logs


async def messages(channel: Channel) -> AsyncIterator[tuple[str, bytes]]:
    """Yields what comes within a WebSocket, to its close, which is answered."""
    spoken = WebSocket(mask=lambda: b"mask")
    while data := await channel.read():
        for message in spoken.feed(data):
            if message.kind == "close":
                await channel.write(spoken.close())
                return
            yield message.kind, message.data


@pytest.mark.parametrize("protocol", ["", "binary.k8s.io", "x, base64.binary.k8s.io"])
def test_a_log_within_a_websocket_is_its_messages(tmp_path: Path, protocol: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one\n", b"two\n"):
            yield piece

    async def scenario(world: World) -> None:
        world.node.answer = lambda request: Response(pieces(), content_type="text/plain")
        answer, channel = await world.upgrade(f"{PODS}/web/log", "container=main", protocol)
        assert channel is not None
        chosen = protocol.rpartition(" ")[2]
        assert (answer.headers or {}).get("sec-websocket-protocol", "") == chosen
        (kind, begin), *said = [it async for it in messages(channel)]
        assert (kind, begin) == ("text" if "base64" in protocol else "binary", b"")
        read = base64.b64decode if "base64" in protocol else bytes
        assert b"".join(read(data) for _, data in said) == b"one\ntwo\n"
        assert {it for it, _ in said} == {kind}
        assert await channel.read() == b""
        assert world.node.asked[0].path == "/containerLogs/default/web/main"
        assert "upgrade" not in world.node.asked[0].headers
        _, waiting = await world.upgrade(f"{PODS}/waiting/log", "", protocol)
        assert waiting is not None
        assert [it async for it in messages(waiting)] == [(kind, b"")]

    with_world(tmp_path, scenario)


@pytest.mark.parametrize("protocol", ["", "base64.binary.k8s.io"])
def test_a_watch_within_a_websocket_is_its_events(tmp_path: Path, protocol: str) -> None:
    async def scenario(world: World) -> None:
        answer, channel = await world.upgrade(MAPS, "watch=true", protocol)
        assert channel is not None
        assert (answer.headers or {}).get("sec-websocket-protocol", "") == protocol
        said = messages(channel)
        for name in ("a", "b"):
            await world.write(MAPS, {"metadata": {"name": name}})
            kind, data = await anext(said)
            event = json.loads(data)
            assert (kind, event["type"]) == ("text", "ADDED")
            assert event["object"]["metadata"]["name"] == name
        await channel.write(WebSocket(mask=lambda: b"mask").close())
        assert [it async for it in said] == []
        _, short = await world.upgrade(MAPS, "watch=true&timeoutSeconds=1", protocol)
        assert short is not None
        assert len([it async for it in messages(short)]) == 2
        refused, none = await world.upgrade(MAPS, "watch=true", "one, other")
        assert (refused.status, none) == (400, None)

    with_world(tmp_path, scenario)


def test_a_watch_in_protocol_buffers_within_a_websocket_is_one_message_for_each_event(
    tmp_path: Path,
) -> None:
    async def scenario(world: World) -> None:
        await world.write(MAPS, {"metadata": {"name": "a"}})
        media = "application/vnd.kubernetes.protobuf"
        accept = f"{media};stream=watch"
        answer, channel = await world.upgrade(MAPS, "watch=true", "", accept=accept)
        assert (answer.status, channel is not None) == (101, True)
        assert channel is not None
        kind, data = await anext(messages(channel))
        assert kind == "binary"
        assert data.startswith(b"\n\x05ADDED")  # no length in front, as a message has its own
        await channel.write(WebSocket(mask=lambda: b"mask").close())

    with_world(tmp_path, scenario)


def test_a_client_of_a_log_within_a_websocket_that_closes_ends_it_at_the_node(
    tmp_path: Path,
) -> None:
    async def scenario(world: World) -> None:
        ended = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            try:
                yield b"one\n"
                await asyncio.Future()
            finally:
                ended.set()

        world.node.answer = lambda request: Response(pieces(), content_type="text/plain")
        _, channel = await world.upgrade(f"{PODS}/web/log", "follow=1", "binary.k8s.io")
        assert channel is not None
        spoken = WebSocket(mask=lambda: b"mask")
        await channel.write(spoken.encode("ping", b"?"))
        found: list[tuple[str, bytes]] = []
        while len(found) < 3:
            found += [(it.kind, it.data) for it in spoken.feed(await channel.read())]
        assert sorted(found) == [("binary", b""), ("binary", b"one\n"), ("pong", b"?")]
        await channel.write(spoken.close())
        await ended.wait()

    with_world(tmp_path, scenario)


def test_a_log_within_a_websocket_speaks_no_other_protocol(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.node.answer = text(200, "log")
        answer, channel = await world.upgrade(f"{PODS}/web/log", "", V5)
        assert (answer.status, channel) == (403, None)
        answer, channel = await world.upgrade(f"{PODS}/two/log", "", "binary.k8s.io")
        assert (answer.status, channel) == (400, None)

    with_world(tmp_path, scenario)


def test_a_log_is_streamed_with_the_clients_options(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        more = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            yield b"one\n"
            await more.wait()
            yield b"two\n"

        world.node.answer = lambda request: Response(pieces(), content_type="text/plain")
        request = Request("GET", f"{PODS}/web/log", "follow=true&tailLines=5")
        answer = await world.transport().send(request)
        assert (answer.status, answer.content_type) == (200, "text/plain")
        assert isinstance(answer.body, AsyncIterator)
        assert await anext(answer.body) == b"one\n"  # before the log has ended
        more.set()
        assert [piece async for piece in answer.body] == [b"two\n"]
        asked = world.node.asked[0]
        assert (asked.method, asked.path) == ("GET", "/containerLogs/default/web/main")
        assert asked.query == "follow=true&tailLines=5"

    with_world(tmp_path, scenario)


def test_a_reader_who_leaves_ends_the_stream_at_the_node(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        ended = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            try:
                yield b"one\n"
                await asyncio.Future()
            finally:
                ended.set()

        world.node.answer = lambda request: Response(pieces(), content_type="text/plain")
        answer = await world.transport().send(Request("GET", f"{PODS}/web/log", "follow=1"))
        assert isinstance(answer.body, AsyncIterator)
        await anext(answer.body)
        await answer.body.aclose()  # type: ignore[attr-defined]
        await ended.wait()

    with_world(tmp_path, scenario)


@pytest.mark.parametrize(
    ("path", "query", "code", "message"),
    [
        ("nobody/log", "", 404, 'pods "nobody" not found'),
        (
            "two/log",
            "",
            400,
            "a container name must be specified for pod two, choose one of: [a b] "
            "or one of the init containers: [first]",
        ),
        ("two/log", "container=x", 400, "container x is not valid for pod two"),
        (
            "web/log",
            "limitBytes=0",
            422,
            'PodLogOptions "web" is invalid: limitBytes: Invalid value: 0: must be greater than 0',
        ),
        ("waiting/log", "", 204, ""),
        ("waiting/exec", "command=x", 400, "pod waiting does not have a host assigned"),
        ("web/exec", "command=x", 400, "Upgrade request required"),
    ],
)
def test_what_the_server_sees_itself_is_refused_without_the_node(
    tmp_path: Path, path: str, query: str, code: int, message: str
) -> None:
    async def scenario(world: World) -> None:
        assert await world.get(f"{PODS}/{path}", query) == (code, message)
        assert world.node.asked == []

    with_world(tmp_path, scenario)


@pytest.mark.parametrize("container", ["a", "b", "first"])
def test_every_container_of_a_pod_can_be_named(tmp_path: Path, container: str) -> None:
    async def scenario(world: World) -> None:
        world.node.answer = text(200, "log")
        assert await world.get(f"{PODS}/two/log", f"container={container}") == (200, "log")
        assert world.node.asked[0].path == f"/containerLogs/default/two/{container}"

    with_world(tmp_path, scenario)


@pytest.mark.parametrize(
    ("code", "said", "given", "message"),
    [
        (400, "is waiting to start", 400, "is waiting to start"),
        (500, "broken", 500, "Internal error occurred: broken"),
        (404, "x", 404, "the server could not find the requested resource ( pods/log web)"),
    ],
)
def test_what_the_node_refuses_is_told_as_upstream_tells_it(
    tmp_path: Path, code: int, said: str, given: int, message: str
) -> None:
    async def scenario(world: World) -> None:
        world.node.answer = text(code, said)
        assert await world.get(f"{PODS}/web/log") == (given, message)

    with_world(tmp_path, scenario)


def test_a_node_that_cannot_be_reached_is_named_in_gos_words(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        away = node_document(1)
        await world.write(f"/api/v1/nodes/{NODE}/status", away, "PUT")
        why = "dial tcp 127.0.0.1:1: connect: connection refused"
        url = "https://127.0.0.1:1/containerLogs/default/web/main?tailLines=1"
        assert await world.get(f"{PODS}/web/log", "tailLines=1") == (500, f'Get "{url}": {why}')
        answer, channel = await world.upgrade(f"{PODS}/web/portforward", "", TUNNEL)
        assert channel is None
        assert isinstance(answer.body, bytes)
        assert json.loads(answer.body)["message"] == f"error dialing backend: {why}"
        assert "reason" not in json.loads(answer.body)

    with_world(tmp_path, scenario)


def test_a_node_that_takes_a_connection_and_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            place = f"127.0.0.1:{mute.getsockname()[1]}"
            await world.write(
                f"/api/v1/nodes/{NODE}/status", node_document(mute.getsockname()[1]), "PUT"
            )
            await world.get(f"{PODS}/nope")  # from here on the way to the API is open
            monkeypatch.setattr(http, "CONNECT_SECONDS", 0.0)
            why = f'Get "https://{place}/containerLogs/default/web/main": '
            answer = await world.get(f"{PODS}/web/log")
            assert answer == (500, f"{why}dial tcp {place}: i/o timeout")

    with_world(tmp_path, scenario)


@pytest.mark.parametrize("plural", ["pods", "services"])
def test_a_proxy_of_what_is_not_there_is_not_found(tmp_path: Path, plural: str) -> None:
    async def scenario(world: World) -> None:
        path = f"/api/v1/namespaces/default/{plural}/http:nope:80/proxy/"
        assert await world.get(path) == (404, f'{plural} "nope" not found')

    with_world(tmp_path, scenario)


def test_a_node_with_a_strangers_certificate_is_not_spoken_to(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        other = {**pod("lost", "main", node="node-b")}
        await world.write(PODS, other)
        assert await world.get(f"{PODS}/lost/log") == (404, 'nodes "node-b" not found')
        document = (await world.transport().send(Request("GET", f"/api/v1/nodes/{NODE}"))).body
        assert isinstance(document, bytes)
        status = json.loads(document)["status"]
        twin: Document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-b"}}
        await world.write("/api/v1/nodes", twin)
        await world.write("/api/v1/nodes/node-b/status", {**twin, "status": status}, "PUT")
        code, message = await world.get(f"{PODS}/lost/log")
        assert code == 500
        assert "tls: failed to verify certificate: x509: " in message
        assert world.node.asked == []

    with_world(tmp_path, scenario)


# Streams


@pytest.mark.parametrize("what", ["exec", "attach"])
def test_an_upgrade_is_passed_on_and_bytes_go_both_ways(tmp_path: Path, what: str) -> None:
    async def scenario(world: World) -> None:
        world.node.answer = echoing
        query = "container=b&command=ls&command=-l%20x&stdin=true&stdout=1&stderr=false&tty=true"
        answer, channel = await world.upgrade(f"{PODS}/two/{what}", query)
        assert channel is not None
        assert answer.headers is not None
        assert answer.headers["sec-websocket-protocol"] == V5
        assert answer.headers["sec-websocket-accept"]
        assert await channel.read() == b"hello "
        await channel.write(b"there")
        assert await channel.read() == b"there"
        await channel.write(b"end")
        assert await channel.read() == b""  # the node has closed
        asked = world.node.asked[0]
        assert asked.path == f"/{what}/default/two/b"
        kubelets = "input=1&output=1&tty=1"
        command = "&command=ls&command=-l+x" if what == "exec" else ""
        assert asked.query == kubelets + command
        assert "authorization" not in asked.headers

    with_world(tmp_path, scenario)


def test_a_client_that_leaves_is_noticed_by_the_node(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        ended = asyncio.Event()

        def answer(request: Request) -> Response:
            async def take(channel: Channel) -> None:
                while await channel.read():
                    pass
                ended.set()

            return Response(Upgrade(take), headers=handshake(request.headers, V5))

        world.node.answer = answer
        _, channel = await world.upgrade(f"{PODS}/web/exec", "command=x&stdout=1")
        assert channel is not None
        channel.close()
        await ended.wait()

    with_world(tmp_path, scenario)


async def told(channel: Channel) -> Document:
    """Returns the status that comes on the error channel before the close."""
    spoken = Channels(V5, WebSocket(mask=lambda: os.urandom(4)))
    events: list[Data | Ended] = []
    while not any(isinstance(event, Ended) for event in events):
        data = await channel.read()
        assert data
        events += spoken.feed(data)
    channel.close()
    status = [event for event in events if isinstance(event, Data) and event.channel == ERROR]
    document: Document = json.loads(status[0].data)
    return document


def test_a_refusal_of_the_node_is_told_within_the_websocket_of_version_5(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.node.answer = text(500, 'container not found ("main")')
        path = f"{PODS}/web/exec"
        _, channel = await world.upgrade(path, "command=x&stdout=1")
        assert channel is not None
        status = await told(channel)
        why = 'unable to upgrade connection: container not found ("main")'
        assert status["message"] == f"Internal error occurred: {why}"
        assert (status["status"], status["reason"]) == ("Failure", "InternalError")
        # others get the node's own answer
        answer, channel = await world.upgrade(path, "command=x&stdout=1", V4)
        assert channel is None
        assert (answer.status, answer.body) == (500, b'container not found ("main")')

    with_world(tmp_path, scenario)


def test_an_unreachable_node_is_told_within_the_websocket_too(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.write(f"/api/v1/nodes/{NODE}/status", node_document(1), "PUT")
        _, channel = await world.upgrade(f"{PODS}/web/exec", "command=x&stdout=1")
        assert channel is not None
        url = "https://127.0.0.1:1/exec/default/web/main?output=1&command=x"
        assert (await told(channel))["message"] == (
            f'Internal error occurred: error sending request: Post "{url}": '
            "dial tcp 127.0.0.1:1: connect: connection refused"
        )

    with_world(tmp_path, scenario)


def test_a_simulated_node_has_nobody_to_ask(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        path = f"/api/v1/nodes/{NODE}"
        label = {"metadata": {"name": NODE, "labels": {"steersman.dev/simulated": "true"}}}
        await world.write(path, {**node_document(1), **label}, "PUT")
        why = f'node "{NODE}" is simulated: there is no kubelet behind it to ask'
        assert await world.get(f"{PODS}/web/log") == (400, why)
        for what in ("exec", "portforward"):
            refused, _ = await world.upgrade(f"{PODS}/web/{what}", "command=true&stdout=1")
            assert refused.status == 400, what
        assert await world.get(f"{path}/proxy/healthz") == (400, why)
        assert world.node.asked == []

    with_world(tmp_path, scenario)


def test_portforward_is_passed_on_with_its_ports_as_kubelet_calls_them(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.node.answer = echoing
        answer, channel = await world.upgrade(f"{PODS}/web/portforward", "ports=80", TUNNEL)
        assert channel is not None
        assert answer.headers is not None
        assert answer.headers["sec-websocket-protocol"] == TUNNEL
        assert (await channel.read()).startswith(b"hello")
        channel.close()
        asked = world.node.asked[0]
        assert (asked.path, asked.query) == ("/portForward/default/web", "port=80")
        for given in ("ports=80,x", "ports="):
            refused, _ = await world.upgrade(f"{PODS}/web/portforward", given, TUNNEL)
            assert refused.status == 400

    with_world(tmp_path, scenario)


def grant(*verbs: str) -> Document:
    rule = {"apiGroups": [""], "resources": ["pods/exec", "pods/log"], "verbs": list(verbs)}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "streams"},
        "rules": [rule],
    }


def test_a_websocket_needs_the_right_to_create_though_it_comes_as_a_get(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.node.answer = echoing
        roles = "/apis/rbac.authorization.k8s.io/v1"
        await world.write(f"{roles}/clusterroles", grant("get"))
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "streams"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "streams",
            },
            "subjects": [
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "viewer"}
            ],
        }
        await world.write(f"{roles}/clusterrolebindings", binding)
        query = "command=x&stdout=1"
        answer, channel = await world.upgrade(f"{PODS}/web/exec", query, file="viewer")
        assert (answer.status, channel) == (403, None)
        assert isinstance(answer.body, bytes)
        assert json.loads(answer.body)["message"] == (
            'pods "web" is forbidden: User "viewer" cannot create resource "pods/exec" in API '
            'group "" in the namespace "default"'
        )
        assert world.node.asked == []
        await world.write(f"{roles}/clusterroles/streams", grant("get", "create"), "PUT")
        answer, channel = await world.upgrade(f"{PODS}/web/exec", query, file="viewer")
        assert channel is not None
        channel.close()
        world.node.answer = text(200, "log")
        assert await world.get(f"{PODS}/web/log", file="viewer") == (200, "log")

    with_world(tmp_path, scenario)


# Where kubelets are


@pytest.mark.parametrize(
    ("addresses", "found"),
    [
        ([("Hostname", "h"), ("InternalIP", "10.0.0.1")], ("10.0.0.1", 7)),
        ([("Hostname", "h"), ("ExternalIP", "1.2.3.4")], ("1.2.3.4", 7)),
        ([("Hostname", "h")], ("h", 7)),
    ],
)
def test_a_kubelet_is_found_by_the_best_address(
    addresses: list[tuple[str, str]], found: tuple[str, int]
) -> None:
    status: Document = {
        "addresses": [{"type": kind, "address": address} for kind, address in addresses],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 7}},
    }
    assert locate({"status": status}) == found
    del status["daemonEndpoints"]
    assert locate({"status": status}) == (found[0], 10250)


def test_a_node_without_an_address_cannot_be_asked() -> None:
    with pytest.raises(Undelivered) as refused:
        locate({"status": {"addresses": [{"type": "InternalDNS", "address": "x"}]}})
    message = "no preferred addresses found; known addresses: [{InternalDNS x}]"
    assert refused.value.message == message


def test_a_kubelet_keeps_its_transport_until_it_moves() -> None:
    async def scenario() -> None:
        documents: dict[str, Document] = {NODE: node_document(1)}
        kubelets = Kubelets(lambda ref: documents.get(ref.name), ssl.create_default_context)
        first = kubelets.of(NODE)
        assert kubelets.of(NODE) is first
        documents[NODE] = node_document(2)
        assert kubelets.of(NODE) is not first
        assert kubelets.of(NODE).place == "127.0.0.1:2"
        documents[NODE] = node_document(2, "fd00::1")
        assert kubelets.of(NODE).place == "[fd00::1]:2"
        documents.clear()
        with pytest.raises(NotFound, match='nodes "node-a" not found'):
            kubelets.of(NODE)

    asyncio.run(scenario())


def test_a_server_without_a_certificate_for_kubelets_says_so() -> None:
    kubelets = Kubelets(lambda ref: node_document(1), None)
    with pytest.raises(APIError, match="no certificate"):
        kubelets.of(NODE)


# Proxies


def test_a_nodes_proxy_passes_method_path_query_and_body(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.node.answer = lambda request: Response(b"made", 201, "text/x", {"X-Own": "1"})
        path = f"/api/v1/nodes/{NODE}/proxy/some/a b/"
        headers = {"x-mine": "2", "cookie": "theirs", "authorization": "Basic secret"}
        request = Request("POST", path, "q=1&q=2", headers, b"body")
        answer = await world.transport().send(request)
        assert (answer.status, answer.body, answer.content_type) == (201, b"made", "text/x")
        assert answer.headers is not None
        assert answer.headers["x-own"] == "1"
        asked = world.node.asked[0]
        assert (asked.method, asked.path, asked.query) == ("POST", "/some/a b/", "q=1&q=2")
        assert (asked.body, asked.headers["x-mine"]) == (b"body", "2")
        assert asked.headers["x-forwarded-for"] == "127.0.0.1"
        assert asked.headers["cookie"] == "theirs"
        assert asked.headers["x-forwarded-uri"] == path.replace(" ", "%20")
        assert "authorization" not in asked.headers

    with_world(tmp_path, scenario)


@pytest.mark.parametrize(
    ("method", "code"),
    [*((it, 200) for it in ("DELETE", "OPTIONS", "PATCH", "PUT")), ("TRACE", 405)],
)
def test_the_methods_of_a_proxy_are_upstreams(tmp_path: Path, method: str, code: int) -> None:
    async def scenario(world: World) -> None:
        world.node.answer = text(200, "done")
        answer = await world.transport().send(Request(method, f"/api/v1/nodes/{NODE}/proxy/x"))
        assert answer.status == code
        assert [it.method for it in world.node.asked] == [method] * (code == 200)
        plain = await world.transport().send(Request("OPTIONS", "/api/v1/nodes"))
        assert plain.status == 405

    with_world(tmp_path, scenario)


def test_a_proxy_without_a_path_is_sent_to_its_directory(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        path = f"/api/v1/nodes/{NODE}/proxy"
        answer = await world.transport().send(Request("GET", path, "x=1"))
        assert answer.status == 301
        assert answer.headers is not None
        assert answer.headers["location"] == f"{path}/?x=1"
        world.node.answer = text(200, "root")
        assert await world.get(f"{path}/") == (200, "root")
        assert world.node.asked[0].path == "/"

    with_world(tmp_path, scenario)


def test_links_lead_through_the_proxy_again(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        base = f"/api/v1/nodes/{NODE}/proxy"
        through = {"x-forwarded-for": "10.1.2.3"}
        await world.transport().send(Request("GET", f"{base}/", headers=through))
        assert world.node.asked[0].headers["x-forwarded-for"] == "10.1.2.3, 127.0.0.1"
        cross = {"Access-Control-Allow-Origin": "*", "X-Own": "1", "Location": "/login?x=1#y"}
        world.node.answer = lambda request: Response(b"", 302, "", cross)
        answer = await world.transport().send(Request("GET", f"{base}/some/a b"))
        assert answer.headers is not None
        assert (answer.status, answer.headers["location"]) == (302, f"{base}/login?x=1#y")
        assert answer.headers["x-own"] == "1"
        assert "access-control-allow-origin" not in answer.headers
        page = b'<p><a href="/x">x</a></p>'
        world.node.answer = lambda request: Response(page, 200, "text/html; charset=utf-8")
        expected = f'<p><a href="{base}/x">x</a></p>'
        assert await world.get(f"{base}/") == (200, expected)

        async def streamed() -> AsyncIterator[bytes]:
            for place in range(0, len(page), 7):
                yield page[place : place + 7]

        world.node.answer = lambda request: Response(streamed(), 200, "text/html")
        assert await world.get(f"{base}/") == (200, expected)
        world.node.answer = lambda request: Response(streamed(), 200, "text/plain")
        assert await world.get(f"{base}/") == (200, page.decode())

    with_world(tmp_path, scenario)


def test_an_upgrade_passes_a_proxy(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.node.answer = echoing
        _, channel = await world.upgrade(f"/api/v1/nodes/{NODE}/proxy/ws", "", "any")
        assert channel is not None
        assert await channel.read() == b"hello "
        channel.close()

    with_world(tmp_path, scenario)


def test_names_in_proxies_carry_scheme_and_port() -> None:
    assert proxy.parse_name("web") == ("", "web", "")
    assert proxy.parse_name("web:80") == ("", "web", "80")
    assert proxy.parse_name("https:web:") == ("https", "web", "")
    for wrong in ("ftp:web:1", "a:b:c:d"):
        with pytest.raises(BadRequest):
            proxy.parse_name(wrong)


def test_a_pod_is_reached_at_the_port_named_or_its_first() -> None:
    container = {"name": "a", "ports": [{"containerPort": 8080}, {"containerPort": 9090}]}
    document: Document = {"spec": {"containers": [container]}, "status": {"podIP": "10.1.1.1"}}
    for name, address, secure in (
        ("web", "10.1.1.1:8080", False),
        ("web:9090", "10.1.1.1:9090", False),
        ("https:web:8443", "10.1.1.1:8443", True),
    ):
        target = proxy.locate_pod(document, proxy.parse_name(name))
        assert (f"{target.host}:{target.port}", target.tls is not None) == (address, secure)
    del container["ports"]
    assert proxy.locate_pod(document, proxy.parse_name("web")).port == 80
    del document["status"]
    with pytest.raises(BadRequest, match="does not have an address assigned"):
        proxy.locate_pod(document, proxy.parse_name("web"))


def test_a_service_is_reached_at_its_ready_endpoints() -> None:
    ports = [{"name": "http", "port": 80}, {"name": "admin", "port": 81}]
    service: Document = {"spec": {"ports": ports}}
    subset = {
        "addresses": [{"ip": "10.1.1.1"}, {"ip": "10.1.1.2"}],
        "notReadyAddresses": [{"ip": "10.1.1.3"}],
        "ports": [{"name": "http", "port": 8080}, {"name": "admin", "port": 8081}],
    }
    endpoints: Document = {"subsets": [subset]}

    def found(name: str) -> list[str]:
        targets = proxy.locate_endpoints(service, endpoints, proxy.parse_name(name))
        return [f"{target.host}:{target.port}" for target in targets]

    assert found("web:http") == ["10.1.1.1:8080", "10.1.1.2:8080"]
    assert found("web:81") == ["10.1.1.1:8081", "10.1.1.2:8081"]
    with pytest.raises(ServiceUnavailable, match='no service port "x" found for service "web"'):
        found("web:x")
    endpoints.clear()
    with pytest.raises(ServiceUnavailable, match='no endpoints available for service "web"'):
        found("web:http")


def test_a_port_of_a_service_is_named_by_its_name_or_number() -> None:
    def found(name: str, *ports: Document) -> str | None:
        return proxy.find_port({"spec": {"ports": [*ports]}}, proxy.parse_name(name))

    one, two = {"name": "http", "port": 80}, {"port": 81}
    assert found("web", one) == "http"
    assert found("web", two) == ""
    assert found("web", one, two) is None
    assert found("web") is None
    assert (found("web:http", one, two), found("web:81", one, two)) == ("http", "")
    for name in ("web:82", "web:None"):
        with pytest.raises(ServiceUnavailable):
            found(name, one, two)


def test_a_pod_is_not_reached_at_a_port_that_is_none() -> None:
    document: Document = {"spec": {"containers": []}, "status": {"podIP": "10.1.1.1"}}
    with pytest.raises(BadRequest, match='invalid port "http"'):
        proxy.locate_pod(document, proxy.parse_name("web:http"))
    assert proxy.locate_pod(document, proxy.parse_name("https:web:")).port == 443


def test_headers_that_are_the_servers_own_are_not_passed_on() -> None:
    given = {
        "authorization": "x", "connection": "close", "host": "h", "te": "t", "accept": "a",
        "impersonate-user": "u", "x-remote-user": "r", "x-forwarded-for": "1.1.1.1",
    }  # fmt: skip
    request = Request("GET", "/", "", given, peer=Peer("2.2.2.2"))
    assert proxy.passed_headers(request) == {
        "accept": "a",
        "x-forwarded-for": "1.1.1.1, 2.2.2.2",
    }
    upgrade = Request("GET", "/", "", {"upgrade": "websocket", "connection": "upgrade"})
    assert proxy.passed_headers(upgrade) == {"connection": "Upgrade", "upgrade": "websocket"}


def test_the_options_of_a_stream_are_kubelets() -> None:
    given = {"stdin": ["true"], "stdout": ["1"], "stderr": ["false"], "tty": ["0"],
             "command": ["a", "b c"]}  # fmt: skip
    assert streams.kubelet_query(given, commanded=True) == "input=1&output=1&command=a&command=b+c"
    assert streams.kubelet_query(given, commanded=False) == "input=1&output=1"
    assert streams.kubelet_query({"stderr": ["yes"], "tty": [""]}, commanded=True) == "error=1"
    assert streams.ports_query({}) == ""
    assert streams.ports_query({"ports": ["80", "81,82"]}) == "port=80%2C81%2C82"
    with pytest.raises(BadRequest, match='parsing "x": invalid syntax'):
        streams.ports_query({"ports": ["80,x"]})


def test_a_container_is_named_where_there_are_several() -> None:
    def pod(*main: str, init: tuple[str, ...] = ()) -> Document:
        spec = {"containers": [{"name": name} for name in main],
                "initContainers": [{"name": name} for name in init],
                "ephemeralContainers": [{"name": "e"}]}  # fmt: skip
        return {"metadata": {"name": "p"}, "spec": spec}

    assert streams.choose_container(pod("a", init=("i",)), "") == "a"
    for name in ("a", "b", "i", "e"):
        assert streams.choose_container(pod("a", "b", init=("i",)), name) == name
    for given, name, told in (
        (pod("a", "b"), "", "specified for pod p, choose one of: [a b]"),
        (pod("a", "b", init=("i",)), "", "one of: [a b] or one of the init containers: [i]"),
        (pod(), "", "a container name must be specified for pod p"),
        (pod("a"), "x", "container x is not valid for pod p"),
    ):
        with pytest.raises(BadRequest) as caught:
            streams.choose_container(given, name)
        assert caught.value.message.endswith(told)


@pytest.mark.parametrize(
    ("code", "told"),
    [(500, 500), (400, 400), (404, 404), (403, 403), (401, 401), (503, 503)],
)
def test_a_refusal_of_a_node_keeps_its_code(code: int, told: int) -> None:
    assert streams.refused(code, "why", "pods/log p").code == told
