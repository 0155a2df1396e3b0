"""The client's end of exec and attach, whichever protocol it speaks.

Input comes as events in their order; output goes out under the client's back-pressure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from steersman.node.streams.channel_connection import ChannelConnection
from steersman.wire import channels
from steersman.wire.channels import RESIZE, STDIN, Ended
from steersman.wire.message import Channel


class Stdin(msgspec.Struct, frozen=True):
    """Bytes for the process; b"" says that no more will come."""

    data: bytes


class Resize(msgspec.Struct, frozen=True):
    """The size of the person's terminal in characters."""

    width: int
    height: int


class Remote(Protocol):
    """One client."""

    async def begin(self, *, stdout: bool, stderr: bool) -> None:
        """Tells the client that it is heard."""

    async def receive(self) -> Stdin | Resize | None:
        """Returns what comes next; None once the client is gone."""

    async def send(self, channel: int, data: bytes) -> None:
        """Sends output; raises ConnectionError once the client is gone."""

    async def conclude(self, status: Mapping[str, Any]) -> None:
        """Sends the status that says how it ended, and closes; raises ConnectionError."""


class WebSocketRemote:
    """A client that speaks a channel protocol over WebSocket; see `Remote`."""

    def __init__(self, channel: Channel, protocol: str) -> None:
        self._connection = ChannelConnection(channel, protocol)
        self._events: deque[channels.Data | Ended] = deque()

    async def begin(self, *, stdout: bool, stderr: bool) -> None:
        """Sends the empty message by which clients know that they are heard."""
        await self._connection.begin(stdout=stdout, stderr=stderr)

    async def receive(self) -> Stdin | Resize | None:
        """Returns what comes next; a client that breaks the protocol is gone."""
        while True:
            while not self._events:
                if (events := await self._connection.read()) is None:
                    return None
                self._events += events
            event = self._events.popleft()
            if isinstance(event, Ended):
                if event.channel is None:
                    return None
                if event.channel == STDIN:
                    return Stdin(b"")
            elif event.channel == STDIN and event.data:
                return Stdin(event.data)
            elif event.channel == RESIZE and (size := channels.terminal_size(event.data)):
                return Resize(*size)

    async def send(self, channel: int, data: bytes) -> None:
        """Sends output as one message."""
        await self._connection.write(channel, data)

    async def conclude(self, status: Mapping[str, Any]) -> None:
        """Sends the status on the error channel and closes the WebSocket."""
        await self._connection.conclude(status)
