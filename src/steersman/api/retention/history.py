"""Compaction: revisions that were overwritten go, those of the last minutes stay readable.

Follows apiserver's storage/etcd3/compact.go: at the end of each interval what was overwritten
before it began is forgotten, so that a list can be paged through for at least one interval.
"""

from __future__ import annotations

from typing import Final

from steersman.api.cache import Cache
from steersman.world.interface import World

# Upstream's default (--etcd-compaction-interval); in wire time, as clients page through lists in it
INTERVAL_SECONDS: Final = 300.0


class Compaction:
    """See the module."""

    def __init__(self, cache: Cache, world: World) -> None:
        self._cache = cache
        self._world = world

    async def run(self) -> None:
        """Compacts for ever."""
        done = 0
        while True:
            before = self._cache.revision
            await self._world.wire_sleep(INTERVAL_SECONDS)
            if before != done:
                await self._cache.store.compact(before)
                done = before
