"""The server's side of a SPDY connection over a channel; the framing is `wire.spdy`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from steersman.wire import spdy
from steersman.wire.message import Channel


class SpdyConnection:
    """Events from the client, frames to it; what is written to a client that is gone is dropped,
    and the answer is False."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._session = spdy.Session(client=False)

    async def events(self) -> AsyncIterator[spdy.Event]:
        """Yields what comes until the client is gone or breaks the protocol."""
        while data := await self._channel.read():
            try:
                found = self._session.feed(data)
            except spdy.ProtocolError:
                await self._write(self._session.go_away())
                return
            await self._write(self._session.replies())
            for event in found:
                yield event

    async def accept(self, stream: int) -> bool:
        """Accepts a stream that the client opened."""
        return await self._write(self._session.accept(stream))

    async def send(self, stream: int, data: bytes, *, finish: bool = False) -> bool:
        """Sends data on a stream, and its end; nothing on one that is closed already."""
        return await self._write(self._session.send(stream, data, finish=finish))

    async def reset(self, stream: int) -> bool:
        """Gives a stream up."""
        return await self._write(self._session.reset(stream))

    def close(self) -> None:
        """Closes the connection after what was sent."""
        self._channel.close()

    async def _write(self, frame: bytes) -> bool:
        try:
            if frame:
                await self._channel.write(frame)
        except ConnectionError:
            return False
        return True
