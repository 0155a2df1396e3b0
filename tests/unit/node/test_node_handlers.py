"""What probes and hooks ask over HTTP and TCP, against servers of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from node_documents import pod, running

from steersman.listen import certificates
from steersman.model.types.container import HTTPGetAction, LifecycleHandler, TCPSocketAction
from steersman.node.acting.handlers import (
    Answer,
    HookFailed,
    get_http,
    open_tcp,
    run_command,
    run_hook,
)
from steersman.node.engine.commands import MAX_OUTPUT_BYTES
from steersman.node.engine.own import OwnEngine
from steersman.node.tools import Tools
from steersman.runtime.engine import EngineError
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


def test_a_hook_asks_the_machine_where_the_pod_has_no_address_of_its_own_yet() -> None:
    async def work(port: int) -> None:
        hook = msgspec.convert({"httpGet": {"port": port}}, LifecycleHandler)
        given, run = pod(), running().run
        assert run is not None
        await run_hook(tools(), given, given.spec.containers[0], run, hook)

    server, port, _ = asked(b"HTTP/1.1 200 OK\r\n\r\n", work)
    assert server.requests[0][1] == f"Host: {HERE}:{port}"


def test_a_hook_at_a_port_that_has_no_such_name_fails() -> None:
    async def main() -> None:
        hook = msgspec.convert({"httpGet": {"port": "nowhere"}}, LifecycleHandler)
        given, run = pod(), running().run
        assert run is not None
        await run_hook(tools(), given, given.spec.containers[0], run, hook)

    with pytest.raises(HookFailed, match='parsing "nowhere": invalid syntax'):
        asyncio.run(main())


def test_who_takes_a_connection_and_says_nothing_is_given_up_in_time() -> None:
    async def main() -> None:
        with socket.create_server((HERE, 0)) as silent:
            port = silent.getsockname()[1]
            app = pod().spec.containers[0]
            answer = await get_http(tools(), app, HTTPGetAction(port=port), HERE, 0.05)
            late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            assert answer == Answer(False, f'Get "http://{HERE}:{port}/": {late}')
            # Nobody takes these connections, and more do not fit into the queue
            silent.listen(0)
            with contextlib.ExitStack() as stack:
                for _ in range(4):
                    waiting = stack.enter_context(socket.socket())
                    waiting.setblocking(False)
                    waiting.connect_ex((HERE, port))
                answer = await open_tcp(tools(), app, TCPSocketAction(port=port), HERE, 0.05)
            assert answer == Answer(False, f"dial tcp {HERE}:{port}: i/o timeout")

    asyncio.run(main())


def test_the_certificate_of_who_is_asked_is_not_checked(tmp_path: Path) -> None:
    files = certificates.ensure(tmp_path, (), time.time(), ())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate(), files.key())

    async def main() -> Answer:
        held = Server(b"HTTP/1.1 200 OK\r\n\r\n")
        async with await asyncio.start_server(held.serve, HERE, 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            action = HTTPGetAction(port=port, scheme="HTTPS")
            return await get_http(tools(), pod().spec.containers[0], action, HERE, 10.0)

    assert asyncio.run(main()) == Answer(True, "")


class Container:
    """An engine with one container, whose commands say what a test has them say: None hangs."""

    def __init__(self, said: bytes | None = b"", code: int = 0, error: str = "") -> None:
        self.said = said
        self.code = code
        self.error = error
        self.asked: list[tuple[str, str, list[str]]] = []
        self.signals: list[int] = []

    async def exec(
        self, uid: str, name: str, section: dict[str, Any], streams: tuple[int, ...]
    ) -> Container:
        if self.error:
            raise EngineError("failed", self.error)
        self.asked.append((uid, name, section["args"]))
        assert os.read(streams[0], 1) == b""
        if self.said is not None:
            assert os.get_blocking(streams[1])
            os.write(streams[1], self.said)
        else:
            self.kept = os.dup(streams[1])
        return self

    async def wait(self, deadline: float | None = None) -> Any:
        return SimpleNamespace(code=self.code)

    async def kill(self, number: int) -> None:
        self.signals.append(number)
        os.close(self.kept)


def ran(container: Container, times: int = 1, seconds: float = 10.0) -> Answer:
    """Runs a command in a container some times; returns what came of the last."""

    async def main() -> Answer:
        held, run = cast(Any, tools()), running().run
        none = cast(Any, None)
        held.engine = OwnEngine(cast(Any, container), none, none, "", "", held.world)
        assert run is not None
        for _ in range(times):
            answer = await run_command(held, pod(), "app", run, ["test", "it"], seconds)
        return answer

    return asyncio.run(main())


def test_a_command_is_good_where_it_exits_with_0_and_its_output_is_kept() -> None:
    container = Container(b"fine")
    assert ran(container, times=3) == Answer(True, "fine")
    assert container.asked == [(pod().metadata.uid, "app.0", ["test", "it"])] * 3
    assert ran(Container(b"\xff no", 1)) == Answer(False, "\N{REPLACEMENT CHARACTER} no")


def test_of_much_output_the_beginning_is_kept() -> None:
    said = b"a" * MAX_OUTPUT_BYTES + b"b" * 100
    assert ran(Container(said)).text == "a" * MAX_OUTPUT_BYTES


def test_a_command_that_takes_too_long_is_killed() -> None:
    container = Container(None)
    text = 'command timed out: "test it" timed out after 0.05s'
    assert ran(container, seconds=0.05) == Answer(False, text)
    assert container.signals == [signal.SIGKILL]


def test_whether_a_command_that_cannot_be_run_is_good_is_not_known() -> None:
    assert ran(Container(error="the shim is gone")) == Answer(
        False, "the shim is gone", unknown=True
    )
