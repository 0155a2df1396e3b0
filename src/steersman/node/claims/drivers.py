"""The drivers of dynamic resource allocation that are registered on the node, and calls of them.

Follows the kubelet's cm/dra/plugin. One rule: a driver may have several plugins, as while it is
replaced; of those that are connected the one that came last is called.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from steersman.client.grpc import Channel, connect_unix
from steersman.model.gotext import quote
from steersman.node.claims.slices import Slices
from steersman.node.plugins.folder import Plugin, Refused
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import dra
from steersman.wire.rpc.messages import Rpc
from steersman.world.interface import Tasks, World

CALL_SECONDS: Final = 45.0  # kubelet's defaultClientCallTimeout
# Between tries to reach a plugin that is registered, half as long again each time (grpc-go)
FIRST_RETRY_SECONDS: Final = 1.0
RETRY_FACTOR: Final = 1.6
MOST_RETRY_SECONDS: Final = 120.0
MAX_PLUGINS: Final = 256  # a node has a handful; each has a task and a connection
Q = TypeVar("Q")
A = TypeVar("A")
log = logging.getLogger(__name__)
Follow = Callable[[str, Channel], Coroutine[Any, Any, None]]


class NotRegistered(Exception):
    """The node has no such driver now; the text is upstream's."""


class DriverPlugin:
    """One plugin of a driver, whether it can be reached or not."""

    def __init__(self, driver: str, socket: Path, service: dra.Service) -> None:
        self.driver = driver
        self.socket = socket
        self.service = service
        self.channel: Channel | None = None
        self.task: asyncio.Task[None]


class Drivers:
    """See `plugins.Handler`: the plugins of drivers, by their names. `follow` is run beside each
    connection."""

    def __init__(self, world: World, tasks: Tasks, slices: Slices, follow: Follow) -> None:
        self._world = world
        self._tasks = tasks
        self._slices = slices
        self._follow = follow
        self._plugins: dict[str, list[DriverPlugin]] = {}

    async def register(self, plugin: Plugin) -> None:
        """Takes a plugin; raises Refused."""
        name, endpoint = plugin.name, plugin.endpoint
        try:
            service = choose_service(plugin.versions)
        except Refused as error:
            text = f"invalid supported gRPC versions of DRA driver plugin {name} at endpoint"
            raise Refused(f"{text} {endpoint}: {error}") from error
        others = self._plugins.setdefault(name, [])
        if any(it.socket == endpoint for it in others):
            text = f"endpoint {endpoint} already registered for DRA driver plugin {name}"
            raise Refused(text)
        if sum(map(len, self._plugins.values())) >= MAX_PLUGINS:
            raise Refused(f"{MAX_PLUGINS} DRA driver plugins are registered already")
        made = DriverPlugin(name, endpoint, service)
        others.append(made)
        made.task = self._tasks.start(self._keep(made), name=f"DRA driver {name}")

    async def unregister(self, plugin: Plugin) -> None:
        """Gives a plugin up."""
        known = self._plugins.get(plugin.name, [])
        for it in [one for one in known if one.socket == plugin.endpoint]:
            known.remove(it)
            it.task.cancel()
        if not known:
            self._plugins.pop(plugin.name, None)
        self._sync(plugin.name)

    async def _keep(self, plugin: DriverPlugin) -> None:
        """Keeps a connection to a plugin, for ever."""
        wait = FIRST_RETRY_SECONDS
        while True:
            try:
                async with await connect_unix(plugin.socket, self._world, CALL_SECONDS) as channel:
                    wait = FIRST_RETRY_SECONDS
                    await self._use(plugin, channel)
            except Failed as error:
                log.warning("DRA driver %s cannot be reached: %s", plugin.driver, error)
                self._sync(plugin.driver)
            await self._world.sleep(self._world.jitter(wait, 0.2))
            wait = min(RETRY_FACTOR * wait, MOST_RETRY_SECONDS)

    async def _use(self, plugin: DriverPlugin, channel: Channel) -> None:
        """Has a connection used until it is lost."""
        plugin.channel = channel
        self._sync(plugin.driver)
        try:
            async with self._world.tasks() as beside:
                beside.start(self._follow(plugin.driver, channel), name=f"health {plugin.driver}")
                await channel.over()
                beside.stop()
        finally:
            plugin.channel = None
        self._sync(plugin.driver)

    def _sync(self, driver: str) -> None:
        """Has the slices of a driver kept where it can be reached, and else deleted later."""
        if any(it.channel is not None for it in self._plugins.get(driver, ())):
            self._slices.back(driver)
        else:
            self._slices.gone(driver)

    def find(self, driver: str) -> DriverPlugin:
        """Returns the plugin of a driver that is to be called; raises NotRegistered."""
        if not driver:
            raise NotRegistered("DRA driver name is empty")
        known = self._plugins.get(driver)
        if not known:
            raise NotRegistered(f"DRA driver {driver} is not registered")
        return next((it for it in reversed(known) if it.channel is not None), known[-1])

    async def prepare(self, driver: str, claims: Sequence[dra.Claim]) -> dra.AllPrepared:
        """Has a driver make claims ready; raises NotRegistered, Failed."""
        plugin = self.find(driver)
        return await self._call(plugin, plugin.service.prepare, dra.Claims(tuple(claims)))

    async def unprepare(self, driver: str, claims: Sequence[dra.Claim]) -> dra.AllUnprepared:
        """Has a driver take claims back; raises NotRegistered, Failed."""
        plugin = self.find(driver)
        return await self._call(plugin, plugin.service.unprepare, dra.Claims(tuple(claims)))

    async def _call(self, plugin: DriverPlugin, method: Rpc[Q, A], message: Q) -> A:
        if plugin.channel is not None and not plugin.channel.is_lost:
            return await plugin.channel.ask(method, message, CALL_SECONDS)
        async with await connect_unix(plugin.socket, self._world, CALL_SECONDS) as channel:
            return await channel.ask(method, message, CALL_SECONDS)


def choose_service(offered: Sequence[str]) -> dra.Service:
    """Returns the service by which a plugin is called: the first that it names of those that are
    known. Raises Refused."""
    if not offered:
        raise Refused("empty list of supported gRPC services (aka supported versions)")
    known = {it.name: it for it in dra.SERVICES}
    found = next((known[it] for it in offered if it in known), None)
    if found is None:
        theirs, ours = (" ".join(map(quote, it)) for it in (offered, known))
        raise Refused(
            f"none of services supported by the plugin ([{theirs}]) are supported by the kubelet "
            f"([{ours}])"
        )
    return found
