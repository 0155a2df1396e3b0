"""What is used of one quota, counted from what is stored.

The number of objects is that of the table's entries; what pods, claims and Services use is summed
up when it is first asked for, and follows their changes from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from steersman.api.cache import Cache, Entry, Event, Table
from steersman.model.kinds.resourcequota import ResourceQuota
from steersman.model.quantity import NANO, Quantity, parse
from steersman.model.quota.measure import BY_USE
from steersman.model.quota.tally import Tally
from steersman.model.ref import Resource
from steersman.model.types.resources import Amounts
from steersman.model.view import decoder

_QUOTA: Final = decoder(ResourceQuota)
_DECODERS: Final = {resource: decoder(measure.view) for resource, measure in BY_USE.items()}


def view_of(table: Table, stored: bytes) -> Any | None:
    """Returns what measuring reads of a stored object, None where objects are only counted."""
    decoder = _DECODERS.get(table.resource)
    return decoder.decode(stored) if decoder is not None else None


class Book:
    """See the module. It follows the cache until it is closed."""

    def __init__(self, entry: Entry, cache: Cache) -> None:
        quota: ResourceQuota = _QUOTA.decode(entry.value)
        self.name = entry.name
        self.spec = quota.spec
        self.hard = {name: parse(text) for name, text in quota.spec.hard.items()}
        self._uid = quota.metadata.uid
        self._namespace = entry.namespace
        self._cache = cache
        self._tallies: dict[Resource, Tally] = {}
        self._leave: list[Callable[[], None]] = []

    def is_of(self, entry: Entry) -> bool:
        """Says whether a stored quota is still the one of this book."""
        quota: ResourceQuota = _QUOTA.decode(entry.value)
        return (quota.metadata.uid, quota.spec) == (self._uid, self.spec)

    def used(self, table: Table, bounded: Iterable[str], now: float) -> Amounts:
        """Returns what the objects of a table use of some bounds."""
        if table.resource in BY_USE:
            return dict(self._tally(table).used(now))
        count = Quantity(len(table.entries.get(self._namespace, ())) * NANO)
        return dict.fromkeys(bounded, count)

    def close(self) -> None:
        """Follows no more."""
        for leave in self._leave:
            leave()

    def _tally(self, table: Table) -> Tally:
        if (tally := self._tallies.get(table.resource)) is not None:
            return tally
        tally = self._tallies[table.resource] = Tally(self.spec, BY_USE[table.resource])

        def hear(event: Event) -> None:
            entry = event.new or event.old
            assert entry is not None
            tally.put(entry.name, view_of(table, entry.value) if event.new else None)

        self._leave.append(table.watch(self._namespace, hear))
        for entry in table.ordered(self._namespace):
            tally.put(entry.name, view_of(table, entry.value))
        return tally
