"""Port-forward over WebSocket channels, as the official Python client speaks it: each port that the
client named has two channels, one for data and one for errors, and one connection.

Follows kubelet's cri/streaming/portforward/websocket.go: first the port's number comes on both
channels, and the WebSocket is closed once every connection has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from steersman.model.errors import BadRequest
from steersman.node.streams.channel_connection import ChannelConnection
from steersman.node.streams.pods import Pod
from steersman.node.streams.port import Pair, forward
from steersman.wire import channels
from steersman.wire.channels import Ended
from steersman.wire.message import Channel
from steersman.world.interface import World

# A channel's number is one byte, 255 means something else in a later protocol
MOST_PORTS = 127
# With kubelet it is a query parameter of this name, whatever the API server's own is called
PARAMETER = "port"


class ChannelForwarding:
    """All forwarded connections of one client."""

    def __init__(
        self, pod: Pod, channel: Channel, protocol: str, ports: Sequence[int], world: World
    ) -> None:
        self._pod = pod
        self._connection = ChannelConnection(channel, protocol)
        self._world = world
        self._pairs = [Pair(port, 2 * at, 2 * at + 1) for at, port in enumerate(ports)]
        self._open = len(self._pairs)
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Forwards until every connection has ended or the client is gone."""
        for pair in self._pairs:
            number = channels.port_announcement(pair.port)
            await self.send(pair.data, number)
            await self.send(pair.error, number)
        async with self._world.tasks() as tasks:
            tasks.start(self._listen(), name="client")
            for pair in self._pairs:
                tasks.start(self._forward(pair), name=f"port {pair.port}")
            await self._over.wait()
            await self._connection.close()
            tasks.stop()

    async def send(self, stream: int, data: bytes, *, finish: bool = False) -> bool:
        """Sends data on a channel. Nothing can tell the end of one, so a port that says no more
        ends its connection."""
        if finish:
            pair = self._pairs[stream // 2]
            pair.close()
            pair.pieces.put_nowait(b"")
        return not data or await self._connection.send(stream, data)

    async def _forward(self, pair: Pair) -> None:
        await forward(self._pod, pair, self, self._world)
        pair.close()
        self._open -= 1
        if not self._open:
            self._over.set()

    async def _listen(self) -> None:
        await self._take_all()
        self._over.set()

    async def _take_all(self) -> None:
        """Takes what the client sends, until it is gone or breaks the protocol."""
        while (events := await self._connection.read()) is not None:
            for event in events:
                if isinstance(event, Ended):
                    return
                await self._take(event)

    async def _take(self, event: channels.Data) -> None:
        """Hands data on; waits while the port is slow, and with it everything of the client."""
        at, error = divmod(event.channel, 2)
        if at < len(self._pairs) and not error and event.data and not self._pairs[at].over:
            await self._pairs[at].pieces.put(event.data)


def parse_ports(values: Sequence[str]) -> list[int]:
    """Returns the ports of a query; raises BadRequest in kubelet's words."""
    if not values:
        raise BadRequest(f'query parameter "{PARAMETER}" is required')
    found = []
    for text in values:
        if not text:
            raise BadRequest(f'query parameter "{PARAMETER}" cannot be empty')
        for part in text.split(","):
            found.append(_parse(part, text))
    if len(found) > MOST_PORTS:
        raise BadRequest(f"at most {MOST_PORTS} ports can be forwarded over one connection")
    return found


def _parse(part: str, whole: str) -> int:
    if not (part.isascii() and part.isdigit()):
        why = f'strconv.ParseUint: parsing "{part}": invalid syntax'
    elif int(part) >= 1 << 16:
        why = f'strconv.ParseUint: parsing "{part}": value out of range'
    elif int(part) < 1:
        raise BadRequest(f'port "{whole}" must be > 0')
    else:
        return int(part)
    raise BadRequest(f'unable to parse "{whole}" as a port: {why}')
