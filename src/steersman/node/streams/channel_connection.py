"""The server's side of a connection that speaks one of the channel protocols over WebSocket
(`wire.channels`): exec and attach, and port-forward over channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.wire import channels
from steersman.wire.channels import ERROR, Channels, Data, Ended
from steersman.wire.message import Channel
from steersman.wire.websocket import ProtocolError, WebSocket


class ChannelConnection:
    """Events from the client, messages to it. What the protocol wants answered is answered here."""

    def __init__(self, channel: Channel, protocol: str) -> None:
        self._channel = channel
        self._channels = Channels(protocol, WebSocket())

    async def read(self) -> Sequence[Data | Ended] | None:
        """Returns what comes next, perhaps nothing; None once the client is gone or has broken the
        protocol."""
        data = await self._channel.read()
        if not data:
            return None
        try:
            events = self._channels.feed(data)
        except ProtocolError as error:
            await self._tell(self._channels.close(error.code))
            return None
        return events if await self._tell(self._channels.replies()) else None

    async def begin(self, *, stdout: bool, stderr: bool) -> None:
        """Tells the client that it is heard; raises ConnectionError."""
        await self._channel.write(self._channels.opened(stdout=stdout, stderr=stderr))

    async def write(self, channel: int, data: bytes) -> None:
        """Sends data on a channel; raises ConnectionError once the client is gone."""
        await self._channel.write(self._channels.encode(channel, data))

    async def send(self, channel: int, data: bytes) -> bool:
        """Sends data on a channel; False once the client is gone."""
        return await self._tell(self._channels.encode(channel, data))

    async def conclude(self, status: Mapping[str, Any]) -> None:
        """Sends a status on the error channel, and closes; raises ConnectionError."""
        ending = channels.ending(self._channels.protocol, status)
        told = self._channels.encode(ERROR, ending) if ending else b""
        await self._channel.write(told + self._channels.close())

    async def close(self) -> None:
        """Closes the connection, if the client is still there."""
        await self._tell(self._channels.close())

    async def _tell(self, data: bytes) -> bool:
        try:
            if data:
                await self._channel.write(data)
        except ConnectionError:
            return False
        return True
