"""A socket that speaks HTTP/2: what comes goes to a connection's events, what it says is sent.

For both sides of gRPC; what events mean is the matter of who inherits this.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from steersman.wire.http2.connection import BadPeer, Connection, Event

# Settings, pings and windows that wait because the other side does not read
MAX_BACKLOG_BYTES: Final = 1024 * 1024


class Link(asyncio.Protocol):
    """One connection; it never waits but in `sent` and `opened`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.lost: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._is_full = False
        self._waiters: list[asyncio.Future[None]] = []

    # What happens, for who inherits this

    def heard(self, event: Event) -> None:
        """Takes an event of the connection."""
        raise NotImplementedError

    def ended(self, error: Exception) -> None:
        """Takes the end of the connection."""
        raise NotImplementedError

    # What is done

    def flush(self) -> None:
        """Sends what may be sent."""
        while self._transport is not None and not self._is_full:
            if not (data := self.connection.take()):
                break
            self._transport.write(data)
        if self.connection.backlog > MAX_BACKLOG_BYTES:
            self._break(BadPeer("it does not read what it asks for"))
        self._wake()

    async def opened(self) -> None:
        """Waits until the other side has said its settings; raises why it never will."""
        while not self.connection.is_open:
            await self._change()

    async def over(self) -> None:
        """Waits until the connection is lost."""
        while self.lost is None:
            await self._change()

    async def sent(self, stream: int) -> None:
        """Waits until what was written on a stream is on its way; raises why it never will."""
        while self._is_full or not self.connection.is_sent(stream):
            await self._change()

    def close(self) -> None:
        """Sends what is there and closes the connection."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Closes the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Takes what has come."""
        try:
            for event in self.connection.feed(data):
                self.heard(event)
        except BadPeer as error:
            self._break(error)
            return
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells everybody."""
        self._transport = None
        if self.lost is None:
            self.lost = exc or EOFError("EOF")
            self.ended(self.lost)
        self._wake()

    def pause_writing(self) -> None:
        """Keeps what is to be sent."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Goes on."""
        self._is_full = False
        self.flush()

    def _break(self, error: Exception) -> None:
        if self.lost is None:
            self.lost = error
            self.ended(error)
        self.abort()
        self._wake()

    async def _change(self) -> None:
        if self.lost is not None:
            raise self.lost
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
