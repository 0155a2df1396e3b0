"""A log within a WebSocket: each piece is a message, after an empty one that says that it begins.

Follows apiserver's httpstream/wsstream (Reader). What the client says is ignored; that it goes
ends the log.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any, Final

from steersman.model.errors import BadRequest, Forbidden
from steersman.wire import websocket
from steersman.wire.message import Body, Channel, Request, Response, Upgrade
from steersman.world.interface import World

BINARY: Final = "binary.k8s.io"
BASE64: Final = "base64.binary.k8s.io"
# How long a client has to answer the close, which it does at once
CLOSE_SECONDS: Final = 10.0


def within(request: Request, body: Body, world: World) -> Response:
    """Returns the 101 that hands the connection to a log; raises BadRequest, Forbidden."""
    offered = websocket.offered(request.headers)
    protocol = next((it for it in offered if it in (BINARY, BASE64)), "")
    if offered and not protocol:
        raise Forbidden(f"unable to negotiate protocol: client supports {offered}")
    try:
        headers = websocket.handshake(request.headers, protocol)
    except websocket.ProtocolError as error:
        raise BadRequest(str(error)) from error

    async def take(channel: Channel) -> None:
        spoken = websocket.WebSocket()
        await converse(channel, spoken, _tell(channel, spoken, body, protocol), world)

    return Response(Upgrade(take), 101, headers=headers)


async def converse(
    channel: Channel,
    spoken: websocket.WebSocket,
    telling: Coroutine[Any, Any, None],
    world: World,
) -> None:
    """Tells a client what there is to tell, until that or the client ends."""
    async with world.tasks() as tasks:
        hearing = tasks.start(_hear(channel, spoken), name="client in a WebSocket")
        told = tasks.start(telling, name="what it is told")
        await asyncio.wait((hearing, told), return_when=asyncio.FIRST_COMPLETED)
        with suppress(TimeoutError):
            async with world.timeout(0 if hearing.done() else CLOSE_SECONDS):
                await hearing
        tasks.stop()


async def _tell(channel: Channel, spoken: websocket.WebSocket, body: Body, protocol: str) -> None:
    with suppress(ConnectionError):  # the client went away
        await channel.write(_message(spoken, b"", protocol))
        if isinstance(body, AsyncIterator):
            async for piece in body:
                await channel.write(_message(spoken, piece, protocol))
        elif body:
            assert isinstance(body, bytes)
            await channel.write(_message(spoken, body, protocol))
        await channel.write(spoken.close())


def _message(spoken: websocket.WebSocket, data: bytes, protocol: str) -> bytes:
    if protocol == BASE64:
        return spoken.encode("text", base64.b64encode(data))
    return spoken.encode("binary", data)


async def _hear(channel: Channel, spoken: websocket.WebSocket) -> None:
    """Answers pings until the client closes or breaks the protocol or is gone."""
    with suppress(ConnectionError, websocket.ProtocolError):
        while data := await channel.read():
            for message in spoken.feed(data):
                if message.kind == "close":
                    return
                if message.kind == "ping":
                    await channel.write(spoken.pong(message))
