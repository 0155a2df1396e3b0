"""Registers the plugin behind one socket with the handler of its type, and takes it back.

The plugin is asked who it is, and told the outcome; what fails is tried again, less and less
often. Loaded with the first plugin, since it brings gRPC along.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from steersman.client.errors import Unreachable
from steersman.client.grpc import connect_unix
from steersman.model.errors import APIError
from steersman.node.plugins.folder import Handler, Identity, Plugin, Refused, Socket
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc.registration import (
    GET_INFO,
    NOTIFY_REGISTRATION_STATUS,
    InfoRequest,
    PluginInfo,
    RegistrationStatus,
)
from steersman.world.interface import World

# kubelet's dialTimeoutDuration; here it bounds each call as well
DIAL_SECONDS: Final = 10.0
# Between tries of one socket, doubled up to the most (kubelet's goroutinemap back-off)
FIRST_RETRY_SECONDS: Final = 0.5
MOST_RETRY_SECONDS: Final = 122.0
log = logging.getLogger(__name__)


class Registering:
    """What is done for the socket at one path."""

    def __init__(
        self,
        path: Path,
        socket: Socket,
        handlers: Mapping[str, Callable[[], Handler]],
        world: World,
    ) -> None:
        self._path = path
        self._socket = socket
        self._handlers = handlers
        self._world = world

    async def run(self) -> None:
        """Registers the plugin of a socket, and takes it back when the socket is another one; ends
        when there is none, and all is taken back."""
        plugin: Plugin | None = None
        registered: Identity | None = None
        wait: float | None = None
        while True:
            self._socket.changed.clear()
            identity = self._socket.identity
            try:
                if plugin is not None and identity != registered:
                    await self._handlers[plugin.type]().unregister(plugin)
                    plugin = None
                    continue  # there may be another one by now
                if identity is None:
                    return
                if plugin is None:
                    plugin, registered = await self._register(), identity
                wait = None
            except (Failed, Refused, APIError, Unreachable) as error:
                log.warning("plugin %s: %s", self._path, error)
                wait = min(2 * wait, MOST_RETRY_SECONDS) if wait else FIRST_RETRY_SECONDS
            await self._pause(wait)

    async def _pause(self, seconds: float | None) -> None:
        """Waits for a change, or for the next try."""
        try:
            async with self._world.timeout(seconds):
                await self._socket.changed.wait()
        except TimeoutError:
            return

    async def _register(self) -> Plugin:
        """Registers who listens, and tells them; raises Refused, Failed."""
        plugin = await self._ask()
        error = ""
        try:
            await self._hand_over(plugin)
        except Refused as refused:
            error = str(refused)
        async with await connect_unix(self._path, self._world, DIAL_SECONDS) as channel:
            status = RegistrationStatus(not error, error)
            await channel.ask(NOTIFY_REGISTRATION_STATUS, status, DIAL_SECONDS)
        if error:
            raise Refused(error)
        return plugin

    async def _ask(self) -> Plugin:
        async with await connect_unix(self._path, self._world, DIAL_SECONDS) as channel:
            info: PluginInfo = await channel.ask(GET_INFO, InfoRequest(), DIAL_SECONDS)
        endpoint = Path(info.endpoint) if info.endpoint else self._path
        return Plugin(info.type, info.name, endpoint, info.supported_versions)

    async def _hand_over(self, plugin: Plugin) -> None:
        start = "RegisterPlugin error -- "
        if (handler := self._handlers.get(plugin.type)) is None:
            why = f"no handler registered for plugin type: {plugin.type} at socket {self._path}"
            raise Refused(f"{start}{why}")
        try:
            await handler().register(plugin)
        except Refused as error:
            raise Refused(f"{start}plugin registration failed with err: {error}") from error
