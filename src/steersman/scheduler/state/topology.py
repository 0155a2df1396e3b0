"""Domains of nodes by a label (zone, hostname), and tallies of something over domains.

A tally keeps nodes filed by the amount of their domain, so that asking for all nodes with an
amount is one set operation, and one pod more moves one domain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from steersman.scheduler.state.bits import Bits, places


class Topology:
    """The domains of one label key: a value for each node that has it, and each value's nodes."""

    def __init__(self, key: str, labels: Iterable[tuple[int, Mapping[str, str]]]) -> None:
        self.key = key
        self.values: dict[int, str] = {}
        self.nodes: dict[str, Bits] = {}
        self.all: Bits = 0
        for place, found in labels:
            if (value := found.get(key)) is not None:
                self.values[place] = value
                self.nodes[value] = self.nodes.get(value, 0) | 1 << place
        for bits in self.nodes.values():
            self.all |= bits


class Tally:
    """Amounts by domain; only what lies on eligible nodes counts."""

    def __init__(self, topology: Topology, eligible: Bits) -> None:
        self.topology = topology
        self.eligible = eligible & topology.all
        self.total = 0
        self.amounts: dict[str, int] = {}
        self.filed: dict[int, Bits] = {0: topology.all} if topology.all else {}
        self._whole = self.eligible == topology.all
        self._domains = -1

    def add(self, place: int, amount: int) -> None:
        """Adds an amount at a node to its whole domain."""
        if (value := self.topology.values.get(place)) is None:
            return
        if not self._whole and not self.eligible >> place & 1:
            return
        self._move(value, amount)

    def fill(self, amounts: Mapping[int, int]) -> None:
        """Adds amounts by place, gathered by domain first."""
        gathered: Counter[str] = Counter()
        for place, amount in amounts.items():
            value = self.topology.values.get(place)
            if value is not None and (self._whole or self.eligible >> place & 1):
                gathered[value] += amount
        for value, amount in gathered.items():
            self._move(value, amount)

    def _move(self, value: str, amount: int) -> None:
        old = self.amounts.get(value, 0)
        new = self.amounts[value] = old + amount
        self.total += amount
        nodes = self.topology.nodes[value]
        if left := self.filed[old] ^ nodes:
            self.filed[old] = left
        else:
            del self.filed[old]
        self.filed[new] = self.filed.get(new, 0) | nodes

    @property
    def domains(self) -> int:
        """How many domains have an eligible node."""
        if self._domains < 0:
            values = self.topology.values
            self._domains = len({values[place] for place in places(self.eligible)})
        return self._domains

    def least(self) -> int:
        """Returns the smallest amount of a domain with an eligible node, 0 without any."""
        return min(
            (amount for amount, bits in self.filed.items() if bits & self.eligible), default=0
        )

    def least_without(self, value: str, amount: int) -> int:
        """Returns the smallest amount if one domain had less than it has."""
        own = self.topology.nodes[value]
        if not own & self.eligible:
            return self.least()
        others = [found for found, bits in self.filed.items() if bits & self.eligible & ~own]
        return min([*others, amount])

    def at(self, place: int) -> int | None:
        """Returns the amount of a node's domain, None where the node is in none."""
        value = self.topology.values.get(place)
        return None if value is None else self.amounts.get(value, 0)

    def some(self) -> Bits:
        """Returns the nodes whose domain has more than nothing."""
        return self.topology.all & ~self.filed.get(0, 0)
