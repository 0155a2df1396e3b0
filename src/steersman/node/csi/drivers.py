"""The CSI drivers that are registered on the node, and calls of them, each bounded in time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec

from steersman.client.errors import Unreachable
from steersman.client.grpc import Channel, connect_unix
from steersman.model.errors import APIError
from steersman.node.plugins.folder import Plugin, Refused
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import csi
from steersman.wire.rpc.messages import Rpc
from steersman.world.interface import World

CALL_SECONDS: Final = 120.0  # kubelet's csiTimeout
# After these a driver may still be at work on what it was asked (isCSIFinalError)
_OPEN: Final = (
    grpc.CANCELED,
    grpc.DEADLINE_EXCEEDED,
    grpc.UNAVAILABLE,
    grpc.RESOURCE_EXHAUSTED,
    grpc.ABORTED,
)
Q = TypeVar("Q")
A = TypeVar("A")


class NotRegistered(Exception):
    """The node has no such driver now."""


class Driver(msgspec.Struct, frozen=True):
    """A driver on this node, and how it knows the node."""

    name: str
    socket: Path
    info: csi.NodeInfo = csi.NodeInfo()


class Listing(Protocol):
    """Tells the cluster which drivers the node has."""

    async def add(self, driver: Driver) -> None:
        """Lists a driver; raises the API's errors, and Refused."""

    async def remove(self, name: str) -> None:
        """Takes a driver from the list; raises the API's errors, and Refused."""


class Node:
    """A driver's service for nodes, while it is called."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def call(self, method: Rpc[Q, A], message: Q) -> A:
        """Makes a call; raises Failed."""
        answer: A = await self._channel.ask(method, message, CALL_SECONDS)
        return answer

    async def abilities(self) -> Collection[int]:
        """Returns what the driver can do on nodes, by the numbers of NodeServiceCapability."""
        found = await self.call(csi.NODE_GET_CAPABILITIES, csi.Empty())
        return {it.rpc.type for it in found.capabilities if it.rpc is not None}


class Drivers:
    """See `plugins.Handler`: the drivers by name."""

    def __init__(self, world: World, listing: Listing) -> None:
        self._world = world
        self._listing = listing
        self._known: dict[str, Driver] = {}

    async def register(self, plugin: Plugin) -> None:
        """Asks a driver how it knows the node, and lists it; raises Refused."""
        if not plugin.name:
            raise Refused("kubernetes.io/csi: plugin registration failed: no name")
        if not any(it.lstrip("v").startswith("1.") for it in plugin.versions):
            shown = " ".join(plugin.versions)
            text = f"driver {plugin.name} speaks versions [{shown}], and none of 1.x"
            raise Refused(f"kubernetes.io/csi: {text}")
        try:
            async with self._calling(plugin.endpoint) as node:
                info = await node.call(csi.NODE_GET_INFO, csi.Empty())
        except Failed as error:
            text = "kubernetes.io/csi: CSI.NodeGetInfo failed"
            raise Refused(f"{text} for driver {plugin.name}: {error}") from error
        driver = Driver(plugin.name, plugin.endpoint, info)
        try:
            await self._listing.add(driver)
        except (APIError, Unreachable) as error:
            raise Refused(f"kubernetes.io/csi: error updating CSINode: {error}") from error
        self._known[plugin.name] = driver

    async def unregister(self, plugin: Plugin) -> None:
        """Gives a driver up; raises the API's errors, and Refused."""
        known = self._known.get(plugin.name)
        if known is not None and known.socket != plugin.endpoint:
            return  # another has its name by now
        self._known.pop(plugin.name, None)  # gone already where this is another try
        await self._listing.remove(plugin.name)

    @asynccontextmanager
    async def node(self, name: str) -> AsyncIterator[Node]:
        """Gives a driver to be called; raises NotRegistered, Failed."""
        if (driver := self._known.get(name)) is None:
            text = f"driver name {name} not found in the list of registered CSI drivers"
            raise NotRegistered(text)
        async with self._calling(driver.socket) as node:
            yield node

    @asynccontextmanager
    async def _calling(self, socket: Path) -> AsyncIterator[Node]:
        async with await connect_unix(socket, self._world, CALL_SECONDS) as channel:
            yield Node(channel)


def is_final(error: Any) -> bool:
    """Says whether a driver that failed so is done with what it was asked."""
    return isinstance(error, Failed) and error.code not in _OPEN
