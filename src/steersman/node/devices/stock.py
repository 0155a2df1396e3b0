"""The devices of one resource as its plugin lists them, and which of them to give out: pure.

Follows the kubelet's cm/devicemanager (manager.go, topology_hints.go). One rule: what is equally
good is taken in the order of the names, so that the same node makes the same choice again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations

import msgspec

from steersman.node.topology.providing import Hint


class Stock(msgspec.Struct, frozen=True):
    """Devices by their names with the NUMA nodes where they lie, and the names of sound ones."""

    nodes: Mapping[str, tuple[int, ...]] = {}
    healthy: frozenset[str] = frozenset()

    @property
    def is_placed(self) -> bool:
        """Whether it is known of any device where it lies."""
        return any(self.nodes.values())

    def without_health(self) -> Stock:
        """Returns the same with no device that is known to be sound."""
        return Stock(self.nodes)

    def lies_in(self, device: str, mask: int) -> bool:
        """Whether a device lies on one of some NUMA nodes."""
        # Some plugins hand on the kernel's -1, which stands for no node
        return any(it >= 0 and mask >> it & 1 for it in self.nodes.get(device, ()))

    def free(self, in_use: Collection[str]) -> set[str]:
        """Returns the sound devices that nobody has."""
        return set(self.healthy.difference(in_use))


class Groups(msgspec.Struct, frozen=True):
    """Free devices: those in the place that was chosen, those elsewhere, those that lie nowhere."""

    aligned: tuple[str, ...]
    unaligned: tuple[str, ...]
    nowhere: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """All of them, the best first."""
        return self.aligned + self.unaligned + self.nowhere


def group(stock: Stock, free: Iterable[str], place: Hint) -> Groups:
    """Returns free devices as they suit a place (filterByAffinity); of those that lie somewhere,
    first those of NUMA nodes with few, lest many are torn apart."""
    names = sorted(free)
    if place.nodes is None or not stock.is_placed:
        return Groups((), (), tuple(names))
    count: dict[int, int] = {}
    for name in names:
        for node in stock.nodes[name]:
            count[node] = count.get(node, 0) + 1

    def scarcity(name: str) -> int:
        return min(count[it] for it in stock.nodes[name])

    lying = sorted((it for it in names if stock.nodes[it]), key=scarcity)
    return Groups(
        tuple(it for it in lying if stock.lies_in(it, place.nodes)),
        tuple(it for it in lying if not stock.lies_in(it, place.nodes)),
        tuple(it for it in names if not stock.nodes[it]),
    )


def hints(
    stock: Stock, free: Collection[str], reused: Collection[str], count: int, numa: Sequence[int]
) -> list[Hint]:
    """Returns the places from which some devices can be had (generateDeviceTopologyHints): with
    those that are reused in any case; preferred are those of as few NUMA nodes as would do on an
    empty machine."""
    fewest = len(numa)
    found: list[tuple[int, int]] = []
    for mask, size in _masks(numa):
        if sum(stock.lies_in(it, mask) for it in stock.nodes) >= count:
            fewest = min(fewest, size)
        lying = [it for it in reused if stock.nodes.get(it)]
        if not all(stock.lies_in(it, mask) for it in lying):
            continue
        others = sum(stock.lies_in(it, mask) for it in free if it not in lying)
        if len(lying) + others >= count:
            found.append((mask, size))
    return [Hint(mask, size == fewest) for mask, size in found]


def _masks(numa: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yields all sets of NUMA nodes as bit masks, and how many each has."""
    for size in range(1, len(numa) + 1):
        for nodes in combinations(numa, size):
            yield sum(1 << it for it in nodes), size
