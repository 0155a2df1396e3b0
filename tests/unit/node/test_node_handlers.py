"""What probes and hooks ask over HTTP and TCP, against servers of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from node_documents import pod, running

from steersman.model.types.container import HTTPGetAction, LifecycleHandler, TCPSocketAction
from steersman.node.acting.handlers import Answer, HookFailed, get_http, open_tcp, run_hook
from steersman.node.tools import Tools
from steersman.world.interface import World
from steersman.world.real import RealWorld

HERE = "127.0.0.1"


def tools(world: World | None = None) -> Tools:
    place = SimpleNamespace(address=HERE)
    return cast(Tools, SimpleNamespace(world=world or RealWorld(), place=place))


class Server:
    """Takes one request and gives an answer."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.requests: list[list[str]] = []
        self.done = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head.decode().split("\r\n"))
            writer.write(self.answer)
        writer.transport.close()
        self.done.set()


def asked(answer: bytes, work: Callable[[int], Awaitable[Any]]) -> tuple[Server, int, Any]:
    """Runs work against a server; returns the server, its port and what came of it."""

    async def main() -> tuple[Server, int, Any]:
        held = Server(answer)
        async with asyncio.timeout(20), await asyncio.start_server(held.serve, HERE, 0) as server:
            port = server.sockets[0].getsockname()[1]
            came = await work(port)
            await held.done.wait()
            return held, port, came

    return asyncio.run(main())


def got(answer: bytes, **action: Any) -> tuple[Server, int, Answer]:
    """Asks a server over HTTP at the pod's address, which is the server's."""

    def work(port: int) -> Awaitable[Answer]:
        asked = msgspec.convert({"port": port, **action}, HTTPGetAction)
        return get_http(tools(), pod().spec.containers[0], asked, HERE, 10.0)

    return asked(answer, work)


def test_a_request_is_what_a_kubelet_sends() -> None:
    headers = [{"name": "X-Own", "value": "yes"}, {"name": "Host", "value": "example.org"}]
    server, _, answer = got(b"HTTP/1.1 200 OK\r\n\r\n", path="/ready", httpHeaders=headers)
    assert answer == Answer(True, "")
    assert server.requests == [
        [
            "GET /ready HTTP/1.1",
            "Host: example.org",
            "User-Agent: kube-probe/1.37",
            "Accept: */*",
            "X-Own: yes",
            "Connection: close",
            "",
            "",
        ]
    ]


def test_a_path_begins_at_the_root_and_a_host_of_its_own_is_asked_instead_of_the_pod() -> None:
    def work(port: int) -> Awaitable[Answer]:
        action = HTTPGetAction(port=port, path="ready", host=HERE)
        return get_http(tools(), pod().spec.containers[0], action, "192.0.2.1", 10.0)

    server, port, answer = asked(b"HTTP/1.1 204 No Content\r\n\r\n", work)
    assert (answer.good, server.requests[0][0]) == (True, "GET /ready HTTP/1.1")
    assert server.requests[0][1] == f"Host: {HERE}:{port}"


@pytest.mark.parametrize(
    ("status", "good"), [(199, False), (200, True), (302, True), (399, True), (400, False)]
)
def test_a_status_from_200_to_399_is_good(status: int, good: bool) -> None:
    _, _, answer = got(b"HTTP/1.1 %d X\r\n\r\n" % status)
    text = "" if good else f"HTTP probe failed with statuscode: {status}"
    assert answer == Answer(good, text)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (b"", "EOF"),
        (b"HTTP/1.1\r\n", "net/http: HTTP/1.x transport connection broken"),
        (b"HTTP/1.1 many\r\n", "net/http: HTTP/1.x transport connection broken"),
    ],
)
def test_what_is_no_answer_is_told_as_go_tells_it(said: bytes, text: str) -> None:
    _, port, answer = got(said)
    assert answer == Answer(False, f'Get "http://{HERE}:{port}/": {text}')


async def both_kinds(port: int) -> list[Answer]:
    held, app = tools(), pod().spec.containers[0]
    return [
        await open_tcp(held, app, TCPSocketAction(port=port), HERE, 10.0),
        await get_http(held, app, HTTPGetAction(port=port, scheme="HTTPS"), HERE, 10.0),
    ]


def test_a_port_that_nobody_listens_on_refuses_both_kinds() -> None:
    with socket.socket() as taken:  # and does not listen
        taken.bind((HERE, 0))
        port = taken.getsockname()[1]
        answers = asyncio.run(both_kinds(port))
    text = f"dial tcp {HERE}:{port}: connect: connection refused"
    assert answers == [Answer(False, text), Answer(False, f'Get "https://{HERE}:{port}/": {text}')]


def test_a_port_that_somebody_listens_on_is_good() -> None:
    def work(port: int) -> Awaitable[Answer]:
        app = pod(ports=[{"name": "web", "containerPort": port}]).spec.containers[0]
        return open_tcp(tools(), app, TCPSocketAction(port="web"), HERE, 10.0)

    assert asked(b"", work)[2] == Answer(True, "")


@pytest.mark.parametrize(("status", "fails"), [(200, False), (500, True)])
def test_a_hook_asks_the_pod_and_fails_where_the_answer_is_bad(status: int, fails: bool) -> None:
    async def work(port: int) -> str:
        hook = msgspec.convert({"httpGet": {"port": port}}, LifecycleHandler)
        given, run = pod(status={"podIP": HERE}), running().run
        assert run is not None
        try:
            await run_hook(tools(), given, given.spec.containers[0], run, hook)
        except HookFailed as error:
            return str(error)
        return ""

    text = f"HTTP probe failed with statuscode: {status}" if fails else ""
    server, _, answer = asked(b"HTTP/1.1 %d X\r\n\r\n" % status, work)
    assert (answer, len(server.requests)) == (text, 1)
