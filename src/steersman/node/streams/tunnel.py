"""Bytes of one protocol in the binary messages of a WebSocket (KEP-4006: SPDY for port-forward)."""

from __future__ import annotations

from steersman.wire.message import Channel
from steersman.wire.websocket import ProtocolError, WebSocket


class Tunnel:
    """The server's side; see `wire.message.Channel`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._websocket = WebSocket()

    async def read(self) -> bytes:
        """Returns the next bytes, b"" once the client closes or breaks the protocol."""
        while not self._websocket.closed:
            data = await self._channel.read()
            if not data:
                return b""
            if found := await self._take(data):
                return found
        return b""

    async def _take(self, data: bytes) -> bytes:
        try:
            messages = self._websocket.feed(data)
        except ProtocolError as error:
            await self._channel.write(self._websocket.close(error.code))
            self._websocket.closed = True
            return b""
        for message in messages:
            if message.kind == "ping":
                await self._channel.write(self._websocket.pong(message))
            elif message.kind == "close":
                await self._channel.write(self._websocket.close())
        return b"".join(message.data for message in messages if message.kind == "binary")

    async def write(self, data: bytes) -> None:
        """Sends bytes as one message."""
        await self._channel.write(self._websocket.encode("binary", data))

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()
