"""Messages to nameservers over sockets: a datagram from a port of its own, or a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from steersman.network.dns.forward import Server


class Sockets:
    """See `forward.Exchange`."""

    async def datagram(self, server: Server, data: bytes, fits: Callable[[bytes], bool]) -> bytes:
        """Sends a datagram; returns the first one from there that fits."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        # Connected: the kernel takes datagrams from this server alone, at a port of its choice
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Waiting(answer, fits), remote_addr=(server.address, server.port)
        )
        try:
            transport.sendto(data)
            return await answer
        finally:
            transport.close()

    async def stream(self, server: Server, data: bytes) -> bytes:
        """Sends a message over a connection; returns the one that comes back."""
        reader, writer = await asyncio.open_connection(server.address, server.port)
        try:
            writer.write(len(data).to_bytes(2, "big") + data)
            length = int.from_bytes(await reader.readexactly(2), "big")
            return await reader.readexactly(length)
        except EOFError as error:
            raise ConnectionError("the nameserver ended the connection") from error
        finally:
            writer.close()


class _Waiting(asyncio.DatagramProtocol):
    def __init__(self, answer: asyncio.Future[bytes], fits: Callable[[bytes], bool]) -> None:
        self._answer = answer
        self._fits = fits

    def datagram_received(self, data: bytes, _address: object) -> None:
        if not self._answer.done() and self._fits(data):
            self._answer.set_result(data)

    def error_received(self, error: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(error)
