"""A driver of dynamic resource allocation for tests, written against dra/v1: what it makes ready is
what a test says, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from registrar import Asked, serving
from steersman.listen.grpc import Handler, streaming
from steersman.node.plugins.folder import Plugin
from steersman.wire.rpc import dra
from steersman.wire.rpc.registration import DRA_PLUGIN, PluginInfo, RegistrationStatus

PREPARE, UNPREPARE = "NodePrepareResources", "NodeUnprepareResources"


class DRADriver(Asked):
    """A driver with its socket in a directory. `devices` says what a claim gets."""

    def __init__(
        self, name: str, directory: Path, *, versions: Sequence[str] = ("v1.DRAPlugin",)
    ) -> None:
        super().__init__()
        self.name = name
        self.directory = directory
        self.versions = tuple(versions)
        self.devices: Callable[[dra.Claim], tuple[dra.Device, ...]] = lambda _: ()
        self.errors: dict[str, str] = {}  # by the names of claims
        self.skips: set[str] = set()
        self.prepared: set[str] = set()
        self.tells_health = False
        self._health = dra.Health()
        self._told = asyncio.Event()

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.directory / "dra.sock"

    @property
    def plugin(self) -> Plugin:
        """The same as it is registered."""
        return Plugin(DRA_PLUGIN, self.name, self.socket, self.versions)

    def tell(self, *devices: dra.DeviceHealth) -> None:
        """Tells how devices are."""
        self._health = dra.Health(devices)
        self._told.set()

    def methods(self) -> list[tuple[str, list[str]]]:
        """What it was asked, with the names of claims."""
        return [(name, [it.name for it in message.claims]) for name, message in self.calls]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Serves its service, in each version that it says it has."""
        handlers: dict[str, Handler] = {}
        for service in dra.SERVICES:
            if service.name in self.versions:
                made = (
                    self.serve(service.prepare, self._prepare),
                    self.serve(service.unprepare, self._unprepare),
                )
                handlers |= dict(made)
        if self.tells_health:
            handlers |= dict((streaming(dra.NODE_WATCH_RESOURCES, self._watch),))
        async with serving(self.socket, handlers):
            yield

    @asynccontextmanager
    async def on_node(self, registry: Path) -> AsyncIterator[RegistrationStatus]:
        """Serves, and registers by a socket in the node's folder."""
        info = PluginInfo(DRA_PLUGIN, self.name, str(self.socket), self.versions)
        async with (
            self.listening(),
            self.registered(registry / f"{self.name}-reg.sock", info) as status,
        ):
            yield status

    def _results(self, message: dra.Claims, of: Callable[[dra.Claim], Any]) -> dict[str, Any]:
        return {it.uid: of(it) for it in message.claims if it.name not in self.skips}

    def _prepare(self, message: dra.Claims) -> dra.AllPrepared:
        def of(claim: dra.Claim) -> dra.Prepared:
            if error := self.errors.get(claim.name):
                return dra.Prepared(error=error)
            self.prepared.add(claim.name)
            return dra.Prepared(self.devices(claim))

        return dra.AllPrepared(self._results(message, of))

    def _unprepare(self, message: dra.Claims) -> dra.AllUnprepared:
        def of(claim: dra.Claim) -> dra.Unprepared:
            if error := self.errors.get(claim.name):
                return dra.Unprepared(error)
            self.prepared.discard(claim.name)
            return dra.Unprepared()

        return dra.AllUnprepared(self._results(message, of))

    async def _watch(self, _: dra.WatchResources) -> AsyncGenerator[dra.Health]:
        while True:
            self._told.clear()
            yield self._health
            await self._told.wait()
