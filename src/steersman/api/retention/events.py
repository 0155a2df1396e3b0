"""Events go an hour after they were last written; upstream has etcd's leases do it (--event-ttl).

They go as with a lease: nobody is asked, finalizers do not hold them, watchers are told. What is
written within a minute goes together, as one lease of upstream's has it (apiserver's etcd3
lease_manager.go). After a restart an Event's time is counted from what it says of itself, at most
from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from steersman.api import keys
from steersman.api.cache import Cache, Entry, Event
from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.model.times import seconds_of
from steersman.store.interface import MOST_WRITES, Conflict, Full, Write
from steersman.world.interface import World

EVENTS: Final = Resource("", "events")
TTL_SECONDS: Final = 3600.0
# How much longer those stay that share a lease, so that others may come to it: at most a twentieth
# of their time (defaultLeaseReuseDurationSeconds)
SHARED_SECONDS: Final = 60.0
# A store without room refuses deletions too
FULL_SECONDS: Final = 60.0


class EventExpiry:
    """See the module; a time of 0 keeps Events for ever."""

    def __init__(self, cache: Cache, world: World, seconds: float = TTL_SECONDS) -> None:
        self._table = cache.table(EVENTS)
        self._store = cache.store
        self._world = world
        self._seconds = seconds
        # When each goes; they are written in the order in which they go
        self._due: dict[tuple[str, str], float] = {}
        self._shared = 0.0  # when those go that were written last
        self._some = asyncio.Event()

    async def run(self) -> None:
        """Deletes what is due for ever."""
        if not self._seconds:
            return
        self._begin()
        leave = self._table.watch("", self._hear)
        try:
            while True:
                await self._some.wait()
                await self._next()
        finally:
            leave()

    def _begin(self) -> None:
        # What says that it is of a later time would hold up all that are written before then
        now = self._world.now()
        found = [
            (
                min(last_written(entry.document()), now) + self._seconds,
                (entry.namespace, entry.name),
            )
            for entry in self._table.ordered()
        ]
        self._due = {place: due for due, place in sorted(found)}
        if self._due:
            self._some.set()

    def _hear(self, event: Event) -> None:
        entry = event.new or event.old
        assert entry is not None
        place = (entry.namespace, entry.name)
        self._due.pop(place, None)
        if event.new is not None:
            self._due[place] = self._shared = self._lease()
            self._some.set()

    def _lease(self) -> float:
        """Returns when an Event goes that is written now: with those before it, if it has its time
        by then."""
        least = self._world.now() + self._seconds
        most = least + min(SHARED_SECONDS, self._seconds / 20)
        return self._shared if least <= self._shared <= most else most

    async def _next(self) -> None:
        """Waits for what goes first, and deletes it with all that is due by then."""
        if not self._due:
            self._some.clear()
            return
        if (wait := next(iter(self._due.values())) - self._world.now()) > 0:
            await self._world.sleep(wait)
            return
        now = self._world.now()
        first = islice(self._due.items(), MOST_WRITES)
        places = [place for place, due in first if due <= now]
        found = [self._table.get(*place) for place in places]
        for place in places:
            del self._due[place]
        if not await self._delete(entry for entry in found if entry is not None):
            again = dict.fromkeys((place for place in places if place not in self._due), now)
            self._due = {**again, **self._due}
            await self._world.wire_sleep(FULL_SECONDS)

    async def _delete(self, entries: Iterable[Entry]) -> bool:
        """Deletes Events but for those that are written meanwhile, of which the table tells; says
        whether the store took it."""
        keyed = {keys.key_of(EVENTS, it.namespace, it.name): it.revision for it in entries}
        while keyed:
            try:
                await self._store.commit(*(Write(key, None, at) for key, at in keyed.items()))
            except Conflict as conflict:
                del keyed[conflict.key]
            except Full:
                return False
            else:
                break
        return True


def last_written(event: Document) -> float:
    """Returns the latest time that an Event bears, in seconds since 1970."""
    series: Any = event.get("series") or {}
    bears = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    return max((seconds_of(text) for text in bears if text), default=0.0)
