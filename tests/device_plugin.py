"""A device plugin for tests, written against deviceplugin/v1beta1: what it lists and answers is
what a test says, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from registrar import Asked, serving
from steersman.client.grpc import connect_unix
from steersman.listen.grpc import Handler, streaming
from steersman.wire.rpc import device_plugin as api
from steersman.world.real import RealWorld

Answer = Callable[[tuple[str, ...]], api.Allocated]


def device(name: str, *nodes: int, healthy: bool = True) -> api.Device:
    """A device, and the NUMA nodes where it lies."""
    topology = api.Topology(tuple(map(api.NumaNode, nodes))) if nodes else None
    return api.Device(name, "Healthy" if healthy else "Unhealthy", topology)


class DevicePlugin(Asked):
    """A plugin of one resource, with its socket in a directory."""

    def __init__(self, resource: str, directory: Path, *devices: api.Device) -> None:
        super().__init__()
        self.resource = resource
        self.directory = directory
        self.devices = devices
        self.options = api.Options()
        self.preferred: tuple[str, ...] = ()
        self.answer: Answer = lambda devices: api.Allocated({"DEVICES": " ".join(devices)})
        self.version = "v1beta1"
        self.listed = 0
        self.is_left = False
        self._listed = asyncio.Event()

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.directory / f"{self.resource.replace('/', '-')}.sock"

    def list(self, *devices: api.Device) -> None:
        """Has other devices from now on."""
        self.devices = devices
        self._listed.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Serves the service of plugins."""
        async with serving(self.socket, self._handlers()):
            yield

    @asynccontextmanager
    async def presented(self, door: Path) -> AsyncIterator[None]:
        """Serves, and registers itself at the node's socket; raises Failed."""
        async with self.listening():
            await self.present(door)
            yield

    async def present(self, door: Path) -> None:
        """Registers itself."""
        message = api.Register(self.version, self.socket.name, self.resource, self.options)
        async with await connect_unix(door, RealWorld(), 20) as channel:
            await channel.ask(api.REGISTER, message, 20)

    def _handlers(self) -> dict[str, Handler]:
        return dict(
            (
                self.serve(api.GET_DEVICE_PLUGIN_OPTIONS, lambda _: self.options),
                streaming(api.LIST_AND_WATCH, self._list),
                self.serve(
                    api.GET_PREFERRED_ALLOCATION,
                    lambda _: api.Preferred((api.ContainerIds(self.preferred),)),
                ),
                self.serve(api.ALLOCATE, self._allocate),
                self.serve(api.PRE_START_CONTAINER, lambda _: api.Empty()),
            )
        )

    async def _list(self, _: api.Empty) -> AsyncGenerator[api.Devices]:
        try:
            while True:
                yield api.Devices(self.devices)
                self.listed += 1
                self.changed.set()
                self._listed.clear()
                await self._listed.wait()
        finally:
            self.is_left = True
            self.changed.set()

    def _allocate(self, message: api.Allocate) -> api.AllAllocated:
        return api.AllAllocated(
            tuple(self.answer(it.device_ids) for it in message.container_requests)
        )

    def allocated(self) -> list[tuple[str, ...]]:
        """The devices that were given out, in order."""
        return [it.container_requests[0].device_ids for it in self.asked("Allocate")]
