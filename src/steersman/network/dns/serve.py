"""The sockets at which the cluster's DNS is asked: datagrams, and connections for long answers.

Bounded before anything is read: how long a query is, how many wait for an answer at once, how many
connections there are and how long they may be silent.
"""

from __future__ import annotations

import asyncio
from typing import Any

from steersman.model.service_range import DNS_LISTENS
from steersman.network.dns.resolver import Resolver
from steersman.wire import dns
from steersman.wire.dns import Message
from steersman.world.interface import Tasks, World

# A query has one name and perhaps options; a longer one is nothing of ours
QUERY_BYTES = 4096
# Each costs a task; beyond, resolvers ask again by themselves
MOST_WAITING = 1024
MOST_CONNECTIONS = 128
IDLE_SECONDS = 10.0  # RFC 7766 section 6.2.3 leaves it to the server; CoreDNS has 10 s


class Server:
    """Listens until it is closed."""

    def __init__(self, resolver: Resolver, world: World, tasks: Tasks) -> None:
        self._resolver = resolver
        self._world = world
        self._tasks = tasks
        self._waiting = 0
        self._connections = 0
        self._datagrams: asyncio.DatagramTransport | None = None
        self._listener: asyncio.Server | None = None

    async def listen(self, address: str, port: int = DNS_LISTENS) -> int:
        """Begins to listen on an address; returns the port. Raises OSError."""
        self._listener = await asyncio.start_server(self._connected, address, port)
        port = int(self._listener.sockets[0].getsockname()[1])
        loop = asyncio.get_running_loop()
        self._datagrams, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=(address, port)
        )
        return port

    def close(self) -> None:
        """Stops listening."""
        if self._listener is not None:
            self._listener.close()
        if self._datagrams is not None:
            self._datagrams.close()

    def hear(self, data: bytes, peer: Any) -> None:
        """Answers a datagram, at once or when the answer is there."""
        if len(data) > QUERY_BYTES:
            return
        found = self._resolver.begin(data, dns.DATAGRAM_BYTES)
        if isinstance(found, bytes):
            self._send(found, peer)
        elif self._waiting < MOST_WAITING:
            self._waiting += 1
            self._tasks.start(self._answer(found, peer), name="answer a datagram")

    async def _answer(self, query: Message, peer: Any) -> None:
        try:
            self._send(await self._resolver.finish(query, dns.DATAGRAM_BYTES), peer)
        finally:
            self._waiting -= 1

    def _send(self, answer: bytes, peer: Any) -> None:
        if answer and self._datagrams is not None and not self._datagrams.is_closing():
            self._datagrams.sendto(answer, peer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= MOST_CONNECTIONS:
            writer.close()
            return
        self._connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, EOFError, TimeoutError):
            return  # the client's to ask again
        finally:
            self._connections -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one query; says whether the connection goes on."""
        async with self._world.timeout(IDLE_SECONDS):
            length = int.from_bytes(await reader.readexactly(2), "big")
            if length > QUERY_BYTES:
                return False
            data = await reader.readexactly(length)
        found = self._resolver.begin(data, dns.MESSAGE_BYTES)
        if isinstance(found, Message):
            found = await self._resolver.finish(found, dns.MESSAGE_BYTES)
        if not found:
            return False
        writer.write(len(found).to_bytes(2, "big") + found)
        async with self._world.timeout(IDLE_SECONDS):
            await writer.drain()
        return True


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: Server) -> None:
        self._server = server

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._server.hear(data, address)
