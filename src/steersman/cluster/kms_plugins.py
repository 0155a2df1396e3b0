"""Follows the plugins that keep keys of what is encrypted at rest: waits for them when the server
starts, asks them from time to time, and takes others when the configuration is read again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from steersman.api.encryption.configuration import NO_ENCRYPTION, Encryption
from steersman.api.encryption.sealed_store import SealedStore
from steersman.world.interface import Tasks, World

# The name of the health check, which is there where there are plugins or may be
CHECK: Final = "kms-providers"
# A plugin that starts with the server is waited for; what it sealed cannot be read before
START_SECONDS: Final = 20.0
_PAUSE_SECONDS: Final = 1.0
log = logging.getLogger(__name__)


class KMSPlugins:
    """See the module. `kept` gives the keys that the cache holds."""

    def __init__(self, store: SealedStore, encryption: Encryption | None, world: World) -> None:
        self._store = store
        self._encryption = encryption or NO_ENCRYPTION
        self._world = world
        self._following: list[asyncio.Task[None]] = []

    async def health(self) -> str:
        """Returns what is wrong with any of them, nothing where all are well."""
        return await self._encryption.health()

    async def begin(self) -> None:
        """Waits until all answer, though not for ever."""
        for plugin in self._encryption.plugins:
            plugin.begin(self._world)
        until = self._world.monotonic() + START_SECONDS
        while wrong := await self._encryption.health():
            if self._world.monotonic() > until:
                log.error("the server starts without what they have sealed: %s", wrong)
                return
            await self._world.wire_sleep(_PAUSE_SECONDS)

    def follow(self, tasks: Tasks, kept: Callable[[], Iterable[str]]) -> None:
        """Asks them from now on; what was sealed by a key that is no longer theirs is written
        anew."""
        for plugin in self._encryption.plugins:
            work = plugin.run(lambda: self._store.renew(kept()))
            self._following.append(tasks.start(work, name=f"kms-{plugin.settings.name}"))

    def use(self, encryption: Encryption, tasks: Tasks, kept: Callable[[], Iterable[str]]) -> None:
        """Seals and opens by another configuration from now on, or once its plugins are well."""
        if encryption.plugins:
            tasks.start(self._use_once_well(encryption, tasks, kept), name="kms-change")
        else:
            self._take(encryption, tasks, kept)

    async def _use_once_well(
        self, encryption: Encryption, tasks: Tasks, kept: Callable[[], Iterable[str]]
    ) -> None:
        for plugin in encryption.plugins:
            plugin.begin(self._world)
        if wrong := await encryption.health():
            log.error("the configuration of encryption stays as it was: %s", wrong)
            return
        self._take(encryption, tasks, kept)

    def _take(
        self, encryption: Encryption, tasks: Tasks, kept: Callable[[], Iterable[str]]
    ) -> None:
        before, self._encryption = self._encryption, encryption
        self._store.use(encryption, kept())
        for task in self._following:
            task.cancel()
        self._following.clear()
        for plugin in before.plugins:
            plugin.close()
        self.follow(tasks, kept)

    def close(self) -> None:
        """Lets go of all."""
        for plugin in self._encryption.plugins:
            plugin.close()
