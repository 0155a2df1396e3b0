"""One connection to a port of a pod, between a client's data stream and its error stream."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Protocol

import msgspec
from msgspec import field

from steersman.node.streams.inside import Unconnected, connect
from steersman.node.streams.pods import Pod
from steersman.world.interface import World

PIECE_BYTES = 32 * 1024
# Pieces from the client that wait for a slow port, per stream; then the whole client waits
PIECES_AHEAD = 16


class Out(Protocol):
    """The way to the client."""

    async def send(self, stream: int, data: bytes, *, finish: bool = False) -> bool:
        """Sends data on a stream, and its end; False once the client is gone."""


class Pair(msgspec.Struct):
    """One connection that is forwarded; a stream is 0 until it is there."""

    port: int
    data: int = 0
    error: int = 0
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    pieces: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(PIECES_AHEAD))
    over: bool = False

    def close(self) -> None:
        """Drops what waits, and lets go of who waits to hand more on."""
        self.over = True
        while not self.pieces.empty():
            self.pieces.get_nowait()


async def forward(pod: Pod, pair: Pair, out: Out, world: World) -> None:
    """Copies both ways until both are at their end; each way has its own. What goes wrong is told
    on the error stream."""
    try:
        connected = await connect(pod.netns, pair.port)
    except Unconnected as error:
        why = (
            f"error forwarding port {pair.port} to pod {pod.sandbox}, uid : "
            f'failed to execute portforward in network namespace "{pod.netns}": failed to '
            f'connect to localhost:{pair.port} inside namespace "{pod.sandbox}", {error}'
        )
        await out.send(pair.error, why.encode())
    else:
        with connected:
            await _copy(pair, connected, out, world)
    await _finish(pair, out)


async def _copy(pair: Pair, connected: socket.socket, out: Out, world: World) -> None:
    async with world.tasks() as tasks:
        upwards = tasks.start(_upwards(pair, connected), name="to the port")
        while piece := await _receive(connected):
            if not await out.send(pair.data, piece):
                break
        await _finish(pair, out)
        await upwards


async def _finish(pair: Pair, out: Out) -> None:
    """Ends both streams; the client waits for the error stream's end above all."""
    await out.send(pair.data, b"", finish=True)
    await out.send(pair.error, b"", finish=True)


async def _receive(connected: socket.socket) -> bytes:
    """Returns what the port sends next, b"" once it has closed or broken off."""
    try:
        return await asyncio.get_running_loop().sock_recv(connected, PIECE_BYTES)
    except OSError:
        return b""


async def _upwards(pair: Pair, connected: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    takes = True
    while piece := await pair.pieces.get():
        try:
            if takes:
                await loop.sock_sendall(connected, piece)
        except OSError:
            takes = False  # what the client still sends is read away
    with contextlib.suppress(OSError):  # the port has closed the connection already
        connected.shutdown(socket.SHUT_WR)
