"""The HTTP transport against a server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from steersman.client import http
from steersman.client.errors import Unreachable
from steersman.client.http import HTTPTransport, Pool, Target
from steersman.model.errors import APIError, Forbidden
from steersman.wire.message import Request, Response

WAIT = 60.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def against(
    tmp_path: Path,
    serve: Serve,
    case: Callable[[HTTPTransport], Coroutine[Any, Any, None]],
    **target: Any,
) -> int:
    """Runs a case against a raw server; returns how many connections it was given."""
    connections = 0

    async def main() -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            try:
                await serve(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_unix_server(accept, str(tmp_path / "s"))
        transport = HTTPTransport(Target(socket=str(tmp_path / "s"), **target))
        try:
            async with asyncio.timeout(WAIT):
                await case(transport)
        finally:
            await transport.close()
            server.close()

    uvloop.run(main())
    return connections


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length: "):
            return head + await reader.readexactly(int(line.split()[1]))
    return head


def repeating(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request_of(reader)
            writer.write(answer)

    return serve


async def get(transport: HTTPTransport, path: str = "/") -> Any:
    return (await transport.send(Request("GET", path))).body


def test_one_connection_serves_many_requests(tmp_path: Path) -> None:
    async def case(transport: HTTPTransport) -> None:
        for _ in range(5):
            assert await get(transport) == b"ok"

    assert against(tmp_path, repeating(OK), case) == 1


def test_a_connection_that_is_to_close_is_not_used_again(tmp_path: Path) -> None:
    answer = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    async def case(transport: HTTPTransport) -> None:
        for _ in range(2):
            assert await get(transport) == b"ok"

    assert against(tmp_path, repeating(answer), case) == 2


def test_a_connection_idle_for_too_long_is_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", -1.0)

    async def case(transport: HTTPTransport) -> None:
        for _ in range(2):
            assert await get(transport) == b"ok"

    assert against(tmp_path, repeating(OK), case) == 2


def test_what_is_sent_is_http(tmp_path: Path) -> None:
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await request_of(reader))
            writer.write(OK)

    async def case(transport: HTTPTransport) -> None:
        headers = {"impersonate-group": "a\nb", "accept": "x"}
        await transport.send(Request("PUT", "/a b/é", "x=%20", headers, b"body"))
        await transport.send(Request("POST", "/"))

    against(tmp_path, serve, case, token=lambda: "secret", prefix="/k8s")
    assert seen[0].decode().split("\r\n") == [
        "PUT /k8s/a%20b/%C3%A9?x=%20 HTTP/1.1",
        "host: localhost",
        "impersonate-group: a",
        "impersonate-group: b",
        "accept: x",
        "authorization: Bearer secret",
        "content-length: 4",
        "",
        "body",
    ]
    assert b"content-length: 0" in seen[1]


def test_a_read_is_sent_again_when_a_kept_connection_was_closed(tmp_path: Path) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(OK)
        await request_of(reader)

    async def case(transport: HTTPTransport) -> None:
        assert await get(transport) == b"ok"
        assert await get(transport) == b"ok"

    assert against(tmp_path, once, case) == 2


def test_a_write_is_not_sent_twice(tmp_path: Path) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(OK)
        await request_of(reader)

    async def case(transport: HTTPTransport) -> None:
        assert await get(transport) == b"ok"
        with pytest.raises(Unreachable, match="broke the connection off"):
            await transport.send(Request("POST", "/"))

    assert against(tmp_path, once, case) == 1


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok", b"HTTP/1.1 200", b"SSH-2.0\r\n\r\n"],
)
def test_an_answer_that_is_not_whole_is_unreachable(tmp_path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(answer)

    async def case(transport: HTTPTransport) -> None:
        with pytest.raises(Unreachable):
            await get(transport)

    against(tmp_path, serve, case)


def test_a_stream_that_breaks_off_is_unreachable(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    async def case(transport: HTTPTransport) -> None:
        body = await get(transport)
        assert isinstance(body, AsyncIterator)
        pieces = []
        with pytest.raises(Unreachable):
            async for piece in body:
                pieces.append(piece)
        assert b"".join(pieces) == b"abc"

    against(tmp_path, serve, case)


def test_a_stream_read_to_its_end_gives_its_connection_back(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

    async def case(transport: HTTPTransport) -> None:
        for _ in range(3):
            assert b"".join([piece async for piece in await get(transport)]) == b"abc"

    assert against(tmp_path, repeating(answer), case) == 1


def test_a_connection_lost_before_its_stream_was_read_is_not_used_again(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"/stream" not in await request_of(reader):
            writer.write(OK)
        writer.write(answer)

    async def case(transport: HTTPTransport) -> None:
        body = await get(transport, "/stream")
        for _ in range(2):  # what came before an answer on another connection is known by then
            assert await get(transport) == b"ok"
        assert b"".join([piece async for piece in body]) == b"abc"
        for _ in range(2):  # writes, which are not sent again
            assert (await transport.send(Request("POST", "/", body=b"x"))).body == b"ok"

    assert against(tmp_path, serve, case) == 2


def test_a_stream_given_up_closes_its_connection(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert await reader.read() == b""
        closed.set()

    async def case(transport: HTTPTransport) -> None:
        body = await get(transport)
        assert await anext(body) == b"abc"
        await body.aclose()
        await closed.wait()
        with pytest.raises(StopAsyncIteration):
            await anext(body)

    against(tmp_path, serve, case)


def test_a_stream_is_not_read_far_ahead(tmp_path: Path) -> None:
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request_of(reader)
        if sent:
            writer.write(OK)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(1000):
            writer.write(b"10000\r\n" + b"a" * 65536 + b"\r\n")
            await writer.drain()
            sent += 1
        writer.write(b"0\r\n\r\n")

    async def case(transport: HTTPTransport) -> None:
        body = await get(transport)
        await anext(body)
        for _ in range(20):
            assert await get(transport) == b"ok"
        assert sent < 100
        size = 0
        async for piece in body:
            size += len(piece)
        assert size > 60_000_000

    against(tmp_path, serve, case)


def test_a_server_that_does_not_answer_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.05)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def case(transport: HTTPTransport) -> None:
        with pytest.raises(Unreachable, match="does not answer"):
            await get(transport)
        with pytest.raises(Unreachable, match="does not answer"):
            await transport.upgrade(Request("GET", "/"))

    against(tmp_path, serve, case)


def test_a_cancelled_request_closes_its_connection(tmp_path: Path) -> None:
    started, closed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        started.set()
        await reader.read()
        closed.set()

    async def case(transport: HTTPTransport) -> None:
        asking = asyncio.ensure_future(get(transport))
        await started.wait()
        asking.cancel()
        await closed.wait()

    against(tmp_path, serve, case)


def test_an_interim_answer_is_passed_over(tmp_path: Path) -> None:
    async def case(transport: HTTPTransport) -> None:
        assert await get(transport) == b"ok"
        assert await get(transport) == b"ok"

    assert against(tmp_path, repeating(b"HTTP/1.1 100 Continue\r\n\r\n" + OK), case) == 1


def test_answers_without_a_body_end_at_their_head(tmp_path: Path) -> None:
    async def case(transport: HTTPTransport) -> None:
        response: Response = await transport.send(Request("DELETE", "/"))
        assert (response.status, response.body) == (204, b"")

    against(tmp_path, repeating(b"HTTP/1.1 204 No Content\r\n\r\n"), case)


def test_a_head_request_has_no_body(tmp_path: Path) -> None:
    async def case(transport: HTTPTransport) -> None:
        response = await transport.send(Request("HEAD", "/"))
        assert response.body == b""

    against(tmp_path, repeating(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"), case)


def test_bytes_behind_a_101_belong_to_the_channel(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        start = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
        writer.write(start + b"early")
        assert await reader.readexactly(4) == b"late"
        writer.write(b"done")

    async def case(transport: HTTPTransport) -> None:
        headers = {"upgrade": "x", "connection": "Upgrade"}
        channel = await transport.upgrade(Request("GET", "/", headers=headers))
        got = b""
        while len(got) < 5:
            got += await channel.read()
        await channel.write(b"late")
        while data := await channel.read():
            got += data
        assert got == b"earlydone"

    against(tmp_path, serve, case)


def test_an_upgrade_that_is_refused_raises_what_the_answer_says(tmp_path: Path) -> None:
    body = b'{"kind":"Status","reason":"Forbidden","code":403,"message":"no"}'
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def case(transport: HTTPTransport) -> None:
        with pytest.raises(Forbidden, match="no"):
            await transport.upgrade(Request("GET", "/"))

    against(tmp_path, repeating(answer), case)


def test_an_upgrade_that_is_ignored_is_an_error(tmp_path: Path) -> None:
    async def case(transport: HTTPTransport) -> None:
        with pytest.raises(APIError):
            await transport.upgrade(Request("GET", "/"))

    against(tmp_path, repeating(OK), case)


def test_a_token_that_cannot_be_read_is_unreachable(tmp_path: Path) -> None:
    async def case(transport: HTTPTransport) -> None:
        with pytest.raises(Unreachable, match="token cannot be read"):
            await get(transport)

    def token() -> str:
        return (tmp_path / "none").read_text()

    against(tmp_path, repeating(OK), case, token=token)


def test_a_closed_transport_opens_nothing(tmp_path: Path) -> None:
    async def case(transport: HTTPTransport) -> None:
        await transport.close()
        with pytest.raises(Unreachable, match="closed"):
            await get(transport)

    assert against(tmp_path, repeating(OK), case) == 0


def users_of_one_pool(tmp_path: Path) -> tuple[HTTPTransport, HTTPTransport]:
    pool, socket = Pool(), str(tmp_path / "s")
    first, second = (HTTPTransport(Target(socket=socket, user=it), pool=pool) for it in "ab")
    return first, second


def test_several_users_share_a_connection_and_each_request_says_who_asks(tmp_path: Path) -> None:
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await request_of(reader))
            writer.write(OK)

    async def case(_: HTTPTransport) -> None:
        first, second = users_of_one_pool(tmp_path)
        for transport in (first, second, first):
            assert await get(transport) == b"ok"

    assert against(tmp_path, serve, case) == 1
    users = [
        line for one in seen for line in one.split(b"\r\n") if line.startswith(b"x-remote-user")
    ]
    assert users == [b"x-remote-user: a", b"x-remote-user: b", b"x-remote-user: a"]


def test_a_transport_that_is_closed_takes_its_own_connections_out_of_a_pool(tmp_path: Path) -> None:
    async def case(_: HTTPTransport) -> None:
        first, second = users_of_one_pool(tmp_path)
        await get(first)
        await first.close()
        assert await get(second) == b"ok"  # by a new connection
        with pytest.raises(Unreachable, match="closed"):
            await get(first)
        assert await get(second) == b"ok"  # by the same

    assert against(tmp_path, repeating(OK), case) == 2


def test_a_connection_that_was_taken_over_stays_when_its_first_user_closes(tmp_path: Path) -> None:
    async def case(_: HTTPTransport) -> None:
        first, second = users_of_one_pool(tmp_path)
        await get(first)
        await get(second)
        await first.close()
        assert await get(second) == b"ok"

    assert against(tmp_path, repeating(OK), case) == 1


def test_a_connection_that_ends_is_forgotten_by_who_had_it_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(OK)
        await request_of(reader)
        writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    async def case(_: HTTPTransport) -> None:
        first, second = users_of_one_pool(tmp_path)
        await get(first)
        forgotten, forget = asyncio.Event(), second.forget

        def tell(connection: Any) -> None:
            forget(connection)
            forgotten.set()

        monkeypatch.setattr(second, "forget", tell)
        await get(second)
        await forgotten.wait()
        assert not first._open and not second._open

    assert against(tmp_path, serve, case) == 1


def test_users_of_one_pool_ask_no_more_at_once_than_one_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_REQUESTS", 2)

    async def case(_: HTTPTransport) -> None:
        both = users_of_one_pool(tmp_path)
        await asyncio.gather(*(get(transport) for transport in both * 4))

    assert against(tmp_path, repeating(OK), case) == 2
