"""The HTTPS/1.1 server: listens, shakes hands, bounds the connections, stops gracefully.

It serves any `Handler` over TLS or a Unix socket. What one connection does is in `connection`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import ssl
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any

from steersman.listen.connection import HEAD_SECONDS, Connection
from steersman.wire.http import render_date
from steersman.wire.message import Handler, Peer
from steersman.world.interface import World

# All connections together; the limit on open files lowers it where that is less
MAX_CONNECTIONS = 16_384
# Descriptors left for the store, the log and outgoing connections
RESERVED_DESCRIPTORS = 256
# Connections in the handshake or without an identity; beyond, the oldest of them gives way
MAX_UNPROVEN = 1_024
# Unfinished bodies of all of those together; each may be as long as anybody's, 3 MiB
MAX_UNPROVEN_BYTES = 32 * 1024 * 1024
# How long a stop waits for answers under way
STOP_SECONDS = 5.0
# Connections that the kernel keeps ready while the loop is busy
BACKLOG = 1_024
# Connections taken in one go, so that others have their turn
ACCEPTED_AT_ONCE = 64
# When descriptors or memory run out, accepting pauses: the waiting connection would spin the loop
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
REST_SECONDS = 1.0
IP_FREEBIND = 15  # linux/in.h; Python does not name it
LOOPBACK = ("127.", "::1", "::ffff:127.")


def tls_context(
    certificate: Path, key: Path, *client_cas: Path, require_client: bool = False
) -> ssl.SSLContext:
    """Returns the server's TLS settings: HTTP/1.1 only, client certificates optional or required.
    Whose they are who pass by one of several authorities is the handler's to tell.

    `load_cert_chain` on the result renews the certificate for connections to come.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    for client_ca in client_cas:
        context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_REQUIRED if require_client else ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    # all ciphers offered are good ones; the client knows which of them its processor does fastest
    # (Go's clients: AES-128, a quarter quicker for both sides than the one that we would choose)
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
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
        max_unproven_bytes: int = MAX_UNPROVEN_BYTES,
    ) -> None:
        self.handler = handler
        self.world = world
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.max_connections = max(1, min(max_connections, files - RESERVED_DESCRIPTORS))
        self.max_unproven = max_unproven
        self.max_unproven_bytes = max_unproven_bytes
        self._loop = asyncio.get_running_loop()
        self._tasks = world.tasks()
        self._listeners: list[socket.socket] = []
        self._paths: list[Path] = []
        self._connections: set[Connection] = set()
        self._greeting: set[Connection] = set()
        self._unproven: dict[Connection, Callable[[], object]] = {}
        self._bodies: dict[Connection, int] = {}
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

    async def listen(
        self, host: str, port: int, tls: ssl.SSLContext | None, *, early: bool = False
    ) -> tuple[str, int]:
        """Listens on an address, port 0 for any; returns both as they are.

        `early` listens on an address that the machine will only have later (a bridge's).
        """
        infos = await self._loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = infos[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if early:
                listening.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
            listening.bind(address)
        except OSError:
            listening.close()
            raise
        self._listen(listening, tls)
        name = listening.getsockname()
        return name[0], name[1]

    def listen_unix(self, path: Path) -> None:
        """Listens on a Unix socket that only the process's user may open; takes the place of a
        socket that nobody listens on any more. Raises OSError."""
        _clear(path)
        listening = socket.socket(socket.AF_UNIX)
        try:
            listening.bind(str(path))
            os.chmod(path, 0o600)  # before listen: nobody can connect earlier
        except OSError:
            listening.close()
            raise
        self._listen(listening, None)
        self._paths.append(path)

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Stops accepting, ends watches, lets answers under way finish for so long."""
        for listening in self._listeners:
            self._loop.remove_reader(listening)
            listening.close()
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._listeners, self._paths = [], []
        for connection in list(self._connections):
            connection.shut_down()
        if self._connections and seconds > 0:
            self._empty = self._loop.create_future()
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
        second = int(self.world.wire_now())
        if second != self._date_second:
            self._date_second = second
            self._date = render_date(second)
        return self._date

    def prove(self, connection: Connection) -> None:
        """Notes that it is known who is behind a connection."""
        connection.unproven = False
        self._unproven.pop(connection, None)
        self._bodies.pop(connection, None)

    def hold(self, connection: Connection, count: int) -> bool:
        """Notes how many bytes of a body are kept for somebody unknown; says if that may be."""
        self._bodies.pop(connection, None)
        if count:
            if sum(self._bodies.values()) + count > self.max_unproven_bytes:
                return False
            self._bodies[connection] = count
        return True

    def forget(self, connection: Connection) -> None:
        """Notes that a connection is gone."""
        self._connections.discard(connection)
        self._unproven.pop(connection, None)
        self._bodies.pop(connection, None)
        if not self._connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def join(self, connection: Connection) -> None:
        """Counts a connection in whose handshake is done."""
        self._greeting.discard(connection)
        self._connections.add(connection)
        if not connection.unproven:
            self._unproven.pop(connection, None)
        elif connection in self._unproven:
            self._unproven[connection] = connection.abort

    # Accepting

    def _listen(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        listening.setblocking(False)
        listening.listen(BACKLOG)
        self._listeners.append(listening)
        self._loop.add_reader(listening, self._accept, listening, tls)

    def _accept(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Takes the connections that wait, or turns them away."""
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connected, address = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in SHORTAGES:
                    raise
                self._rest(listening, tls)
                return
            if len(self._connections) + len(self._greeting) >= self.max_connections:
                connected.close()
                continue
            host = str(address[0]) if isinstance(address, tuple) else "unix"
            self._tasks.start(self._greet(connected, host, tls), name="handshake")

    def _rest(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Leaves connections waiting for a while: the machine has no descriptor for them."""
        self._loop.remove_reader(listening)

        def listen_again() -> None:
            if listening in self._listeners:
                self._loop.add_reader(listening, self._accept, listening, tls)

        self._loop.call_later(REST_SECONDS, listen_again)

    async def _greet(self, connected: socket.socket, host: str, tls: ssl.SSLContext | None) -> None:
        """Does the handshake; the connection joins when it is done."""
        compress = host != "unix" and not host.startswith(LOOPBACK)
        peer = Peer(host, local=connected.family == socket.AF_UNIX)
        connection = Connection(self, peer, compress=compress)
        self._greeting.add(connection)
        here = asyncio.current_task()
        if tls is not None and here is not None:
            self._admit(connection, here.cancel)
        try:
            if connected.family != socket.AF_UNIX:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(
                lambda: connection,
                connected,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else HEAD_SECONDS,
            )
        except OSError:
            # Broken off, too slow, not TLS, or a certificate of somebody else's: nobody to answer
            connected.close()
            self._unproven.pop(connection, None)
        finally:
            self._greeting.discard(connection)

    def _admit(self, newcomer: Connection, turn_away: Callable[[], object]) -> None:
        """Counts somebody unknown in; the oldest unknown gives way, so that who only holds
        connections open shuts nobody out."""
        if len(self._unproven) >= self.max_unproven:
            self._unproven.pop(next(iter(self._unproven)))()
        self._unproven[newcomer] = turn_away


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
