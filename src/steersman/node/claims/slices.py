"""Deletes the ResourceSlices of drivers that are gone, lest pods be sent here for their devices.

Follows the kubelet's dra_plugin_manager.go (wipeResourceSlices). One rule: a driver that comes back
in time keeps its slices, and after a start of the agent none has come yet.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from steersman.client.errors import Unreachable
from steersman.client.interface import Client
from steersman.model.errors import APIError, NotFound
from steersman.model.kinds.resourceslice import RESOURCESLICE
from steersman.world.interface import Tasks, World

# How long a driver may be gone, as for another version of its pod (defaultWipingDelay)
WIPING_SECONDS: Final = 30.0
# Between tries, doubled up to the most
FIRST_RETRY_SECONDS: Final = 1.0
MOST_RETRY_SECONDS: Final = 300.0
log = logging.getLogger(__name__)


class Slices:
    """The ResourceSlices of one node."""

    def __init__(self, client: Client, node: str, world: World, tasks: Tasks) -> None:
        self._client = client
        self._node = node
        self._world = world
        self._tasks = tasks
        self._pending: dict[str, asyncio.Task[None]] = {}

    def gone(self, driver: str) -> None:
        """A driver cannot be reached: its slices go after a while."""
        if driver not in self._pending:
            work = self._wipe_later(driver)
            self._pending[driver] = self._tasks.start(work, name=f"slices of {driver}")

    def back(self, driver: str) -> None:
        """A driver can be reached again."""
        if (pending := self._pending.pop(driver, None)) is not None:
            pending.cancel()

    async def _wipe_later(self, driver: str) -> None:
        await self._world.sleep(WIPING_SECONDS)
        await self.wipe(driver)
        self._pending.pop(driver, None)

    async def wipe(self, driver: str = "") -> None:
        """Deletes the slices of a driver, or those of all, trying until they are gone."""
        selected = f"spec.nodeName={self._node}"
        if driver:
            selected += f",spec.driver={driver}"
        wait = FIRST_RETRY_SECONDS
        while True:
            try:
                await self._client.delete_collection(RESOURCESLICE, fields=selected)
                return
            except NotFound:
                return
            except (APIError, Unreachable) as error:
                log.warning("ResourceSlices (%s) cannot be deleted: %s", selected, error)
                await self._world.sleep(self._world.jitter(wait, 0.2))
                wait = min(2 * wait, MOST_RETRY_SECONDS)
