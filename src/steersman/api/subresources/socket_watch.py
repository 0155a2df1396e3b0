"""A watch within a WebSocket, as browsers ask for it: each event is a message.

Follows apiserver's endpoints/handlers/watch.go (HandleWS): text where events are JSON, else binary.
What the client says is ignored; that it goes ends the watch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from steersman.api.subresources.socket_log import converse
from steersman.model.errors import BadRequest
from steersman.wire import websocket
from steersman.wire.message import Channel, Chunk, Push, Request, Response, Upgrade
from steersman.world.interface import World

# the length in front of an event in Protocol Buffers, which a message has no need of
_LENGTH_BYTES = 4


class _Events:
    """The sink of a watch: its events until they are told. Who pushes bounds them by `pending`."""

    def __init__(self) -> None:
        self.pending = 0
        self.ended = self.broken = False
        self.waiting: deque[bytes] = deque()
        self.came = asyncio.Event()

    def send(self, chunk: Chunk) -> None:
        if not self.ended:
            self.waiting.append(chunk.data)
            self.pending += len(chunk.data)
            self.came.set()

    def finish(self) -> None:
        self.ended = True
        self.came.set()

    def abort(self) -> None:
        self.waiting.clear()
        self.broken = True
        self.finish()


def within(request: Request, push: Push, world: World, *, text: bool) -> Response:
    """Returns the 101 that hands the connection to a watch; raises BadRequest.

    text: events are JSON
    """
    offered = websocket.offered(request.headers)
    if len(offered) > 1:
        raise BadRequest("bad subprotocol")  # none is chosen: a single one is granted
    try:
        headers = websocket.handshake(request.headers, *offered)
    except websocket.ProtocolError as error:
        raise BadRequest(str(error)) from error

    async def take(channel: Channel) -> None:
        spoken, events = websocket.WebSocket(), _Events()
        leave = push(events)
        try:
            await converse(channel, spoken, _tell(channel, spoken, events, text), world)
        finally:
            events.finish()
            leave()

    return Response(Upgrade(take), 101, headers=headers)


async def _tell(channel: Channel, spoken: websocket.WebSocket, events: _Events, text: bool) -> None:
    with suppress(ConnectionError):  # the client went away
        while True:
            events.came.clear()
            while events.waiting:
                data = events.waiting.popleft()
                message = (
                    spoken.encode("text", data)
                    if text
                    else spoken.encode("binary", data[_LENGTH_BYTES:])
                )
                await channel.write(message)
                events.pending -= len(data)
            if events.ended:
                break
            await events.came.wait()
        if not events.broken:
            await channel.write(spoken.close())
