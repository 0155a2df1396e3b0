"""The transport over HTTP/1.1: TLS with a client certificate or a bearer token, or a Unix socket.

Idle connections are kept and used again. Times here are wire time: a socket knows no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast
from urllib.parse import quote

import httptools
import msgspec

from steersman.client.channel import Gate, SocketChannel
from steersman.client.errors import Unreachable
from steersman.wire.message import Channel, Request, Response
from steersman.wire.status import from_body

CONNECT_SECONDS = 10.0
# From the request to the end of the answer's head, and for a body of known length as much again;
# kube-apiserver gives requests a minute
ANSWER_SECONDS = 65.0
# Kept connections not used for so long are given up: the server closes its end after 90 s
IDLE_SECONDS = 60.0
# Requests at once, streams apart; more wait for their turn
MAX_REQUESTS = 64
# A dead peer is noticed after KEEPALIVE_SECONDS, also by a watch that hears nothing
KEEPALIVE_SECONDS = 30
# Bytes of a streamed body read ahead of who takes them
AHEAD_BYTES = 1024 * 1024
# An answer of known length; the largest is a page of 500 large objects
BODY_BYTES = 1024 * 1024 * 1024
SAFE = frozenset(("GET", "HEAD"))


class Target(msgspec.Struct, frozen=True):
    """Where a server is and how one shows oneself to it.

    `socket` is the path of a Unix socket, used in place of host, port and TLS; over it `user` and
    `groups` say who asks. `token` is asked for each request, since tokens are renewed. `prefix`
    stands before every path.
    """

    host: str = "localhost"
    port: int = 443
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    socket: str = ""
    token: Callable[[], str] | None = None
    prefix: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.socket:
            return f"unix:{self.socket}"
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"


class Pool:
    """What transports keep for the next request, and the bound of how many they ask at once.

    One for each transport, or one for several users of the same Unix socket, over which each
    request says who asks: thousands of nodes in one process need no connections of their own.
    """

    def __init__(self) -> None:
        self.idle: list[_Connection] = []
        self.slots = asyncio.Semaphore(MAX_REQUESTS)


class HTTPTransport:
    """See `client.interface.Transport`."""

    def __init__(
        self,
        target: Target,
        *,
        identity: str = "",
        body_bytes: int = BODY_BYTES,
        pool: Pool | None = None,
    ) -> None:
        self.identity = identity
        self.target = target
        self.body_bytes = body_bytes  # what an answer of known length may have
        self._pool = pool or Pool()
        self._open: set[_Connection] = set()
        self._closed = False

    async def send(self, request: Request) -> Response:
        """Sends one request; a chunked answer comes as an iterator. Raises Unreachable."""
        async with self._pool.slots:
            connection = self._reuse()
            if connection is not None:
                try:
                    return await self._exchange(connection, request)
                except Unreachable:
                    # The server may have closed it meanwhile, which is no answer; a write that
                    # may have been read is not sent twice
                    if connection.answered or request.method not in SAFE:
                        raise
            return await self._exchange(await self._connect(), request)

    async def upgrade(self, request: Request) -> Channel:
        """Opens an upgraded stream on a connection of its own; raises APIError, Unreachable."""
        answer, channel = await self.ask_upgrade(request)
        if channel is None:
            raise from_body(answer.status, cast(bytes, answer.body))
        return channel

    async def ask_upgrade(self, request: Request) -> tuple[Response, Channel | None]:
        """Asks for an upgrade; returns the answer, and the stream where it is a 101."""
        connection = await self._connect()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                head = await connection.ask(self._encode(request))
                body = b"" if head.status == 101 else await connection.body()
                channel = connection.leave_http() if head.status == 101 else None
        except TimeoutError:
            raise Unreachable(f"{self.target} does not answer") from None
        finally:
            if connection.channel is None:
                connection.abort()
        content_type = head.headers.get("content-type", "")
        return Response(body, head.status, content_type, head.headers), channel

    async def close(self) -> None:
        """Closes every connection, streams too."""
        self._closed = True
        idle = self._pool.idle
        idle[:] = [connection for connection in idle if connection not in self._open]
        for connection in list(self._open):
            connection.abort()

    async def _exchange(self, connection: _Connection, request: Request) -> Response:
        done = False
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                head = await connection.ask(
                    self._encode(request), bodiless=request.method == "HEAD"
                )
                if head.streamed:
                    done = True
                    body: bytes | AsyncIterator[bytes] = _Streamed(self, connection)
                else:
                    body = await connection.body()
                    self.release(connection)
                    done = True
        except TimeoutError:
            raise Unreachable(f"{self.target} does not answer") from None
        finally:
            if not done:
                connection.abort()
        content_type = head.headers.get("content-type", "")
        return Response(body, head.status, content_type, head.headers)

    def release(self, connection: _Connection) -> None:
        """Keeps a connection whose answer has been read whole, unless it has ended meanwhile."""
        if connection.reusable and not connection.lost:
            connection.idle_since = connection.loop.time()
            self._pool.idle.append(connection)
        else:
            connection.abort()

    def forget(self, connection: _Connection) -> None:
        """Notes that a connection is gone."""
        self._open.discard(connection)
        if connection in self._pool.idle:
            self._pool.idle.remove(connection)

    def _reuse(self) -> _Connection | None:
        while self._pool.idle and not self._closed:
            connection = self._pool.idle.pop()
            if connection.loop.time() - connection.idle_since < IDLE_SECONDS:
                self._take_over(connection)
                return connection
            connection.abort()
        return None

    def _take_over(self, connection: _Connection) -> None:
        connection.owner.forget(connection)
        connection.owner = self
        self._open.add(connection)

    async def _connect(self) -> _Connection:
        if self._closed:
            raise Unreachable("the transport is closed")
        target = self.target
        loop = asyncio.get_running_loop()

        def made() -> _Connection:
            return _Connection(self, str(target))

        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if target.socket:
                    _, connection = await loop.create_unix_connection(made, target.socket)
                else:
                    name = (target.server_name or target.host) if target.tls else None
                    _, connection = await loop.create_connection(
                        made, target.host, target.port, ssl=target.tls, server_hostname=name
                    )
        except TimeoutError:
            raise Unreachable(f"{target} cannot be reached: no connection in time") from None
        except OSError as error:
            raise Unreachable(f"{target} cannot be reached: {_why(error)}") from error
        self._open.add(connection)
        return connection

    def _encode(self, request: Request) -> bytes:
        """Returns the request as bytes; a header over several lines goes out several times."""
        target = self.target
        path = quote(target.prefix + request.path, safe="/:@!$&'()*+,;=~-._")
        query = f"?{request.query}" if request.query else ""
        lines = [f"{request.method} {path}{query} HTTP/1.1", f"host: {_host(target)}"]
        for name, value in request.headers.items():
            lines += [f"{name}: {line}" for line in value.split("\n")]
        if target.socket and target.user:
            lines.append(f"x-remote-user: {target.user}")
            lines += [f"x-remote-group: {group}" for group in target.groups]
        if target.token is not None and "authorization" not in request.headers:
            lines.append(f"authorization: Bearer {_token(target.token)}")
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            lines.append(f"content-length: {len(request.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + request.body


def _token(give: Callable[[], str]) -> str:
    try:
        return give()
    except OSError as error:
        raise Unreachable(f"the token cannot be read: {error}") from error


def _host(target: Target) -> str:
    if target.socket:
        return "localhost"
    return (
        f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"
    )


def _why(error: OSError) -> str:
    """Says in one line why a connection could not be made."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return error.strerror or str(error) or type(error).__name__


class _Head(msgspec.Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    streamed: bool


class _Connection(asyncio.Protocol):
    """One connection: one exchange at a time."""

    def __init__(self, owner: HTTPTransport, name: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.idle_since = 0.0
        self.answered = False
        self.reusable = False
        self.channel: SocketChannel | None = None
        self.owner = owner
        self._name = name
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._gate = Gate()
        self.lost = False
        self._held = False
        self._behind = b""
        self._begin(bodiless=False)

    def _begin(self, *, bodiless: bool) -> None:
        """Forgets the answer before."""
        self.answered = False
        self.reusable = False
        self._parser: Any = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._head: _Head | None = None
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._complete = False
        self._trouble = ""
        self._bodiless = bodiless
        self._changed = asyncio.Event()

    # What the transport asks for

    async def ask(self, data: bytes, *, bodiless: bool = False) -> _Head:
        """Sends a request and returns the head of its answer; raises Unreachable."""
        self._begin(bodiless=bodiless)
        if self.lost:
            raise Unreachable(f"{self._name} has closed the connection")
        self._transport.write(data)
        while self._head is None:
            await self._wait()
        return self._head

    async def body(self) -> bytes:
        """Returns the whole body; raises Unreachable."""
        while not self._complete:
            await self._wait()
        body = b"".join(self._pieces)
        self._pieces.clear()
        return body

    async def piece(self) -> bytes:
        """Returns the next piece of the body, b"" at its end; raises Unreachable."""
        while not self._pieces:
            if self._complete:
                return b""
            await self._wait()
        piece = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._held:
            self._held = False
            self._transport.resume_reading()
        return piece

    def leave_http(self) -> SocketChannel:
        """Returns the connection as a channel after a 101."""
        self.channel = SocketChannel(self._transport, self._gate, self._behind)
        if self.lost:
            self.channel.end()
        return self.channel

    def abort(self) -> None:
        """Closes at once."""
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        if self._trouble:
            raise Unreachable(f"{self._name} {self._trouble}")
        if self.lost:
            raise Unreachable(f"{self._name} broke the connection off")
        self._changed.clear()
        await self._changed.wait()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if (socket := transport.get_extra_info("socket")) is not None:
            _keep_alive(socket)

    def data_received(self, data: bytes) -> None:
        if self.channel is not None:
            self.channel.feed(data)
            return
        if self._head is not None and self._head.status == 101:
            self._behind += data
            return
        self.answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._behind = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            self._trouble = f"does not speak HTTP/1.1: {error}"
            self._transport.abort()
        self._changed.set()

    def eof_received(self) -> bool:
        if self.channel is not None:
            self.channel.end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        head = self._head
        if head is not None and head.streamed and "transfer-encoding" not in head.headers:
            self._complete = True  # HTTP/1.0: the end of the connection is that of the body
        if exc is not None and isinstance(exc, ssl.SSLError):
            self._trouble = f"refuses the connection: {exc.reason or exc}"
        self._gate.lose()
        if self.channel is not None:
            self.channel.end()
        self.owner.forget(self)
        self._changed.set()

    def pause_writing(self) -> None:
        self._gate.pause()

    def resume_writing(self) -> None:
        self._gate.resume()

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head is None:
            key = name.decode("latin-1").lower()
            text = value.decode("utf-8", "replace")
            self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, {}
        if 100 <= status < 101:
            return  # 100 Continue: the answer proper follows
        length = headers.get("content-length")
        if length is not None and int(length) > self.owner.body_bytes:
            self._trouble = f"answers with a body of {length} bytes"
            raise ValueError(length)
        without = self._bodiless or status in (101, 204, 304)
        self._head = _Head(status, headers, streamed=not without and length is None)
        if self._bodiless:
            self._complete = True

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        head = self._head
        if head is not None and head.streamed and self._size > AHEAD_BYTES and not self._held:
            self._held = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._head is not None:
            self._complete = True
            self.reusable = not self._bodiless and self._parser.should_keep_alive()


class _Streamed(AsyncIterator[bytes]):
    """A body that comes piece by piece; its connection is kept if it is read to the end."""

    def __init__(self, owner: HTTPTransport, connection: _Connection) -> None:
        self._owner = owner
        self._connection: _Connection | None = connection

    async def __anext__(self) -> bytes:
        if self._connection is None:
            raise StopAsyncIteration
        try:
            piece = await self._connection.piece()
        except BaseException:
            await self.aclose()
            raise
        if not piece:
            connection, self._connection = self._connection, None
            self._owner.release(connection)
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Gives the stream up, and its connection with it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def __del__(self) -> None:
        if self._connection is not None:
            self._connection.abort()


def _keep_alive(socket: Any) -> None:
    import socket as sockets

    with contextlib.suppress(OSError):  # a Unix socket has none of it
        socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_KEEPALIVE, 1)
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
            if hasattr(sockets, name):
                option = getattr(sockets, name)
                socket.setsockopt(sockets.IPPROTO_TCP, option, KEEPALIVE_SECONDS)
