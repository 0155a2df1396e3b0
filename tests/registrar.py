"""What plugins for tests have in common: registered by a socket in the node's folder, as kubelet
plugin libraries do it, asked things that are kept, with faults on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from steersman.listen.grpc import GRPCServer, Handler, unary
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc.messages import Rpc
from steersman.wire.rpc.registration import (
    GET_INFO,
    NOTIFY_REGISTRATION_STATUS,
    InfoRequest,
    PluginInfo,
    RegistrationStatus,
    RegistrationStatusResponse,
)
from steersman.world.real import RealWorld

HANG = "hang"
Fault = Failed | str | float  # an error, HANG, or seconds before the answer


class Asked:
    """What a plugin was asked. `faults` are by the name of a method."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.faults: dict[str, Fault] = {}
        self.statuses: list[RegistrationStatus] = []
        self.changed = asyncio.Event()

    def asked(self, method: str) -> list[Any]:
        """What a method was asked."""
        return [message for name, message in self.calls if name == method]

    async def until(self, good: Callable[[], Any]) -> Any:
        """Waits until something holds of the plugin."""
        async with asyncio.timeout(60):
            while not (found := good()):
                self.changed.clear()
                await self.changed.wait()
        return found

    def serve(self, method: Rpc[Any, Any], answer: Callable[[Any], Any]) -> tuple[str, Handler]:
        """Returns the entry of a method."""
        name = method.path.rpartition("/")[2]

        async def handle(message: Any) -> Any:
            self.calls.append((name, message))
            self.changed.set()
            fault = self.faults.get(name)
            if isinstance(fault, Failed):
                raise fault
            if fault == HANG:
                await asyncio.Event().wait()
            if isinstance(fault, float):
                await asyncio.sleep(fault)
            found = answer(message)
            self.changed.set()
            return found

        return unary(method, handle)

    @asynccontextmanager
    async def registered(self, path: Path, info: PluginInfo) -> AsyncIterator[RegistrationStatus]:
        """Presents a plugin at a socket, and waits for what it is told."""

        async def get_info(_: InfoRequest) -> PluginInfo:
            return info

        async def hear(status: RegistrationStatus) -> RegistrationStatusResponse:
            self.statuses.append(status)
            self.changed.set()
            return RegistrationStatusResponse()

        handlers = dict((unary(GET_INFO, get_info), unary(NOTIFY_REGISTRATION_STATUS, hear)))
        before = len(self.statuses)
        async with serving(path, handlers):
            await self.until(lambda: len(self.statuses) > before)
            yield self.statuses[-1]


@asynccontextmanager
async def serving(path: Path, handlers: Mapping[str, Handler]) -> AsyncIterator[None]:
    """Serves methods at a socket."""
    path.parent.mkdir(parents=True, exist_ok=True)
    async with GRPCServer(dict(handlers), RealWorld()) as server:
        await server.listen_unix(path)
        yield


async def holds(good: Callable[[], Any]) -> None:
    """Waits until something holds that nobody tells of, turn by turn of the loop."""
    turn = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(60):
        while not good():
            loop.call_soon(turn.set)
            await turn.wait()
            turn.clear()
