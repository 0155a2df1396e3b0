"""Health over gRPC, against a server of the test's own that speaks the frames as written."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import SimpleNamespace
from typing import cast

import pytest

from steersman.model.types.container import GRPCAction
from steersman.node.acting import health
from steersman.node.acting.handlers import Answer
from steersman.node.acting.health import ask_health
from steersman.node.tools import Tools
from steersman.wire.http2 import hpack
from steersman.wire.http2.connection import PREFACE
from steersman.world.real import RealWorld

HERE = "127.0.0.1"


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 1) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(*fields: tuple[str, str], end: bool = False) -> bytes:
    return frame(1, hpack.encode(fields), 4 | end)


SETTINGS = frame(4, stream=0)
BEGUN = headers((":status", "200"), ("content-type", "application/grpc"))


def says(message: bytes) -> bytes:
    """A whole answer."""
    data = frame(0, b"\0" + struct.pack(">I", len(message)) + message)
    return BEGUN + data + headers(("grpc-status", "0"), end=True)


def refuses(code: int, text: str) -> bytes:
    return headers((":status", "200"), ("grpc-status", str(code)), ("grpc-message", text), end=True)


class Server:
    """Says its settings, takes a request, and gives an answer; None keeps still, b"" leaves."""

    def __init__(self, answer: bytes | None, settings: bytes = SETTINGS) -> None:
        self.answer = answer
        self.settings = settings
        self.request = b""
        self.connections = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._answer(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.open.remove(writer)
        self.left.set()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(PREFACE)) == PREFACE
        await reader.readexactly(9 + 6)
        writer.write(self.settings)
        while not self.request.endswith((b"-end", b"\0\0\0\0\0")):
            if not (data := await reader.read(4096)):
                return
            self.request += data
        if self.answer is None:
            await reader.read()
        writer.write(self.answer or b"")

    async def empty(self) -> None:
        """Waits until nobody is connected."""
        while self.open:
            self.left.clear()
            await self.left.wait()


def asked(server: Server, service: str = "", seconds: float = 10.0) -> tuple[Answer, int]:
    async def main() -> tuple[Answer, int]:
        tools = cast(Tools, SimpleNamespace(world=RealWorld()))
        async with asyncio.timeout(20), await asyncio.start_server(server.serve, HERE, 0) as held:
            port = held.sockets[0].getsockname()[1]
            action = GRPCAction(port, service)
            answer = await ask_health(tools, action, HERE, seconds)
            await server.empty()
            return answer, port

    return asyncio.run(main())


def test_who_serves_is_healthy() -> None:
    server = Server(says(b"\x08\x01"))
    assert asked(server)[0] == Answer(True, "service healthy")
    assert b"/grpc.health.v1.Health/Check" in server.request
    assert server.request.endswith(frame(0, b"\0\0\0\0\0", 1))


def test_a_service_is_asked_for_by_name() -> None:
    server = Server(says(b"\x08\x01"))
    asked(server, "my-end")
    assert server.request.endswith(b"\0\0\0\0\x08\x0a\x06my-end")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (says(b""), 'service unhealthy (responded with "UNKNOWN")'),
        (says(b"\x08\x02"), 'service unhealthy (responded with "NOT_SERVING")'),
        (says(b"\x08\x03"), 'service unhealthy (responded with "SERVICE_UNKNOWN")'),
        (says(b"\x08\x09"), 'service unhealthy (responded with "9")'),
        (
            says(b"\x08"),
            "error: health rpc probe failed: rpc error: code = Internal desc = grpc: failed to "
            "unmarshal the received message: unexpected EOF",
        ),
        (
            refuses(12, "unknown service"),
            "error: this server does not implement the grpc health protocol "
            "(grpc.health.v1.Health): unknown service",
        ),
        (refuses(4, "late"), "timeout: health rpc did not complete within 10s"),
        (
            refuses(5, "unknown service"),
            "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service",
        ),
        (
            b"",
            "error: health rpc probe failed: rpc error: code = Unavailable desc = error reading "
            "from server: EOF",
        ),
    ],
)
def test_who_does_not_serve_is_told_in_the_kubelets_words(answer: bytes, text: str) -> None:
    assert asked(Server(answer))[0] == Answer(False, text)


def test_who_does_not_answer_in_time_is_told_so() -> None:
    text = "timeout: health rpc did not complete within 1s"
    assert asked(Server(None), seconds=1.0)[0] == Answer(False, text)


def test_who_does_not_speak_http_2_is_tried_again_until_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "RETRY_SECONDS", 0.01)
    server = Server(b"", settings=b"HTTP/1.1 400 Bad Request\r\n\r\n")
    answer, port = asked(server, seconds=1.0)
    where = f'"127.0.0.1:{port}" within 1s: context deadline exceeded'
    assert answer == Answer(False, f"timeout: failed to connect service {where}")
    assert server.connections > 1


def test_a_port_that_nobody_has_is_tried_until_the_time_is_over() -> None:
    with socket.socket() as held:  # bound, and not listening
        held.bind((HERE, 0))
        port = held.getsockname()[1]
        tools = cast(Tools, SimpleNamespace(world=RealWorld()))
        answer = asyncio.run(ask_health(tools, GRPCAction(port), HERE, 0.1))
    assert answer.text.startswith(f'timeout: failed to connect service "127.0.0.1:{port}"')
