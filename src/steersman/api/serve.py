"""The HTTPS/1.1 server: listens, shakes hands, bounds the connections, stops gracefully.

It serves any `Handler` over TLS or a Unix socket. What one connection does is `api.connection`.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
import stat
from collections.abc import Coroutine
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from steersman.api.connection import HEAD_SECONDS, Connection
from steersman.wire.message import Handler, Peer
from steersman.world.interface import World

# All connections together; the limit on open files lowers it where that is less
MAX_CONNECTIONS = 16_384
# Descriptors left for the store, the log and outgoing connections
RESERVED_DESCRIPTORS = 256
# Connections in the handshake or without an identity; beyond, the oldest of them gives way
MAX_UNPROVEN = 1_024
# How long a stop waits for answers under way
STOP_SECONDS = 5.0
# Connections that the kernel keeps ready while the loop is busy
BACKLOG = 1_024
LOOPBACK = ("127.", "::1", "::ffff:127.")


def tls_context(certificate: Path, key: Path, client_ca: Path) -> ssl.SSLContext:
    """Returns the server's TLS settings: HTTP/1.1 only, client certificates optional.

    `load_cert_chain` on the result renews the certificate for connections to come.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0  # client-go does not resume sessions
    return context


class Server:
    """Serves a handler; to be entered with `async with`, left by stopping.

    Tasks run in one group of the world: one for each handshake and for each answer that has to
    wait for something.
    """

    def __init__(
        self,
        handler: Handler,
        world: World,
        *,
        max_connections: int = MAX_CONNECTIONS,
        max_unproven: int = MAX_UNPROVEN,
    ) -> None:
        self.handler = handler
        self.world = world
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.max_connections = max(1, min(max_connections, files - RESERVED_DESCRIPTORS))
        self.max_unproven = max_unproven
        self._tasks = world.tasks()
        self._listeners: list[asyncio.Server] = []
        self._paths: list[Path] = []
        self._connections: set[Connection] = set()
        self._handshakes = 0
        self._unproven: dict[asyncio.Transport | Connection, None] = {}
        self._empty: asyncio.Future[None] | None = None
        self._date = ""
        self._date_second = 0

    async def __aenter__(self) -> Server:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop(STOP_SECONDS if error is None else 0)
        await self._tasks.__aexit__(kind, error, trace)

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> tuple[str, int]:
        """Listens on an address, port 0 for any; returns both as they are."""
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: _Accept(self, tls), host, port, backlog=BACKLOG)
        self._listeners.append(listener)
        name = listener.sockets[0].getsockname()
        return name[0], name[1]

    async def listen_unix(self, path: Path) -> None:
        """Listens on a Unix socket that only the process's user may open; takes the place of a
        socket that nobody listens on any more. Raises OSError."""
        _clear(path)
        listening = socket.socket(socket.AF_UNIX)
        try:
            listening.bind(str(path))
            os.chmod(path, 0o600)  # before listen: nobody can connect earlier
            loop = asyncio.get_running_loop()
            listener = await loop.create_unix_server(
                lambda: _Accept(self, None), sock=listening, backlog=BACKLOG
            )
        except BaseException:
            listening.close()
            raise
        self._listeners.append(listener)
        self._paths.append(path)

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Stops accepting, ends watches, lets answers under way finish for so long."""
        for listener in self._listeners:
            listener.close()
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._listeners, self._paths = [], []
        for connection in list(self._connections):
            connection.shut_down()
        if self._connections and seconds > 0:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._empty], timeout=seconds)
        for connection in list(self._connections):
            connection.abort()
        self._tasks.stop()

    # What connections call

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs a connection's work."""
        return self._tasks.start(work, name="request")

    def date(self) -> str:
        """Returns the time as a Date header says it."""
        second = int(self.world.now())
        if second != self._date_second:
            self._date_second = second
            self._date = formatdate(second, usegmt=True)
        return self._date

    def prove(self, connection: Connection) -> None:
        """Notes that it is known who is behind a connection."""
        connection.unproven = False
        self._unproven.pop(connection, None)

    def forget(self, connection: Connection) -> None:
        """Notes that a connection is gone."""
        self._connections.discard(connection)
        self._unproven.pop(connection, None)
        if not self._connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    # Accepting

    def accept(self, transport: asyncio.Transport, tls: ssl.SSLContext | None) -> None:
        """Takes a new connection, or turns it away."""
        if len(self._connections) + self._handshakes >= self.max_connections:
            transport.abort()
            return
        if tls is not None:
            transport.pause_reading()
            self._admit(transport)
            self._tasks.start(self._shake_hands(transport, tls), name="handshake")
            return
        connection = Connection(self, Peer(_address(transport)), compress=False)
        transport.set_protocol(connection)
        self._add(connection, transport)

    async def _shake_hands(self, transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        address = _address(transport)
        peer = Peer(address)
        connection = Connection(self, peer, compress=not address.startswith(LOOPBACK))
        self._handshakes += 1
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport, connection, tls, server_side=True, ssl_handshake_timeout=HEAD_SECONDS
            )
        except OSError:
            # Broken off, too slow, not TLS, or a certificate of somebody else's: nobody to answer
            transport.abort()
            return
        finally:
            self._handshakes -= 1
            self._unproven.pop(transport, None)
        secured = cast(asyncio.Transport, secured)
        peer.certificate = secured.get_extra_info("ssl_object").getpeercert(binary_form=True)
        connection.unproven = peer.certificate is None
        self._add(connection, secured)

    def _add(self, connection: Connection, transport: asyncio.Transport) -> None:
        if transport.is_closing():
            return
        self._connections.add(connection)
        if connection.unproven and transport.get_extra_info("ssl_object") is not None:
            self._admit(connection)
        connection.connection_made(transport)

    def _admit(self, newcomer: asyncio.Transport | Connection) -> None:
        """Counts somebody unknown in; the oldest unknown gives way, so that who only holds
        connections open shuts nobody out."""
        if len(self._unproven) >= self.max_unproven:
            oldest = next(iter(self._unproven))
            del self._unproven[oldest]
            oldest.abort()
        self._unproven[newcomer] = None


class _Accept(asyncio.Protocol):
    """Receives a new connection before it is known whether and how it is served."""

    def __init__(self, server: Server, tls: ssl.SSLContext | None) -> None:
        self._server = server
        self._tls = tls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server.accept(cast(asyncio.Transport, transport), self._tls)


def _address(transport: asyncio.Transport) -> str:
    name = transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else "unix"


def _clear(path: Path) -> None:
    """Removes a socket that nobody listens on; raises OSError for anything else in the way."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise FileExistsError(f"{path} is in the way and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise OSError(f"another process listens on {path}")
