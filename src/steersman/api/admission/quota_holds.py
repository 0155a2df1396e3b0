"""What writes on their way will add to the quotas of one namespace.

A write is held from its check until its commit is over; once it shows in the cache it is counted
there, and here no longer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from steersman.api.cache import Table
from steersman.model.types.resources import Amounts, add
from steersman.world.interface import World

# A write whose client has left may still be stored: so long it is counted on, unless it shows
ABANDONED_SECONDS: Final = 30.0


class Hold(msgspec.Struct, eq=False):
    """One write: `amounts` by the names of quotas. `revision` is that of the object which it
    replaces, 0 for a new one. It ends at `until` where nobody waits any more."""

    table: Table
    namespace: str
    name: str
    revision: int
    amounts: Mapping[str, Amounts]
    until: float = math.inf

    def is_open(self) -> bool:
        """Says whether the write is not among what is stored yet."""
        entry = self.table.get(self.namespace, self.name)
        return (entry.revision if entry else 0) == self.revision


class Holds:
    """See the module."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._holds: list[Hold] = []
        self._sums: dict[str, Amounts] = {}

    def __len__(self) -> int:
        return len(self._holds)

    def put(self, hold: Hold) -> None:
        """Holds a write."""
        self._holds.append(hold)
        for quota, amounts in hold.amounts.items():
            add(self._sums.setdefault(quota, {}), amounts)

    def settle(self, hold: Hold) -> None:
        """Lets go of a write that is over, and of those abandoned that show or never will."""
        now = self._world.monotonic()
        self._drop(hold)
        for left in [one for one in self._holds if one.until != math.inf]:
            if left.until <= now or not left.is_open():
                self._drop(left)

    def abandon(self, hold: Hold) -> None:
        """Holds a write a while longer that nobody waits for."""
        hold.until = self._world.monotonic() + ABANDONED_SECONDS

    def _drop(self, hold: Hold) -> None:
        self._holds.remove(hold)
        for quota, amounts in hold.amounts.items():
            add(self._sums[quota], {name: -one for name, one in amounts.items()})

    def most(self, quota: str) -> Amounts:
        """Returns what is held of a quota at most: some of it may show already. Costs the same
        however many writes there are."""
        return self._sums.get(quota, {})

    def exactly(self, quota: str) -> Amounts:
        """Returns what is held of a quota and does not show yet."""
        total: Amounts = {}
        now = self._world.monotonic()
        for hold in self._holds:
            if hold.until > now and hold.is_open():
                add(total, hold.amounts.get(quota, {}))
        return total
