"""A client of exec or attach that speaks SPDY/3.1: one stream for each channel, named by a header.

`streamtype` is error, stdin, stdout, stderr or resize (kubelet's cri/streaming/remotecommand).
Only version 4 of the protocol is spoken, as kubectl has done since 1.4.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from steersman.node.streams.pods import Wanted
from steersman.node.streams.remote import Resize, Stdin
from steersman.node.streams.spdy_connection import SpdyConnection
from steersman.wire import channels, spdy
from steersman.wire.message import Channel
from steersman.world.interface import Tasks, World

PROTOCOL = "v4.channel.k8s.io"
# For all streams to be opened (streamCreationTimeout)
OPEN_SECONDS = 30.0
# Pieces of input that wait for a slow process; then the client waits
PIECES_AHEAD = 16
# A window's size is some thirty bytes
MAX_RESIZE_BYTES = 4096
_NAMES = {channels.STDOUT: "stdout", channels.STDERR: "stderr"}


class SpdyRemote:
    """See `streams.remote.Remote`."""

    def __init__(self, channel: Channel, wanted: Wanted, world: World, tasks: Tasks) -> None:
        self._spdy = SpdyConnection(channel)
        self._world = world
        self._missing = expected_streams(wanted)
        self._streams: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._resizes = b""
        self._open = asyncio.Event()
        self._events: asyncio.Queue[Stdin | Resize | None] = asyncio.Queue(PIECES_AHEAD)
        tasks.start(self._read(), name="client")

    async def begin(self, *, stdout: bool, stderr: bool) -> None:
        """Waits until the client has opened all streams; raises ConnectionError."""
        del stdout, stderr  # SPDY's own answers tell the client that it is heard
        try:
            async with self._world.timeout(OPEN_SECONDS):
                await self._open.wait()
        except TimeoutError:
            raise ConnectionAbortedError("the client did not open its streams") from None
        if self._missing:
            raise ConnectionAbortedError("the client is gone")

    async def receive(self) -> Stdin | Resize | None:
        """Returns what comes next, None once the client is gone."""
        return await self._events.get()

    async def send(self, channel: int, data: bytes) -> None:
        """Sends output on its stream."""
        if not await self._spdy.send(self._streams[_NAMES[channel]], data):
            raise ConnectionResetError("the client is gone")

    async def conclude(self, status: Mapping[str, Any]) -> None:
        """Ends every stream, the status on that for errors, and closes."""
        for name in _NAMES.values():
            if name in self._streams:
                await self._spdy.send(self._streams[name], b"", finish=True)
        told = json.dumps(status).encode()
        await self._spdy.send(self._streams["error"], told, finish=True)
        self._spdy.close()

    async def _read(self) -> None:
        async for event in self._spdy.events():
            if isinstance(event, spdy.Opened):
                await self._take(event)
            elif isinstance(event, spdy.Data):
                await self._hand_on(event)
        self._open.set()
        await self._events.put(None)

    async def _take(self, opened: spdy.Opened) -> None:
        name = opened.headers.get("streamtype", "")
        if name not in self._missing:
            await self._spdy.reset(opened.stream)
            return
        await self._spdy.accept(opened.stream)
        self._missing.discard(name)
        self._streams[name] = opened.stream
        self._names[opened.stream] = name
        if not self._missing:
            self._open.set()

    async def _hand_on(self, event: spdy.Data) -> None:
        name = self._names.get(event.stream)
        if name == "stdin":
            if event.data:
                await self._events.put(Stdin(event.data))
            if event.finished:
                await self._events.put(Stdin(b""))
        elif name == "resize":
            await self._resize(event.data)

    async def _resize(self, data: bytes) -> None:
        """Takes sizes, which are JSON documents one after the other, in any cuts."""
        *whole, self._resizes = (self._resizes + data).replace(b"}", b"}\n").split(b"\n")
        self._resizes = self._resizes[:MAX_RESIZE_BYTES]
        for text in whole:
            if size := channels.terminal_size(text):
                await self._events.put(Resize(*size))


def expected_streams(wanted: Wanted) -> set[str]:
    """Returns the streams that a client opens; without `resize` there is no terminal."""
    names = {"stdin": wanted.stdin, "stdout": wanted.stdout, "stderr": wanted.stderr}
    return {"error", *(name for name, used in names.items() if used)} | (
        {"resize"} if wanted.terminal else set()
    )
