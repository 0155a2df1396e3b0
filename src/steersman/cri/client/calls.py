"""Calls to a runtime: one connection, made anew where it was lost; failures are the engine's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Final, TypeVar

from steersman.client.grpc import Channel, connect_unix
from steersman.cri.messages.runtime import IMAGE, RUNTIME
from steersman.runtime.engine import EngineError
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc.messages import Rpc
from steersman.world.interface import World

CONNECT_SECONDS: Final = 10.0
REQUEST_SECONDS: Final = 120.0  # kubelet's runtimeRequestTimeout
MAX_MESSAGE_BYTES: Final = 16 << 20  # kubelet's maxMsgSize
_KINDS: Final = {
    grpc.NOT_FOUND: "not-found",
    grpc.ALREADY_EXISTS: "conflict",
    grpc.INVALID_ARGUMENT: "invalid",
    grpc.DEADLINE_EXCEEDED: "unavailable",
    grpc.UNAVAILABLE: "unavailable",
}
# What containerd and CRI-O say of a name that is taken, with no code of its own
_TAKEN: Final = ("is reserved for", "is already in use", "name is reserved")
A = TypeVar("A")


class Calls:
    """A runtime, by the path of its socket."""

    def __init__(self, path: Path, world: World) -> None:
        self.path = path
        self._world = world
        self._channel: Channel | None = None
        self._connecting = asyncio.Lock()

    async def runtime(
        self, name: str, message: object, answer: type[A], seconds: float | None = REQUEST_SECONDS
    ) -> A:
        """Calls a method of the RuntimeService; raises EngineError."""
        return await self._ask(f"{RUNTIME}/{name}", message, answer, seconds)

    async def image(
        self, name: str, message: object, answer: type[A], seconds: float | None = REQUEST_SECONDS
    ) -> A:
        """Calls a method of the ImageService; raises EngineError."""
        return await self._ask(f"{IMAGE}/{name}", message, answer, seconds)

    async def follow(self, name: str, message: object, answer: type[A]) -> AsyncGenerator[A]:
        """Calls a method of the RuntimeService that answers without end; raises Failed."""
        channel = await self._connected()
        method = Rpc(f"{RUNTIME}/{name}", type(message), answer)
        async with aclosing(channel.follow(method, message)) as answers:
            async for one in answers:
                yield one

    async def _ask(self, path: str, message: object, answer: type[A], seconds: float | None) -> A:
        try:
            channel = await self._connected()
            return await channel.ask(Rpc(path, type(message), answer), message, seconds)
        except Failed as failed:
            raise error_of(failed) from failed

    async def _connected(self) -> Channel:
        async with self._connecting:
            if self._channel is None or self._channel.is_lost:
                self._channel = await connect_unix(
                    self.path, self._world, CONNECT_SECONDS, max_message_bytes=MAX_MESSAGE_BYTES
                )
            return self._channel

    def close(self) -> None:
        """Ends the connection."""
        if self._channel is not None:
            self._channel.close()


class Unimplemented(EngineError):
    """A runtime does not have a method."""


def error_of(failed: Failed) -> EngineError:
    """Returns a failure as the agent knows them, in the words of Go."""
    if failed.code == grpc.UNIMPLEMENTED:
        return Unimplemented("failed", str(failed))
    kind = _KINDS.get(failed.code, "failed")
    if any(it in failed.text for it in _TAKEN):
        kind = "conflict"
    return EngineError(kind, str(failed))
