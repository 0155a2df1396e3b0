"""An asyncio transport as a `Channel`, with flow control both ways; used behind an upgrade by the
HTTP client and by the server. Not a protocol: its owner feeds it.
"""

from __future__ import annotations

import asyncio

# Bytes read ahead of the part that takes them; beyond, the socket is left alone
AHEAD_BYTES = 256 * 1024


class Gate:
    """Lets writers through while the transport's buffer has room.

    Its owner forwards `pause_writing`, `resume_writing` and `connection_lost`.
    """

    __slots__ = ("_waiters", "lost", "paused")

    def __init__(self) -> None:
        self.paused = False
        self.lost = False
        self._waiters: list[asyncio.Future[None]] = []

    def pause(self) -> None:
        """Closes the gate."""
        self.paused = True

    def resume(self) -> None:
        """Opens the gate and lets everybody through."""
        self.paused = False
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def lose(self) -> None:
        """Says that the connection is gone; who waits is told."""
        self.lost = True
        self.resume()

    async def passed(self) -> None:
        """Waits until there is room; raises ConnectionResetError once the connection is gone."""
        if self.paused and not self.lost:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        if self.lost:
            raise ConnectionResetError("the connection is closed")


class SocketChannel:
    """See `wire.message.Channel`. Writing to a closed connection raises ConnectionResetError."""

    def __init__(self, transport: asyncio.Transport, gate: Gate, first: bytes = b"") -> None:
        self._transport = transport
        self._gate = gate
        self._buffer = [first] if first else []
        self._size = len(first)
        self._ended = False
        self._held = False
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        """Takes bytes from the socket; stops reading it while the reader is far behind."""
        self._buffer.append(data)
        self._size += len(data)
        if self._size > AHEAD_BYTES and not self._held:
            self._held = True
            self._transport.pause_reading()
        self._wake()

    def end(self) -> None:
        """Says that nothing more comes."""
        self._ended = True
        self._wake()

    async def read(self) -> bytes:
        """Returns the next bytes, b"" at the end."""
        while not self._buffer:
            if self._ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._size = 0
        if self._held and not self._ended:
            self._held = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Sends bytes, waiting while the other end is slow."""
        if not self._gate.lost and not self._transport.is_closing():
            self._transport.write(data)
            await self._gate.passed()
            return
        raise ConnectionResetError("the connection is closed")

    def close(self) -> None:
        """Closes the connection after what was written."""
        self.end()
        self._transport.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
