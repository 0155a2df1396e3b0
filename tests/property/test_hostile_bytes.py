"""Whatever bytes come over a connection, the answer is a success, the client's mistake or nothing;
the server answers the next connection."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path

import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from steersman.listen import serve
from steersman.wire.message import Request, Response
from steersman.world.real import RealWorld

# For what is over in milliseconds on a machine with nothing else to do
WAIT_SECONDS = 60.0
_ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) ")
SOUND = b"GET /sound HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"

LINES = st.sampled_from(
    (
        *(b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"GET /%zz HTTP/1.1", b"POST / HTTP/1.1", b"GET"),
        *(b"GET  / HTTP/1.1", b"X / HTTP/1.1", b"GET * HTTP/1.1", b"GET http://a/ HTTP/1.1"),
        *(b"GET / HTTP/2", b"CONNECT a:1 HTTP/1.1", b"PRI * HTTP/2.0", b"\x16\x03\x01", b""),
    )
)
HEADERS = st.sampled_from(
    (
        *(
            b"Host: here",
            b"Host:",
            b"Host: a\r\nHost: b",
            b"Content-Length: 3",
            b"Content-Length: -1",
        ),
        *(b"Content-Length: 99999999999999999999", b"Content-Length: 3\r\nContent-Length: 4"),
        *(
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip",
            b"Transfer-Encoding: x, chunked",
        ),
        *(b"Expect: 100-continue", b"Expect: x", b"Upgrade: websocket\r\nConnection: upgrade"),
        *(b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings", b"Connection: close", b" folded"),
        *(
            b"Content-Encoding: gzip",
            b"Content-Encoding: br",
            b"A: \x00",
            b": x",
            b"A\xff: b",
            b"x",
        ),
    )
)
BODIES = st.sampled_from(
    (
        *(
            b"",
            b"abc",
            b"3\r\nabc\r\n0\r\n\r\n",
            b"fffffffffffffffff\r\n",
            b"-1\r\n",
            b"3;x\r\nabc\r\n0",
        ),
        *(b"\r\n\r\n", b"\x1f\x8b\x08\x00", SOUND),
    )
)
REQUESTS = st.tuples(LINES, st.lists(HEADERS, max_size=4), BODIES).map(
    lambda it: b"\r\n".join((it[0], *it[1], b"", it[2]))
)
BYTES = st.one_of(REQUESTS, REQUESTS, st.binary(max_size=200))


def handler(request: Request) -> Response:
    return Response(b"%d" % len(request.body))


async def exchange(path: Path, sent: bytes) -> bytes:
    """Sends bytes and says that there will be no more; returns all that came back."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(sent)
        writer.write_eof()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


@settings(max_examples=60)
@given(st.lists(BYTES, min_size=1, max_size=12))
def test_any_bytes_are_answered_or_given_up(sent: list[bytes]) -> None:
    async def main(path: Path) -> None:
        async with serve.Server(handler, RealWorld()) as server:
            server.listen_unix(path)
            async with asyncio.timeout(WAIT_SECONDS):
                for one in sent:
                    answers = await exchange(path, one)
                    codes = [int(code) for code in _ANSWER.findall(answers)]
                    assert answers == b"" or codes, (one, answers)
                    assert all(code < 500 or code in (501, 505) for code in codes), (one, answers)
                assert (await exchange(path, SOUND)).endswith(b"\r\n\r\n0")

    with tempfile.TemporaryDirectory() as directory:
        uvloop.run(main(Path(directory) / "s"))
