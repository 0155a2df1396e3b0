"""Exec and attach for a client that speaks WebSocket, by a streaming server that speaks SPDY: every
runtime has version 4 of that, and few have the newer protocols of clients.

Upstream's API server does the same (StreamTranslatorHandler, KEP-4006).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from steersman.model.errors import InternalError
from steersman.node.streams.pods import Wanted
from steersman.node.streams.remote import Remote, Resize, Stdin
from steersman.node.streams.spdy_remote import PROTOCOL
from steersman.wire import spdy
from steersman.wire.channels import STDERR, STDOUT
from steersman.wire.message import Channel
from steersman.world.interface import World

UPGRADE: Final = {
    "connection": "Upgrade",
    "upgrade": "SPDY/3.1",
    "x-stream-protocol-version": PROTOCOL,
}
_OUTPUTS: Final = {"stdout": STDOUT, "stderr": STDERR}
_SUCCESS: Final[Mapping[str, Any]] = {"metadata": {}, "status": "Success"}
MAX_STATUS_BYTES: Final = 64 * 1024  # a Status with some lines of why


class Translation:
    """One exec or attach: a client, and the runtime's connection on which it asked for SPDY."""

    def __init__(self, remote: Remote, channel: Channel, wanted: Wanted) -> None:
        self._remote = remote
        self._channel = channel
        self._wanted = wanted
        self._session = spdy.Session(client=True)
        self._streams: dict[str, int] = {}
        self._told = b""

    async def run(self, world: World) -> None:
        """Copies until the runtime has said how it ended, or the client is gone."""
        wanted = self._wanted
        try:
            await self._remote.begin(stdout=wanted.stdout, stderr=wanted.stderr)
            await self._open()
            async with world.tasks() as tasks:
                listening = tasks.start(self._listen(), name="client")
                listening.add_done_callback(lambda _: self._channel.close())
                status = await self._copy()
                listening.cancel()
            if status is not None:
                await self._remote.conclude(status)
        finally:
            self._channel.close()

    async def _open(self) -> None:
        """Opens the streams that are wanted, that for errors first."""
        wanted = self._wanted
        names = {
            "error": True,
            "stdin": wanted.stdin,
            "stdout": wanted.stdout,
            "stderr": wanted.stderr,
            "resize": wanted.terminal,
        }
        for name in (name for name, used in names.items() if used):
            self._streams[name], frame = self._session.open({"streamtype": name})
            await self._channel.write(frame)

    async def _listen(self) -> None:
        """Hands on what the client sends, until it or the runtime is gone."""
        with suppress(ConnectionError):
            while (event := await self._remote.receive()) is not None:
                if isinstance(event, Stdin):
                    await self._send("stdin", event.data, finish=not event.data)
                elif isinstance(event, Resize):
                    size = {"Width": event.width, "Height": event.height}
                    await self._send("resize", json.dumps(size).encode())

    async def _send(self, name: str, data: bytes, *, finish: bool = False) -> None:
        if name not in self._streams:
            return
        frame = self._session.send(self._streams[name], data, finish=finish)
        if frame:
            await self._channel.write(frame)

    async def _copy(self) -> Mapping[str, Any] | None:
        """Hands on what the runtime sends; returns how it ended, None where the client is gone."""
        try:
            return await self._take_all()
        except spdy.ProtocolError as error:
            return parse_status(str(error).encode(), whole=False)
        except ConnectionError:
            return None

    async def _take_all(self) -> Mapping[str, Any]:
        open_ones = {it for name, it in self._streams.items() if name in ("error", *_OUTPUTS)}
        while open_ones:
            data = await self._channel.read()
            if not data:
                break
            for event in self._session.feed(data):
                if isinstance(event, spdy.Data | spdy.Reset):
                    await self._take(event)
                    if isinstance(event, spdy.Reset) or event.finished:
                        open_ones.discard(event.stream)
            if replies := self._session.replies():
                await self._channel.write(replies)
        return parse_status(self._told, whole=not open_ones)

    async def _take(self, event: spdy.Data | spdy.Reset) -> None:
        if isinstance(event, spdy.Reset) or not event.data:
            return
        name = next((name for name, it in self._streams.items() if it == event.stream), "")
        if name == "error":
            self._told = (self._told + event.data)[:MAX_STATUS_BYTES]
        elif name in _OUTPUTS:
            await self._remote.send(_OUTPUTS[name], event.data)


def parse_status(told: bytes, *, whole: bool) -> Mapping[str, Any]:
    """Returns the Status that a runtime has told, and success where it told none to the end."""
    if not told and whole:
        return _SUCCESS
    try:
        found = json.loads(told)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    why = told.decode("utf-8", "replace") or "the runtime has closed the connection"
    return InternalError(f"Internal error occurred: {why}").status()
