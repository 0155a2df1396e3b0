"""One device plugin: the connection to it, what it lists, and what it is asked, bounded in time.

Follows deviceplugin/v1beta1 and the kubelet's endpoint.go. One rule: a plugin that is lost stays
lost; it registers again, and is another one then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import aclosing
from pathlib import Path
from typing import Final, TypeVar

from steersman.client.grpc import Channel, connect_unix
from steersman.node.devices.stock import Stock
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import device_plugin as api
from steersman.wire.rpc.messages import Rpc
from steersman.world.interface import World

DIAL_SECONDS: Final = 10.0  # of the kubelet's; here it bounds the question for options as well
# KubeletPreStartContainerRPCTimeoutInSecs. Upstream gives no bound to the other calls, so that a
# plugin that hangs holds up all pods that come to the node
CALL_SECONDS: Final = 30.0
Q = TypeVar("Q")
A = TypeVar("A")


class Endpoint:
    """A plugin that offers the devices of one resource."""

    def __init__(self, resource: str, channel: Channel, options: api.Options) -> None:
        self.resource = resource
        self.options = options
        self._channel = channel
        self.is_stopped = False

    async def follow(self, hear: Callable[[Stock], None]) -> None:
        """Tells what the plugin lists, until it has no more to say or fails."""
        try:
            async with aclosing(self._channel.follow(api.LIST_AND_WATCH, api.Empty())) as lists:
                async for found in lists:
                    hear(stock_of(found))
        finally:
            self.stop()

    def stop(self) -> None:
        """Closes the connection; whatever is asked from now on fails."""
        self.is_stopped = True
        self._channel.close()

    async def _ask(self, method: Rpc[Q, A], message: Q) -> A:
        if self.is_stopped:
            raise Stopped(f"endpoint {self.resource} has been stopped")
        return await self._channel.ask(method, message, CALL_SECONDS)

    async def prefer(
        self, available: Collection[str], included: Collection[str], count: int
    ) -> tuple[str, ...]:
        """Returns which devices the plugin would rather give out, none where it does not care;
        raises Failed."""
        if not self.options.get_preferred_allocation_available:
            return ()
        wanted = api.ContainerPreference(tuple(available), tuple(included), count)
        message = api.PreferredAllocation((wanted,))
        answer = await self._ask(api.GET_PREFERRED_ALLOCATION, message)
        return answer.container_responses[0].device_ids if answer.container_responses else ()

    async def allocate(self, devices: Collection[str]) -> tuple[api.Allocated, ...]:
        """Has the plugin make devices ready, and returns what a container needs for them."""
        message = api.Allocate((api.ContainerIds(tuple(devices)),))
        answer = await self._ask(api.ALLOCATE, message)
        return answer.container_responses

    async def pre_start(self, devices: Collection[str]) -> None:
        """Tells the plugin that a container with devices is about to begin, where it wants to
        know."""
        if self.options.pre_start_required:
            await self._ask(api.PRE_START_CONTAINER, api.PreStart(tuple(devices)))


class Stopped(Exception):
    """A plugin is gone."""


def stock_of(found: api.Devices) -> Stock:
    """Returns the devices that a plugin lists."""
    nodes = {
        it.id: tuple(node.id for node in it.topology.nodes) if it.topology is not None else ()
        for it in found.devices
    }
    healthy = frozenset(it.id for it in found.devices if it.health == api.HEALTHY)
    return Stock(nodes, healthy)


async def connect(resource: str, socket: Path, world: World) -> Endpoint:
    """Returns a plugin that listens at a socket, once it has said what it wants; raises Failed."""
    channel = await connect_unix(socket, world, DIAL_SECONDS)
    try:
        options = await channel.ask(api.GET_DEVICE_PLUGIN_OPTIONS, api.Empty(), DIAL_SECONDS)
    except Failed as error:
        channel.close()
        raise Failed(error.code, f"failed to get device plugin options: {error}") from error
    except BaseException:
        channel.close()
        raise
    return Endpoint(resource, channel, options)
