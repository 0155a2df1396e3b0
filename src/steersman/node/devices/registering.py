"""Registers device plugins: by their own call at the node's socket, and by the plugins folder.

Follows the kubelet's cm/devicemanager/plugin/v1beta1. One rule: of one resource the plugin that
registered last counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from steersman.listen.grpc import Handler, unary
from steersman.model.gotext import quote
from steersman.model.types.resource_check import is_extended
from steersman.node.devices.endpoint import Endpoint, connect
from steersman.node.devices.giving import Giving, Offer
from steersman.node.plugins.folder import Plugin, Refused
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import device_plugin as api
from steersman.world.interface import Tasks, World

# For how long devices of a plugin that is gone are told as what the machine has (kubelet's
# endpointStopGracePeriod); they cannot be used meanwhile
GRACE_SECONDS: Final = 300.0
MAX_RESOURCES: Final = 256  # a node has a handful; each has a task and a connection
log = logging.getLogger(__name__)


class DevicePlugins:
    """The plugins of one node; see `plugins.Handler`."""

    def __init__(self, giving: Giving, directory: Path, world: World, tasks: Tasks) -> None:
        self._giving = giving
        self._directory = directory
        self._world = world
        self._tasks = tasks
        self._sockets: dict[str, Path] = {}
        self._expiries: dict[str, asyncio.Task[None]] = {}
        for resource in giving.offers:
            self._expire_later(resource)

    def handlers(self) -> Mapping[str, Handler]:
        """Returns what is served at the node's socket."""
        return dict((unary(api.REGISTER, self._register),))

    async def _register(self, message: api.Register) -> api.Empty:
        name = message.resource_name
        try:
            if message.version != api.VERSION:
                text = f"requested API version {quote(message.version)} is not supported by kubelet"
                raise Refused(f"{text}. Supported version is [{quote(api.VERSION)}]")
            _check_name(name)
            await self._connect(name, self._directory / message.endpoint.lstrip("/"))
        except Refused as error:
            log.warning("device plugin %s: %s", name, error)
            raise Failed(grpc.UNKNOWN, str(error)) from error
        return api.Empty()

    async def register(self, plugin: Plugin) -> None:
        """Takes a plugin that was found by its socket; raises Refused."""
        if api.VERSION not in plugin.versions:
            shown = " ".join(plugin.versions)
            text = f"manager version, {api.VERSION}, is not among plugin supported versions"
            raise Refused(f"{text} [{shown}]")
        try:
            _check_name(plugin.name)
        except Refused as error:
            raise Refused(f"invalid name of device plugin socket: {error}") from error
        await self._connect(plugin.name, plugin.endpoint)

    async def unregister(self, plugin: Plugin) -> None:
        """Gives a plugin up whose socket is gone."""
        if self._sockets.get(plugin.name) == plugin.endpoint:
            endpoint = self._giving.offers[plugin.name].endpoint
            if endpoint is not None:
                endpoint.stop()

    async def _connect(self, resource: str, socket: Path) -> None:
        offers = self._giving.offers
        if resource not in offers and len(offers) >= MAX_RESOURCES:
            raise Refused(f"{MAX_RESOURCES} resources are registered already")
        try:
            endpoint = await connect(resource, socket, self._world)
        except Failed as error:
            raise Refused(f"failed to dial device plugin: {error}") from error
        offer = offers.setdefault(resource, Offer())
        if offer.endpoint is not None:
            offer.endpoint.stop()
        offer.endpoint = endpoint
        self._sockets[resource] = socket
        if (expiry := self._expiries.pop(resource, None)) is not None:
            expiry.cancel()
        work = self._follow(resource, offer, endpoint)
        self._tasks.start(work, name=f"device plugin {resource}")

    async def _follow(self, resource: str, offer: Offer, endpoint: Endpoint) -> None:
        """Takes what a plugin lists, until it is gone or another has its place."""
        why = "it has ended its list"
        try:
            await endpoint.follow(lambda found: self._giving.hear(resource, found))
        except Failed as error:
            why = str(error)
        if offer.endpoint is endpoint:
            log.warning("ListAndWatch ended unexpectedly for device plugin %s: %s", resource, why)
            self._giving.stopped(resource)
            self._expire_later(resource)

    def _expire_later(self, resource: str) -> None:
        task = self._tasks.start(self._expire(resource), name=f"grace of {resource}")
        self._expiries[resource] = task

    async def _expire(self, resource: str) -> None:
        await self._world.sleep(GRACE_SECONDS)
        del self._expiries[resource]
        self._sockets.pop(resource, None)
        self._giving.forget(resource)


def _check_name(resource: str) -> None:
    if not is_extended(resource):
        raise Refused(f"the ResourceName {quote(resource)} is invalid")
