"""Port-forward over SPDY: pairs of streams, one for data and one for errors, each to a port of the
pod. Over channels it is `forward_channels`.

Follows kubelet's cri/streaming/portforward: the header `requestid` makes the pair, what goes
wrong is told on the error stream, and every stream has its own end.
"""

from __future__ import annotations

from steersman.node.streams.pods import Pod
from steersman.node.streams.port import Pair, forward
from steersman.node.streams.spdy_connection import SpdyConnection
from steersman.wire import spdy
from steersman.wire.message import Channel
from steersman.world.interface import Tasks, World

# A stream whose other half does not come is given up (streamCreationTimeout)
PAIR_SECONDS = 30.0


class Forwarding:
    """All forwarded connections of one client."""

    def __init__(self, pod: Pod, channel: Channel, world: World) -> None:
        self._pod = pod
        self._spdy = SpdyConnection(channel)
        self._world = world
        self._pairs: dict[str, Pair] = {}
        self._streams: dict[int, Pair] = {}

    async def run(self) -> None:
        """Forwards until the client is gone."""
        async with self._world.tasks() as tasks:
            async for event in self._spdy.events():
                if isinstance(event, spdy.Opened):
                    await self._open(event, tasks)
                elif isinstance(event, spdy.Data):
                    await self._take(event)
                elif isinstance(event, spdy.Reset):
                    self._give_up(event.stream)
            tasks.stop()

    async def _open(self, opened: spdy.Opened, tasks: Tasks) -> None:
        port = parse_port(opened.headers.get("port", ""))
        kind = opened.headers.get("streamtype", "")
        if port is None or kind not in ("data", "error"):
            await self._spdy.reset(opened.stream)
            return
        await self._spdy.accept(opened.stream)
        # Clients before requestid open the error stream first, and the data stream next to it
        name = opened.headers.get("requestid") or str(
            opened.stream if kind == "error" else opened.stream - 2
        )
        pair = self._pairs.get(name)
        if pair is None:
            pair = self._pairs[name] = Pair(port)
            pair.task = tasks.start(self._forward(name, pair), name=f"port {port}")
        setattr(pair, kind, opened.stream)
        self._streams[opened.stream] = pair
        if pair.data and pair.error:
            pair.complete.set()

    async def _take(self, event: spdy.Data) -> None:
        """Hands data on; waits while the port is slow, and with it everything of the client."""
        pair = self._streams.get(event.stream)
        if pair is None or event.stream != pair.data:
            return
        if event.data:
            await pair.pieces.put(event.data)
        if event.finished and not pair.over:
            await pair.pieces.put(b"")

    def _give_up(self, stream: int) -> None:
        pair = self._streams.get(stream)
        if pair is not None and pair.task is not None and stream == pair.data:
            pair.task.cancel()

    async def _forward(self, name: str, pair: Pair) -> None:
        try:
            async with self._world.timeout(PAIR_SECONDS):
                await pair.complete.wait()
            await forward(self._pod, pair, self._spdy, self._world)
        except TimeoutError:
            await self._spdy.reset(pair.data or pair.error)
        finally:
            pair.close()
            self._pairs.pop(name, None)
            self._streams.pop(pair.data, None)
            self._streams.pop(pair.error, None)


def parse_port(text: str) -> int | None:
    """Returns a port's number, None where the text is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        return None
    return int(text) if 0 < int(text) < 1 << 16 else None
