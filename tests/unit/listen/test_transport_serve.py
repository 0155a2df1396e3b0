"""The HTTP server over Unix sockets and TLS, seen from a raw client."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
import logging
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from steersman.listen import certificates, connection, serve
from steersman.model.errors import Forbidden, NotFound, TooManyRequests
from steersman.wire.http import BODY_BYTES, HEADER_BYTES
from steersman.wire.message import Channel, Chunk, Handler, Request, Response, Sink, Upgrade
from steersman.world.real import RealWorld

# For what is over in milliseconds on a machine with nothing else to do
WAIT = 60.0
# For times that are to run out
SHORT = 0.05
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Case = Callable[[serve.Server, Callable[[], Awaitable[Streams]]], Coroutine[Any, Any, None]]


def serving(tmp_path: Path, handler: Handler, case: Case, **bounds: int) -> None:
    """Runs a case against a server on a Unix socket."""

    async def main() -> None:
        async with serve.Server(handler, RealWorld(), **bounds) as server:
            server.listen_unix(tmp_path / "s")
            writers = []

            async def connect() -> Streams:
                streams = await asyncio.open_unix_connection(str(tmp_path / "s"))
                writers.append(streams[1])
                return streams

            try:
                async with asyncio.timeout(WAIT):
                    await case(server, connect)
            finally:
                for writer in writers:
                    writer.transport.abort()

    uvloop.run(main())


async def head_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    text = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *lines = text.strip().split("\r\n")
    assert line.startswith("HTTP/1.1 "), line
    headers = dict(line.split(": ", 1) for line in lines)
    return int(line.split()[1]), {key.lower(): value for key, value in headers.items()}


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    code, headers = await head_of(reader)
    if "content-length" in headers:
        return code, headers, await reader.readexactly(int(headers["content-length"]))
    body = b""
    while headers.get("transfer-encoding") == "chunked":
        piece = await chunk_of(reader)
        if not piece:
            break
        body += piece
    return code, headers, body


async def chunk_of(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readuntil(b"\r\n"), 16)
    return (await reader.readexactly(size + 2))[:-2]


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: here", *headers, "", ""]).encode()


def echo(request: Request) -> Response:
    told = [request.method, request.path, request.query, dict(request.headers)]
    return Response(json.dumps([*told, request.body.decode("latin-1")]).encode())


def exchange(tmp_path: Path, handler: Handler, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    answers: list[tuple[int, dict[str, str], bytes]] = []

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(sent)
        answers.append(await answer_of(reader))

    serving(tmp_path, handler, case)
    return answers[0]


def test_an_answer_carries_upstreams_headers(tmp_path: Path) -> None:
    code, headers, body = exchange(tmp_path, lambda _: Response(b"{}"), get("/"))
    assert (code, body) == (200, b"{}")
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-cache, private"
    assert headers["date"].endswith("GMT")
    assert len(headers["audit-id"]) == 36
    assert "connection" not in headers


@pytest.mark.parametrize("waits", [False, True])
def test_an_error_is_told_in_the_form_that_was_asked_for(tmp_path: Path, waits: bool) -> None:
    async def later() -> Response:
        raise Forbidden("you may not")

    def handler(_request: Request) -> Any:
        if waits:
            return later()
        raise Forbidden("you may not")

    sent = get("/", "Accept: application/vnd.kubernetes.protobuf, application/json")
    code, headers, body = exchange(tmp_path, handler, sent)
    assert (code, headers["content-type"]) == (403, "application/vnd.kubernetes.protobuf")
    assert body.startswith(b"k8s\0") and b"you may not" in body
    code, headers, body = exchange(tmp_path, handler, get("/", "Accept: application/yaml"))
    assert (code, headers["content-type"]) == (403, "application/yaml")
    assert b'message: "you may not"\n' in body


def test_a_path_is_decoded_and_a_query_is_not(tmp_path: Path) -> None:
    _, _, body = exchange(tmp_path, echo, get("/a%20b/%C3%A9?x=%20&y"))
    assert json.loads(body)[1:3] == ["/a b/é", "x=%20&y"]


@pytest.mark.parametrize("path", ["/%zz", "/%", "/%4", "/%ff", "/%+1"])
def test_a_bad_escape_is_a_bad_request(tmp_path: Path, path: str) -> None:
    code, headers, body = exchange(tmp_path, echo, get(path))
    assert (code, headers["connection"]) == (400, "close")
    assert b"invalid URL escape" in body


def test_a_target_in_absolute_form_is_served(tmp_path: Path) -> None:
    _, _, body = exchange(tmp_path, echo, get("http://here/a?b"))
    assert json.loads(body)[1:3] == ["/a", "b"]


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"PUT / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: 3\r\n"
        b"\r\n",
    ],
)
def test_what_is_not_http_is_a_bad_request(tmp_path: Path, sent: bytes) -> None:
    code, headers, _ = exchange(tmp_path, echo, sent)
    assert (code, headers["connection"]) == (400, "close")


def test_a_repeated_header_is_joined_and_a_group_keeps_its_commas(tmp_path: Path) -> None:
    sent = get("/", "A: 1", "a: 2", "Impersonate-Group: x,y", "Impersonate-Group: z")
    headers = json.loads(exchange(tmp_path, echo, sent)[2])[3]
    assert headers["a"] == "1, 2"
    assert headers["impersonate-group"] == "x,y\nz"


def test_a_head_over_its_bound_is_refused(tmp_path: Path) -> None:
    code, headers, _ = exchange(tmp_path, echo, get("/", f"A: {'b' * HEADER_BYTES}"))
    assert (code, headers["connection"]) == (431, "close")


def test_a_header_that_never_ends_is_refused(tmp_path: Path) -> None:
    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nA: ")
        writer.write(b"b" * (HEADER_BYTES * 16))
        assert (await head_of(reader))[0] == 431

    serving(tmp_path, echo, case)


def test_a_body_may_be_as_large_as_the_bound_and_no_larger(tmp_path: Path) -> None:
    def size(request: Request) -> Response:
        return Response(str(len(request.body)).encode())

    for more, code in ((0, 200), (1, 413)):
        length = BODY_BYTES + more
        sent = get("/", f"Content-Length: {length}", method="POST") + b"a" * length
        answer = exchange(tmp_path, size, sent)
        assert answer[0] == code
    status = json.loads(answer[2])
    assert status["message"] == "Request entity too large: limit is 3145728"
    assert status["reason"] == "RequestEntityTooLarge"


def test_a_chunked_body_is_read_and_bounded(tmp_path: Path) -> None:
    start = get("/", "Transfer-Encoding: chunked", method="POST")
    answer = exchange(tmp_path, echo, start + b"3\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n")
    assert json.loads(answer[2])[4] == "abcde"
    assert "trailer" not in json.loads(answer[2])[3]
    piece = b"%x\r\n%b\r\n" % (1 << 20, b"a" * (1 << 20))
    assert exchange(tmp_path, echo, start + piece * 4)[0] == 413


def test_a_gzip_body_is_unpacked_and_bounded(tmp_path: Path) -> None:
    def post(content: bytes) -> tuple[int, dict[str, str], bytes]:
        length = f"Content-Length: {len(content)}"
        start = get("/", "Content-Encoding: gzip", length, method="POST")
        return exchange(tmp_path, echo, start + content)

    assert json.loads(post(gzip.compress(b"abc"))[2])[4] == "abc"
    assert post(gzip.compress(b"a" * BODY_BYTES))[0] == 200
    assert post(gzip.compress(b"a" * (BODY_BYTES + 1)))[0] == 413
    assert post(b"nonsense")[0] == 400
    assert post(gzip.compress(b"abc")[:-9])[0] == 400


def test_an_unknown_content_encoding_is_refused(tmp_path: Path) -> None:
    sent = get("/", "Content-Encoding: br", "Content-Length: 1", method="POST") + b"a"
    assert exchange(tmp_path, echo, sent)[0] == 415


def test_a_client_that_expects_continue_is_told_to(tmp_path: Path) -> None:
    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/", "Expect: 100-continue", "Content-Length: 3", method="PUT"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert json.loads((await answer_of(reader))[2])[4] == "abc"

    serving(tmp_path, echo, case)


def test_a_client_is_told_to_continue_once_however_its_body_comes(tmp_path: Path) -> None:
    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/", "Expect: 100-continue", "Content-Length: 3", method="PUT"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        other, another = await connect()
        for piece in (b"a", b"b", b"c"):
            writer.write(piece)
            another.write(get("/"))
            await answer_of(other)  # the piece was read by now
        assert json.loads((await answer_of(reader))[2])[4] == "abc"

    serving(tmp_path, echo, case)


def test_a_client_is_told_to_continue_behind_the_answer_before(tmp_path: Path) -> None:
    release = asyncio.Event()

    def handler(request: Request) -> Response | Coroutine[Any, Any, Response]:
        async def slow() -> Response:
            await release.wait()
            return Response(b"slow")

        return slow() if request.path == "/slow" else Response(request.body)

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        expecting = get("/", "Expect: 100-continue", "Content-Length: 3", method="PUT")
        writer.write(get("/slow") + expecting)
        other, another = await connect()
        another.write(get("/other"))
        await answer_of(other)  # what came before on another connection was read by now
        release.set()
        assert (await answer_of(reader))[2] == b"slow"
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await answer_of(reader))[2] == b"abc"

    serving(tmp_path, handler, case)


def test_a_client_with_too_much_to_send_is_not_told_to_continue(tmp_path: Path) -> None:
    sent = get("/", "Expect: 100-continue", f"Content-Length: {BODY_BYTES + 1}", method="PUT")
    assert exchange(tmp_path, echo, sent)[0] == 413


def test_pipelined_requests_are_answered_in_their_order(tmp_path: Path) -> None:
    release = asyncio.Event()

    def handler(request: Request) -> Response | Coroutine[Any, Any, Response]:
        async def slow() -> Response:
            await release.wait()
            return Response(b"slow")

        return slow() if request.path == "/slow" else Response(request.path.encode())

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/slow") + b"".join(get(f"/{number}") for number in range(100)))
        other, another = await connect()
        another.write(get("/other"))
        assert (await answer_of(other))[2] == b"/other"
        release.set()
        bodies = [(await answer_of(reader))[2] for _ in range(101)]
        assert bodies == [b"slow", *(f"/{number}".encode() for number in range(100))]

    serving(tmp_path, handler, case)


def test_requests_are_not_read_far_ahead_of_a_slow_answer(tmp_path: Path) -> None:
    release = asyncio.Event()

    def handler(request: Request) -> Any:
        async def slow() -> Response:
            await release.wait()
            return Response(b"slow")

        return slow() if request.path == "/slow" else Response(b"quick")

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        many = get("/" + "a" * 1_000) * 10_000
        writer.write(get("/slow") + many)
        other, another = await connect()
        for _ in range(200):
            another.write(get("/other"))
            await answer_of(other)
        assert writer.transport.get_write_buffer_size() > len(many) // 2
        release.set()
        for _ in range(10_001):
            await answer_of(reader)

    serving(tmp_path, handler, case)


def test_a_client_that_reads_nothing_is_not_answered_for_ever(tmp_path: Path) -> None:
    calls = 0

    def handler(_request: Request) -> Response:
        nonlocal calls
        calls += 1
        return Response(b"a" * 100_000)

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/") * 2_000)
        other, another = await connect()
        for _ in range(3):
            another.write(get("/other"))
            await answer_of(other)
        assert calls < 100
        for _ in range(2_000):
            await answer_of(reader)

    serving(tmp_path, handler, case)


def test_the_same_get_again_is_answered_from_its_own_path(tmp_path: Path) -> None:
    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        for path in ("/a?x=1", "/b%20c", "/d"):
            writer.write(get(path, "Accept: text/plain"))
            method, got, query, headers, body = json.loads((await answer_of(reader))[2])
            assert (method, got + query, body) == (
                "GET",
                path.replace("?", "").replace("%20", " "),
                "",
            )
            assert headers["accept"] == "text/plain"
        writer.write(get("/e", "Accept: other"))
        assert json.loads((await answer_of(reader))[2])[3]["accept"] == "other"
        writer.write(get("/%zz", "Accept: other"))
        assert (await answer_of(reader))[0] == 400

    serving(tmp_path, echo, case)


def test_head_has_the_headers_of_get_and_no_body(tmp_path: Path) -> None:
    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/", method="HEAD") + get("/x"))
        code, headers = await head_of(reader)
        assert (code, headers["content-length"]) == (200, "3")
        assert (await answer_of(reader))[2] == b"abc"

    serving(tmp_path, lambda _: Response(b"abc"), case)


def test_a_client_that_asks_to_close_is_left_after_its_answer(tmp_path: Path) -> None:
    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/", "Connection: close"))
        assert (await answer_of(reader))[1]["connection"] == "close"
        assert await reader.read() == b""

    serving(tmp_path, lambda _: Response(b"abc"), case)


def test_http_1_0_gets_a_stream_without_chunks(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"abc"
        yield b"def"

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        _, headers = await head_of(reader)
        assert "transfer-encoding" not in headers
        assert await reader.read() == b"abcdef"

    serving(tmp_path, lambda _: Response(pieces()), case)


def test_pieces_are_sent_as_one_body(tmp_path: Path) -> None:
    code, headers, body = exchange(tmp_path, lambda _: Response([b"ab", b"", b"c"]), get("/"))
    assert (code, headers["content-length"], body) == (200, "3", b"abc")


def test_a_long_body_keeps_its_length_and_lets_others_in_between(tmp_path: Path) -> None:
    piece = b"0123456789" * 1_000

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/long"))
        other, another = await connect()
        another.write(get("/short"))
        assert (await answer_of(other))[2] == b"short"
        _, headers, body = await answer_of(reader)
        assert headers["content-length"] == str(len(piece) * 2_000)
        assert body == piece * 2_000

    def handler(request: Request) -> Response:
        return Response([piece] * 2_000 if request.path == "/long" else b"short")

    serving(tmp_path, handler, case)


def test_an_iterators_pieces_come_as_they_are_made(tmp_path: Path) -> None:
    following = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        yield b""
        await following.wait()
        yield b"second"

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/"))
        await head_of(reader)
        assert await chunk_of(reader) == b"first"
        following.set()
        assert await chunk_of(reader) == b"second"
        assert await chunk_of(reader) == b""

    serving(tmp_path, lambda _: Response(pieces()), case)


def test_an_iterator_that_fails_breaks_the_connection_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        raise ValueError("inside")

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/"))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await head_of(reader)
            while await chunk_of(reader):
                pass

    serving(tmp_path, lambda _: Response(pieces()), case)
    assert "GET / failed" in caplog.text


def test_an_iterator_is_slowed_down_by_its_reader_and_closed_when_it_goes(tmp_path: Path) -> None:
    made = 0
    closed = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal made
        try:
            while True:
                made += 1
                yield b"a" * 65_536
        finally:
            closed.set()

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/"))
        await head_of(reader)
        other, another = await connect()
        for _ in range(200):
            another.write(get("/other"))
            await answer_of(other)
        assert made < 50
        writer.transport.abort()
        await closed.wait()

    def handler(request: Request) -> Response:
        return Response(pieces() if request.path == "/" else b"other")

    serving(tmp_path, handler, case)


class Pushing:
    """A handler that pushes; it keeps what it was given and counts its closings."""

    def __init__(self) -> None:
        self.sinks: list[Sink] = []
        self.closings = 0
        self.closed = asyncio.Event()

    def __call__(self, request: Request) -> Response:
        return Response(self.push if request.path == "/watch" else b"other")

    def push(self, sink: Sink) -> Callable[[], None]:
        self.sinks.append(sink)
        sink.send(Chunk(b"first"))
        return self.close

    def close(self) -> None:
        self.closings += 1
        self.closed.set()


def test_a_push_streams_until_it_finishes_and_the_connection_goes_on(tmp_path: Path) -> None:
    pushing = Pushing()

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/watch") + get("/other"))
        await head_of(reader)
        assert await chunk_of(reader) == b"first"
        sink = pushing.sinks[0]
        sink.send(Chunk(b"second"))
        sink.send(Chunk(b""))
        assert await chunk_of(reader) == b"second"
        sink.finish()
        assert pushing.closings == 0  # not within finish
        sink.send(Chunk(b"late"))
        sink.finish()
        assert await chunk_of(reader) == b""
        assert (await answer_of(reader))[2] == b"other"
        await pushing.closed.wait()

    serving(tmp_path, pushing, case)
    assert pushing.closings == 1


def test_a_push_is_told_once_when_its_client_goes(tmp_path: Path) -> None:
    pushing = Pushing()

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/watch"))
        await head_of(reader)
        writer.close()
        await pushing.closed.wait()
        pushing.sinks[0].send(Chunk(b"late"))
        pushing.sinks[0].finish()
        assert pushing.sinks[0].pending == 0

    serving(tmp_path, pushing, case)
    assert pushing.closings == 1


def test_a_push_that_is_broken_off_has_no_end_and_is_told_once(tmp_path: Path) -> None:
    pushing = Pushing()

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/watch"))
        await head_of(reader)
        assert await chunk_of(reader) == b"first"
        pushing.sinks[0].abort()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await chunk_of(reader)
        await pushing.closed.wait()
        pushing.sinks[0].abort()

    serving(tmp_path, pushing, case)
    assert pushing.closings == 1


def test_a_push_that_has_finished_is_not_broken_off_any_more(tmp_path: Path) -> None:
    pushing = Pushing()

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/watch") + get("/other"))
        await head_of(reader)
        pushing.sinks[0].finish()
        pushing.sinks[0].abort()
        assert await chunk_of(reader) == b"first"
        assert await chunk_of(reader) == b""
        assert (await answer_of(reader))[2] == b"other"

    serving(tmp_path, pushing, case)


def test_what_a_slow_client_has_not_taken_is_pending(tmp_path: Path) -> None:
    pushing = Pushing()

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/watch"))
        await head_of(reader)
        sink = pushing.sinks[0]
        for _ in range(100):
            sink.send(Chunk(b"a" * 100_000))
        assert sink.pending > 5_000_000

    serving(tmp_path, pushing, case)


def test_a_request_under_way_is_cancelled_when_its_client_goes(tmp_path: Path) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait() -> Response:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async def case(_server: Any, connect: Any) -> None:
        _, writer = await connect()
        writer.write(get("/"))
        await started.wait()
        writer.close()
        await cancelled.wait()

    serving(tmp_path, lambda _: wait(), case)


def test_an_upgrade_hands_the_connection_over_with_what_was_read(tmp_path: Path) -> None:
    async def take(channel: Channel) -> None:
        while data := await channel.read():
            await channel.write(data.upper())

    async def later(_request: Request) -> Response:
        return Response(Upgrade(take), headers={"Upgrade": "shout"})

    def at_once(_request: Request) -> Response:
        return Response(Upgrade(take), headers={"Upgrade": "shout"})

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/", "Upgrade: shout", "Connection: Upgrade") + b"early")
        code, headers = await head_of(reader)
        assert (code, headers["upgrade"], headers["connection"]) == (101, "shout", "Upgrade")
        assert await reader.readexactly(5) == b"EARLY"
        writer.write(b"late")
        assert await reader.readexactly(4) == b"LATE"
        writer.close()

    serving(tmp_path, at_once, case)
    serving(tmp_path, later, case)


def test_an_upgraded_connection_ends_with_its_taker(tmp_path: Path) -> None:
    async def take(channel: Channel) -> None:
        await channel.write(b"bye")

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/", "Upgrade: shout", "Connection: Upgrade"))
        await head_of(reader)
        assert await reader.read() == b"bye"

    serving(tmp_path, lambda _: Response(Upgrade(take)), case)


def test_the_taker_of_a_connection_hears_that_its_client_has_gone(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def take(channel: Channel) -> None:
        while await channel.read():
            continue
        gone.set()

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/", "Upgrade: shout", "Connection: Upgrade"))
        await head_of(reader)
        writer.close()
        await gone.wait()

    serving(tmp_path, lambda _: Response(Upgrade(take)), case)


def test_an_upgrade_that_is_not_granted_goes_on_as_http(tmp_path: Path) -> None:
    async def later(request: Request) -> Response:
        return Response(request.path.encode())

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/a", "Upgrade: h2c", "Connection: Upgrade") + get("/b"))
        assert (await answer_of(reader))[2] == b"/a"
        assert (await answer_of(reader))[2] == b"/b"
        writer.write(get("/c"))
        assert (await answer_of(reader))[2] == b"/c"

    serving(tmp_path, lambda request: Response(request.path.encode()), case)
    serving(tmp_path, later, case)


def test_a_channel_slows_its_writer_down(tmp_path: Path) -> None:
    written = 0

    async def take(channel: Channel) -> None:
        nonlocal written
        while True:
            await channel.write(b"a" * 65_536)
            written += 1

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/up", "Upgrade: flood", "Connection: Upgrade"))
        await head_of(reader)
        other, another = await connect()
        for _ in range(200):
            another.write(get("/other"))
            await answer_of(other)
        assert written < 50
        await reader.read(1 << 20)

    def handler(request: Request) -> Response:
        return Response(Upgrade(take) if request.path == "/up" else b"other")

    serving(tmp_path, handler, case)


def test_an_api_error_becomes_its_status_wherever_it_is_raised(tmp_path: Path) -> None:
    async def later() -> Response:
        raise TooManyRequests("wait", retry_after_seconds=7)

    def handler(request: Request) -> Any:
        if request.path == "/later":
            return later()
        raise NotFound("not here")

    code, _, body = exchange(tmp_path, handler, get("/"))
    assert (code, json.loads(body)["reason"]) == (404, "NotFound")
    code, headers, body = exchange(tmp_path, handler, get("/later"))
    assert (code, headers["retry-after"]) == (429, "7")
    assert json.loads(body)["details"] == {"retryAfterSeconds": 7}


def test_an_unexpected_error_is_logged_and_tells_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(_request: Request) -> Response:
        raise ValueError("the password is swordfish")

    async def later() -> Response:
        raise ValueError("the password is swordfish")

    with caplog.at_level(logging.ERROR):
        for failing in (handler, lambda _: later()):
            caplog.clear()
            code, _, body = exchange(tmp_path, failing, get("/x"))
            assert (code, json.loads(body)["reason"]) == (500, "InternalError")
            assert b"swordfish" not in body
            assert "swordfish" in caplog.text


def test_an_answer_that_cannot_be_sent_ends_its_connection_and_not_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def nothing() -> Any:
        return None

    def handler(request: Request) -> Any:
        return nothing() if request.path == "/nothing" else Response(b"well")

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/nothing"))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await head_of(reader)
        reader, writer = await connect()
        writer.write(get("/"))
        assert (await answer_of(reader))[2] == b"well"

    serving(tmp_path, handler, case)
    assert "GET /nothing failed" in caplog.text


def test_a_header_value_cannot_end_its_header(tmp_path: Path) -> None:
    response = Response(b"", headers={"Warning": "a\r\nEvil: yes"})
    _, headers, _ = exchange(tmp_path, lambda _: response, get("/"))
    assert headers["warning"] == "a Evil: yes"
    assert "evil" not in headers


def test_an_audit_id_is_taken_over_or_drawn_for_each_request(tmp_path: Path) -> None:
    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        drawn = set()
        for _ in range(3):
            writer.write(get("/"))
            drawn.add((await answer_of(reader))[1]["audit-id"])
        assert len(drawn) == 3
        writer.write(get("/", "Audit-ID: mine"))
        assert (await answer_of(reader))[1]["audit-id"] == "mine"
        writer.write(get("/", f"Audit-ID: {'a' * 65}"))
        assert len((await answer_of(reader))[1]["audit-id"]) == 36

    serving(tmp_path, echo, case)


def test_an_audit_id_is_that_of_what_is_noted(tmp_path: Path) -> None:
    class Noted:
        id = "noted"
        has_objects = False

        def annotate(self, key: str, value: str) -> None:
            raise AssertionError(key, value)

    def handle(request: Request) -> Response:
        request.notes = Noted()
        return Response(b"")

    headers = exchange(tmp_path, handle, get("/", "Audit-ID: mine"))[1]
    assert headers["audit-id"] == "noted"


def test_own_caching_rules_replace_the_usual_ones(tmp_path: Path) -> None:
    response = Response(b"", headers={"Cache-Control": "public, immutable"})
    async_head = exchange(tmp_path, lambda _: response, get("/"))[1]
    assert async_head["cache-control"] == "public, immutable"


def test_a_date_of_an_answer_that_was_passed_on_stays(tmp_path: Path) -> None:
    past = "Thu, 01 Jan 2026 00:00:00 GMT"
    response = Response(b"", headers={"Date": past})
    assert exchange(tmp_path, lambda _: response, get("/"))[1]["date"] == past


def test_other_headers_leave_the_usual_caching_rules(tmp_path: Path) -> None:
    response = Response(b"", headers={"X-Own": "yes"})
    headers = exchange(tmp_path, lambda _: response, get("/"))[1]
    assert (headers["x-own"], headers["cache-control"]) == ("yes", "no-cache, private")


def test_a_body_has_a_time_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", SHORT)
    begun = get("/", "Content-Length: 3", method="PUT") + b"a"

    async def case(_server: Any, connect: Any) -> None:
        early = socket.socket(socket.AF_UNIX)  # what it says is there before it is taken
        early.connect(str(tmp_path / "s"))
        early.sendall(begun)
        reader, writer = await asyncio.open_unix_connection(sock=early)
        silent, _ = await connect()
        assert await silent.read() == b""  # by now the time for a head has passed
        writer.write(b"bc")
        assert json.loads((await answer_of(reader))[2])[4] == "abc"
        writer.close()
        monkeypatch.setattr(connection, "HEAD_SECONDS", WAIT)
        monkeypatch.setattr(connection, "BODY_SECONDS", SHORT)
        reader, writer = await connect()
        writer.write(begun)
        assert await reader.read() == b""

    serving(tmp_path, echo, case)


def test_a_client_that_says_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def case(_server: Any, connect: Any) -> None:
        monkeypatch.setattr(connection, "HEAD_SECONDS", SHORT)
        silent, _ = await connect()
        assert await silent.read() == b""
        # Time to ask in, however busy the machine is; what is short is what is looked at
        monkeypatch.setattr(connection, "HEAD_SECONDS", WAIT)
        slow, writer = await connect()
        writer.write(get("/"))
        await answer_of(slow)
        monkeypatch.setattr(connection, "HEAD_SECONDS", SHORT)
        writer.write(b"GET / HT")
        assert await slow.read() == b""
        monkeypatch.setattr(connection, "HEAD_SECONDS", WAIT)
        monkeypatch.setattr(connection, "IDLE_SECONDS", SHORT)
        idle, writer = await connect()
        writer.write(get("/"))
        await answer_of(idle)
        assert await idle.read() == b""

    serving(tmp_path, echo, case)


def test_whoever_was_refused_is_left_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", SHORT)

    async def case(_server: Any, connect: Any) -> None:
        for sent in (b"nonsense\r\n\r\n", get("/", f"Content-Length: {BODY_BYTES + 1}")):
            reader, writer = await connect()
            writer.write(sent)
            assert (await answer_of(reader))[0] in (400, 413)
            writer.write(b"more")
            try:
                assert await reader.read() == b""
            except ConnectionError:
                pass  # it had been left before it said more

    serving(tmp_path, echo, case)


def test_a_refusal_waits_for_the_answers_before_it(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def slow(_request: Request) -> Response:
        await release.wait()
        return Response(b"slow")

    async def case(_server: Any, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/") + b"nonsense\r\n\r\n")
        release.set()
        assert (await answer_of(reader))[2] == b"slow"
        assert (await answer_of(reader))[0] == 400

    serving(tmp_path, slow, case)


def test_a_watch_has_all_the_time_it_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", SHORT)
    monkeypatch.setattr(connection, "IDLE_SECONDS", SHORT)
    pushing = Pushing()

    async def case(_server: Any, connect: Any) -> None:
        # What it asks is there before the server takes the connection, so it is never late
        early = socket.socket(socket.AF_UNIX)
        early.connect(str(tmp_path / "s"))
        early.sendall(get("/watch"))
        reader, writer = await asyncio.open_unix_connection(sock=early)
        await head_of(reader)
        assert await chunk_of(reader) == b"first"
        silent, _ = await connect()
        assert await silent.read() == b""  # by now the idle time has passed
        pushing.sinks[0].send(Chunk(b"second"))
        assert await chunk_of(reader) == b"second"
        writer.close()

    serving(tmp_path, pushing, case)


def test_connections_over_the_bound_are_turned_away(tmp_path: Path) -> None:
    async def case(_server: Any, connect: Any) -> None:
        held = [await connect() for _ in range(2)]
        for reader, writer in held:
            writer.write(get("/"))
            await answer_of(reader)
        refused, _ = await connect()
        try:
            assert await refused.read() == b""
        except ConnectionResetError:
            pass
        held[0][1].write(get("/"))
        assert (await answer_of(held[0][0]))[0] == 200

    serving(tmp_path, echo, case, max_connections=2)


def test_a_stop_ends_watches_and_lets_answers_finish(tmp_path: Path) -> None:
    pushing = Pushing()
    started, release = asyncio.Event(), asyncio.Event()

    async def slow() -> Response:
        started.set()
        await release.wait()
        return Response(b"done")

    def handler(request: Request) -> Any:
        return slow() if request.path == "/slow" else pushing(request)

    async def case(server: serve.Server, connect: Any) -> None:
        watch, one = await connect()
        one.write(get("/watch"))
        await head_of(watch)
        busy, two = await connect()
        two.write(get("/slow"))
        await started.wait()
        idle, three = await connect()
        three.write(get("/x"))
        await answer_of(idle)
        stopping = asyncio.ensure_future(server.stop())
        assert await chunk_of(watch) == b"first"
        assert await chunk_of(watch) == b""
        assert await idle.read() == b""
        release.set()
        code, headers, body = await answer_of(busy)
        assert (code, headers["connection"], body) == (200, "close", b"done")
        await stopping
        with pytest.raises(OSError):
            await connect()

    serving(tmp_path, handler, case)
    assert pushing.closings == 1
    assert not (tmp_path / "s").exists()


def test_a_stop_ends_connections_that_were_handed_over(tmp_path: Path) -> None:
    async def take(channel: Channel) -> None:
        while await channel.read():
            continue

    async def case(server: serve.Server, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/", "Upgrade: shout", "Connection: Upgrade"))
        await head_of(reader)
        began = asyncio.get_running_loop().time()
        stopping = asyncio.ensure_future(server.stop(WAIT))
        assert await reader.read() == b""
        await stopping
        assert asyncio.get_running_loop().time() - began < WAIT / 2

    serving(tmp_path, lambda _: Response(Upgrade(take)), case)


def test_a_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    started = asyncio.Event()

    async def stuck() -> Response:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def case(server: serve.Server, connect: Any) -> None:
        reader, writer = await connect()
        writer.write(get("/"))
        await started.wait()
        await server.stop(0.05)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await head_of(reader)

    serving(tmp_path, lambda _: stuck(), case)


def test_a_unix_socket_is_private_and_replaces_a_dead_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with serve.Server(echo, RealWorld()) as server:
            server.listen_unix(tmp_path / "s")
            assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
            async with serve.Server(echo, RealWorld()) as second:
                with pytest.raises(OSError, match="another process listens"):
                    second.listen_unix(tmp_path / "s")
                (tmp_path / "file").write_text("mine")
                with pytest.raises(OSError, match="not a socket"):
                    second.listen_unix(tmp_path / "file")

    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    uvloop.run(main())


# TLS


def tls(
    tmp_path: Path, handler: Handler, case: Any, *, require: bool = False, **bounds: int
) -> None:
    async def main() -> None:
        files = certificates.ensure(tmp_path / "pki", (), RealWorld().now())
        context = serve.tls_context(
            files.certificate(), files.key(), files.ca, require_client=require
        )
        async with serve.Server(handler, RealWorld(), **bounds) as server:
            _, port = await server.listen("127.0.0.1", 0, context)

            async def connect(with_certificate: bool = True) -> Streams:
                client = ssl.create_default_context(cafile=str(files.ca))
                client.set_alpn_protocols(["h2", "http/1.1"])
                if with_certificate:
                    client.load_cert_chain(files.certificate("admin"), files.key("admin"))
                return await asyncio.open_connection("localhost", port, ssl=client)

            async with asyncio.timeout(WAIT):
                await case(port, connect)

    uvloop.run(main())


def test_over_tls_a_client_certificate_is_the_peers_and_is_optional(tmp_path: Path) -> None:
    seen = []

    def handler(request: Request) -> Response:
        assert request.peer is not None
        seen.append((request.peer.address, request.peer.certificate))
        return Response(b"ok")

    async def case(_port: int, connect: Any) -> None:
        for with_certificate in (True, False):
            reader, writer = await connect(with_certificate)
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            writer.write(get("/"))
            assert (await answer_of(reader))[2] == b"ok"
            writer.close()
            await writer.wait_closed()

    tls(tmp_path, handler, case)
    pem = (tmp_path / "pki" / "admin.crt").read_text()
    assert seen == [("127.0.0.1", ssl.PEM_cert_to_DER_cert(pem)), ("127.0.0.1", None)]


def test_over_tls_a_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    other = certificates.ensure(tmp_path / "other", (), RealWorld().now())

    async def case(port: int, connect: Any) -> None:
        client = ssl.create_default_context(cafile=str(tmp_path / "pki" / "ca.crt"))
        client.load_cert_chain(other.certificate("admin"), other.key("admin"))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            reader, writer = await asyncio.open_connection("localhost", port, ssl=client)
            writer.write(get("/"))
            if await reader.read() == b"":
                raise ConnectionResetError
        reader, writer = await connect()
        writer.write(get("/"))
        assert (await answer_of(reader))[0] == 200
        writer.close()

    tls(tmp_path, echo, case)


def test_over_tls_a_certificate_can_be_required(tmp_path: Path) -> None:
    async def case(_port: int, connect: Any) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            reader, writer = await connect(False)
            writer.write(get("/"))
            if await reader.read() == b"":
                raise ConnectionResetError
        reader, writer = await connect()
        writer.write(get("/"))
        assert (await answer_of(reader))[0] == 200
        writer.close()

    tls(tmp_path, echo, case, require=True)


def test_over_tls_the_oldest_unknown_gives_way_and_the_known_stays(tmp_path: Path) -> None:
    async def case(port: int, connect: Any) -> None:
        known, known_writer = await connect()
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert await silent[0][0].read() == b""
        known_writer.write(get("/"))
        assert (await answer_of(known))[0] == 200
        for _, writer in silent:
            writer.close()
        known_writer.close()

    tls(tmp_path, echo, case, max_unproven=2)


def test_over_tls_a_handshake_that_failed_takes_nobodys_place(tmp_path: Path) -> None:
    async def case(port: int, connect: Any) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        nonsense, spoken = await asyncio.open_connection("127.0.0.1", port)
        spoken.write(get("/"))
        while await nonsense.read(1 << 16):
            continue
        other, another = await connect(False)
        another.write(get("/"))
        assert (await answer_of(other))[0] == 200
        await writer.start_tls(
            ssl.create_default_context(cafile=tmp_path / "pki" / "ca.crt"),
            server_hostname="localhost",
        )
        writer.write(get("/"))
        assert (await answer_of(reader))[0] == 200
        for each in (writer, spoken, another):
            each.close()

    tls(tmp_path, echo, case, max_unproven=2)


def test_over_tls_whoever_a_request_made_known_stays(tmp_path: Path) -> None:
    def handler(request: Request) -> Response:
        assert request.peer is not None
        if "authorization" in request.headers:
            request.peer.identity["user"] = "known"
        return Response(b"ok")

    async def case(port: int, connect: Any) -> None:
        known, known_writer = await connect(False)
        known_writer.write(get("/", "Authorization: Bearer x"))
        assert (await answer_of(known))[0] == 200
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert await silent[0][0].read() == b""
        known_writer.write(get("/"))
        assert (await answer_of(known))[0] == 200
        for _, writer in [*silent, (known, known_writer)]:
            writer.close()

    tls(tmp_path, handler, case, max_unproven=2)


def test_over_tls_who_only_watches_is_known_before_the_watch_ends(tmp_path: Path) -> None:
    def handler(request: Request) -> Response:
        assert request.peer is not None
        request.peer.identity["token"] = True

        def push(sink: Sink) -> Callable[[], None]:
            sink.send(Chunk(b"first"))
            return lambda: None

        return Response(push)

    async def case(port: int, connect: Any) -> None:
        watching, writer = await connect(False)
        writer.write(get("/"))
        assert (await head_of(watching))[0] == 200
        assert await chunk_of(watching) == b"first"
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert await silent[0][0].read() == b""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await watching.read(1)
        for _, other in silent:
            other.close()
        writer.close()

    tls(tmp_path, handler, case, max_unproven=2)


def test_over_tls_the_bodies_of_the_unknown_are_bounded_together(tmp_path: Path) -> None:
    async def case(_port: int, connect: Any) -> None:
        begun = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"x" * 600
        _, first = await connect(False)
        first.write(begun)
        known, known_writer = await connect()
        known_writer.write(begun)
        second, writer = await connect(False)
        writer.write(begun)
        code, _, body = await answer_of(second)
        assert (code, json.loads(body)["reason"]) == (429, "TooManyRequests")
        known_writer.write(b"x" * 400)
        assert (await answer_of(known))[0] == 200
        first.write(b"x" * 400)
        third, third_writer = await connect(False)
        third_writer.write(begun + b"x" * 400)
        assert (await answer_of(third))[0] == 200
        for other in (first, writer, known_writer, third_writer):
            other.close()

    tls(tmp_path, echo, case, max_unproven_bytes=1000)


def test_over_tls_a_silent_client_is_left_in_the_handshake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "HEAD_SECONDS", SHORT)

    async def case(port: int, _connect: Any) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()

    tls(tmp_path, echo, case)


def test_a_long_body_is_compressed_off_loopback_only(tmp_path: Path) -> None:
    body = [b"0123456789" * 1_000] * 20
    request = get("/", "Accept-Encoding: gzip")
    assert "content-encoding" not in exchange(tmp_path, lambda _: Response(body), request)[1]
    found = asyncio.run(_over_pair(lambda _: Response(body), request))
    assert (found[1]["content-encoding"], found[1]["vary"]) == ("gzip", "Accept-Encoding")
    assert zlib.decompress(found[2], wbits=31) == b"".join(body)
    plain = asyncio.run(_over_pair(lambda _: Response(body), get("/")))
    assert "content-encoding" not in plain[1]
    for least in (b"a" * 131_072, [b"a" * 131_072]):
        short = asyncio.run(_over_pair(lambda _, body=least: Response(body), request))
        assert "content-encoding" not in short[1]
    longer = asyncio.run(_over_pair(lambda _: Response(b"a" * 131_073), request))
    assert longer[1]["content-encoding"] == "gzip"


def test_what_is_encoded_already_is_not_compressed_again(tmp_path: Path) -> None:
    packed = Response(b"a" * 200_000, headers={"Content-Encoding": "br"})
    found = asyncio.run(_over_pair(lambda _: packed, get("/", "Accept-Encoding: gzip")))
    assert (found[1]["content-encoding"], found[2]) == ("br", b"a" * 200_000)


def test_a_machine_that_is_short_of_descriptors_takes_its_clients_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serve, "REST_SECONDS", 0.01)

    class Short(socket.socket):
        refusals = 2

        def accept(self) -> tuple[socket.socket, Any]:
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    async def main() -> None:
        async with serve.Server(echo, RealWorld()) as server, asyncio.timeout(WAIT):
            listening = Short(socket.AF_INET)
            listening.bind(("127.0.0.1", 0))
            server._listen(listening, None)
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(get("/"))
            assert (await answer_of(reader))[0] == 200
            assert listening.refusals == 0
            writer.close()

    asyncio.run(main())


def test_an_address_that_comes_later_can_be_listened_on_early() -> None:
    async def main() -> None:
        async with serve.Server(echo, RealWorld()) as server:
            host, port = await server.listen("192.0.2.1", 0, None, early=True)
            assert (host, port > 0) == ("192.0.2.1", True)
            with pytest.raises(OSError):
                await server.listen("192.0.2.1", 0, None)

    asyncio.run(main())


async def _over_pair(handler: Handler, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Exchanges over a pair of sockets as if the client were on another machine."""
    from steersman.wire.message import Peer

    here, there = socket.socketpair()
    async with serve.Server(handler, RealWorld()) as server:
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(
            lambda: connection.Connection(server, Peer("192.0.2.1"), compress=True), there
        )
        reader, writer = await asyncio.open_unix_connection(sock=here)
        writer.write(sent)
        answer = await answer_of(reader)
        writer.close()
    return answer
