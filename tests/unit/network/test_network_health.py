"""What load balancers hear of a Service on a node, and the bounds of asking."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable

import pytest

from steersman.network import health
from steersman.network.health import Checks, render_answer
from steersman.network.planning import Health
from steersman.world.real import RealWorld

WAIT_SECONDS = 10.0
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def checking(test: Callable[[Checks], Awaitable[None]]) -> None:
    async def main() -> None:
        checks = Checks("127.0.0.1", RealWorld())
        await asyncio.wait_for(test(checks), WAIT_SECONDS)
        checks.close()

    asyncio.run(main())


async def ask(port: int, request: bytes = REQUEST) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


def test_the_answer_is_that_of_kube_proxy() -> None:
    head, _, body = render_answer(Health("default", "web", 31000, 2)).partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 200 OK",
        b"Content-Type: application/json",
        b"X-Content-Type-Options: nosniff",
        b"X-Load-Balancing-Endpoint-Weight: 2",
        b"Content-Length: %d" % len(body),
        b"Connection: close",
    ]
    assert json.loads(body) == {
        "service": {"namespace": "default", "name": "web"},
        "localEndpoints": 2,
        "serviceProxyHealthy": True,
    }
    none = render_answer(Health("default", "web", 31000, 0))
    assert none.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")


def test_what_is_told_again_listens_on_and_says_the_newest(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(checks: Checks) -> None:
        for count in (1, 0, 3):
            await checks.tell([Health("default", "web", port, count)])
            assert f'"localEndpoints": {count}'.encode() in await ask(port)

    with caplog.at_level(logging.WARNING):
        checking(test)
    assert caplog.text == ""


def test_a_port_that_is_taken_is_told_and_the_others_are_there(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(checks: Checks) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            number = taken.getsockname()[1]
            await checks.tell([Health("a", "b", number, 1), Health("default", "web", port, 1)])
            assert await ask(port)
            assert f"no health check of a/b at port {number}" in caplog.text

    checking(test)


@pytest.mark.parametrize("request_", [b"", b"GET", b"x" * 9000], ids=["none", "cut", "long"])
def test_what_is_no_request_gets_no_answer(port: int, request_: bytes) -> None:
    async def test(checks: Checks) -> None:
        await checks.tell([Health("default", "web", port, 1)])
        try:
            assert await ask(port, request_) == b""
        except ConnectionResetError:
            return  # the kernel says so of what was not read

    checking(test)


def test_connections_are_bounded_and_leave_their_place(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "MOST_CONNECTIONS", 1)

    async def test(checks: Checks) -> None:
        await checks.tell([Health("default", "web", port, 1)])
        for _ in range(3):
            assert await ask(port)
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n")
        await writer.drain()
        assert await silent(port) == b""
        writer.close()

    checking(test)


async def silent(port: int) -> bytes:
    """Waits for the end of a connection that asks for nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = await reader.read()
    writer.close()
    return found


def test_a_service_that_is_told_no_more_is_not_listened_for(port: int) -> None:
    async def test(checks: Checks) -> None:
        await checks.tell([Health("default", "web", port, 1)])
        assert await ask(port)
        await checks.tell([])
        with pytest.raises(ConnectionRefusedError):
            await ask(port)
        await checks.tell([Health("default", "web", port, 2)])  # and may come again
        assert b'"localEndpoints": 2' in await ask(port)

    checking(test)


def test_a_connection_that_says_nothing_ends(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "REQUEST_SECONDS", 0.01)

    async def test(checks: Checks) -> None:
        await checks.tell([Health("default", "web", port, 1)])
        assert await silent(port) == b""

    checking(test)
