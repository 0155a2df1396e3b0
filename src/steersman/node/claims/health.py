"""How the devices of drivers are, as far as their drivers tell; for the status of pods.

Follows the kubelet's cm/dra/healthinfo.go (KEP-4680). One rule: what is not told again in time is
not known any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

import msgspec

from steersman.client.grpc import Channel
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import dra
from steersman.world.interface import Tasks, World

HOLDS_SECONDS: Final = 30.0  # DefaultHealthTimeout
RETRY_SECONDS: Final = 5.0
MAX_MESSAGE: Final = 1024  # ResourceHealthMessageMaxLength
UNKNOWN: Final = dra.HEALTH[0]
log = logging.getLogger(__name__)


class Known(msgspec.Struct, frozen=True):
    """How a device is, why, and until when that holds."""

    health: str = UNKNOWN
    message: str = ""
    until: float = 0.0


class HealthBook:
    """The devices of all drivers. `changed` is called with a driver some of whose devices are
    told to be otherwise than before."""

    def __init__(self, world: World, changed: Callable[[str], None]) -> None:
        self._world = world
        self._changed = changed
        self._known: dict[str, dict[tuple[str, str], Known]] = {}

    def of(self, driver: str, pool: str, device: str) -> Known:
        """Returns how a device is now."""
        found = self._known.get(driver, {}).get((pool, device), Known())
        return found if found.until > self._world.now() else Known()

    async def follow(self, driver: str, channel: Channel) -> None:
        """Hears from a driver for as long as it is connected; from one that tells no health,
        never again."""
        async with self._world.tasks() as tasks:
            while not channel.is_lost:
                try:
                    await self._hear(driver, channel, tasks)
                except Failed as error:
                    if error.code == grpc.UNIMPLEMENTED:
                        break
                    log.warning("the health of devices of %s is not told: %s", driver, error)
                finally:
                    self._forget(driver)
                await self._world.sleep(RETRY_SECONDS)
            tasks.stop()

    async def _hear(self, driver: str, channel: Channel, tasks: Tasks) -> None:
        fading: asyncio.Task[None] | None = None
        told = channel.follow(dra.NODE_WATCH_RESOURCES, dra.WatchResources())
        try:
            async with aclosing(told) as messages:
                async for message in messages:
                    self._take(driver, message)
                    if fading is not None:
                        fading.cancel()
                    fading = tasks.start(self._fade(driver), name=f"health of {driver}")
        finally:
            if fading is not None:
                fading.cancel()

    def _take(self, driver: str, message: dra.Health) -> None:
        now = self._world.now()
        known = self._known.setdefault(driver, {})
        before = {key: (it.health, it.message) for key, it in known.items() if it.until > now}
        for it in message.devices:
            key = it.device.pool_name, it.device.device_name
            holds = float(max(it.health_check_timeout_seconds, 0)) or HOLDS_SECONDS
            name = dra.HEALTH[it.health] if 0 <= it.health < len(dra.HEALTH) else UNKNOWN
            known[key] = Known(name, cut(it.message), now + holds)
        if before != {key: (it.health, it.message) for key, it in known.items() if it.until > now}:
            self._changed(driver)

    async def _fade(self, driver: str) -> None:
        """Tells each time that something is not known any more."""
        known = self._known.get(driver, {})  # another plugin of it may have gone since
        for until in sorted({it.until for it in known.values()}):
            await self._world.sleep(max(0.0, until - self._world.now()))
            self._changed(driver)

    def _forget(self, driver: str) -> None:
        if self._known.pop(driver, None):
            self._changed(driver)


def cut(message: str) -> str:
    """Returns a message no longer than the API takes it."""
    return message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 3]}..."
