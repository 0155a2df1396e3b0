"""Which processors a container gets for itself: pure, by how the machine is built.

Follows the kubelet's cpumanager/cpu_assignment.go: whole NUMA nodes and sockets, then whole cores,
then single threads, each from where least is left. Spreading over NUMA nodes is KEP-2902, over
cores KEP-4176, keeping to caches KEP-4800.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from statistics import pstdev
from typing import NamedTuple

import msgspec

from steersman.node.topology.cpu_lists import CPUs
from steersman.node.topology.machine import Level, Topology


class NotEnough(Exception):
    """There are fewer processors than are wanted."""


class Manner(msgspec.Struct, frozen=True):
    """How processors are taken.

    spread_nodes:  evenly over as many NUMA nodes as are needed, `group` of them at a time
    spread_cores:  threads of different cores
    keep_caches:   from as few last caches as can be
    """

    spread_nodes: bool = False
    group: int = 1
    spread_cores: bool = False
    keep_caches: bool = False


def take(topology: Topology, free: CPUs, count: int, manner: Manner) -> CPUs:
    """Returns `count` of the free processors. Raises NotEnough."""
    if count > len(free):
        text = f"requested={count}, available={len(free)}"
        raise NotEnough(f"not enough cpus available to satisfy request: {text}")
    if manner.spread_nodes:
        return _take_spread(topology, free, count, manner)
    return _take_packed(topology, free, count, manner)


def _take_packed(topology: Topology, free: CPUs, count: int, manner: Manner) -> CPUs:
    taking = _Taking(topology, free, count)
    for step in _steps(taking, manner):
        if taking.needed:
            taking.take(step)
    return frozenset(taking.taken)


def _steps(taking: _Taking, manner: Manner) -> Iterator[Iterable[CPUs]]:
    """Yields what is taken whole, one after the other, as far as it is not too much."""
    for level in taking.levels:
        yield taking.whole(level)
    if manner.keep_caches:
        yield taking.whole("cache")
        yield taking.parts_of_caches()
    if not manner.spread_cores:
        yield taking.whole("core")
    yield taking.single("socket" if manner.spread_cores else "core")


class _Taking:
    """What is free, what is taken, and how many are still needed."""

    def __init__(self, topology: Topology, free: CPUs, needed: int) -> None:
        self._topology = topology
        self._free = set(free)
        self.taken: set[int] = set()
        self.needed = needed
        # What is greater on this machine comes first
        many_sockets = len(topology.ids("socket")) >= len(topology.ids("node"))
        self.levels: tuple[Level, ...] = ("node", "socket") if many_sockets else ("socket", "node")

    def take(self, offers: Iterable[CPUs]) -> None:
        """Takes each of the offers that is not more than is needed."""
        for offer in offers:
            if self.needed and len(offer) <= self.needed:
                self._free -= offer
                self.taken |= offer
                self.needed -= len(offer)

    def whole(self, level: Level) -> list[CPUs]:
        """Returns the processors of each node, socket or core of which all are free."""
        found = [self._topology.within(level, (it,)) for it in self._ordered(level)]
        return [it for it in found if it <= self._free]

    def parts_of_caches(self) -> Iterator[CPUs]:
        """Yields of each cache the processors of as many cores as are needed, where those are
        all that is needed."""
        per_core = self._topology.cpus_per_core
        for cache in self._ordered("cache"):
            inside = self._within("cache", cache)
            cores = sorted(self._topology.ids("core", inside))[: -(-self.needed // per_core)]
            cpus = sorted(self._topology.within("core", cores, inside))
            if self.needed % 2 and per_core > 1 and len(cpus) > self.needed:
                del cpus[-1]
            if len(cpus) == self.needed:
                yield frozenset(cpus)

    def single(self, within: Level) -> list[CPUs]:
        """Returns the free processors one by one, by their number within each core or socket."""
        groups = (sorted(self._within(within, it)) for it in self._ordered(within))
        return [frozenset((cpu,)) for cpus in groups for cpu in cpus]

    def _within(self, level: Level, number: int) -> CPUs:
        return self._topology.within(level, (number,), self._free)

    def _ordered(self, level: Level) -> list[int]:
        """Returns the numbers of what has free processors: those of the greater part with least
        free ones first, and in it those with least."""
        order: tuple[Level, ...] = (*self.levels, "core")
        place = order.index(level) if level in order else 1
        above = order[place - 1] if place else None
        if level == "cache":
            above = "node"
        if above is None:
            return self._sorted(level, self._free)
        inside = (self._within(above, it) for it in self._ordered(above))
        return [number for cpus in inside for number in self._sorted(level, cpus)]

    def _sorted(self, level: Level, cpus: Iterable[int]) -> list[int]:
        numbers = self._topology.ids(level, list(cpus))
        return sorted(numbers, key=lambda it: (len(self._within(level, it)), it))


class _Split(NamedTuple):
    """A way to share out: so many from each node, and the rest in groups from some of them."""

    balance: float
    nodes: tuple[int, ...]
    rest: tuple[int, ...]


def _take_spread(topology: Topology, free: CPUs, count: int, manner: Manner) -> CPUs:
    packed = msgspec.structs.replace(manner, spread_nodes=False, keep_caches=False)
    group = manner.group
    split = None if count % group or not count else _find_split(topology, free, count, group)
    if split is None:
        return _take_packed(topology, free, count, packed)
    taken: set[int] = set()

    def take_from(node: int, number: int) -> None:
        there = topology.within("node", (node,), free - taken)
        taken.update(_take_packed(topology, there, number, packed))

    each = count // len(split.nodes) // group * group
    for node in split.nodes:
        take_from(node, each)
    while len(taken) < count:
        for node in split.rest:
            room = len(topology.within("node", (node,), free - taken))
            if len(taken) < count and room >= group:
                take_from(node, group)
    return frozenset(taken)


def _find_split(topology: Topology, free: CPUs, count: int, group: int) -> _Split | None:
    """Returns the most even way to share out over the fewest nodes, None where there is none."""
    room = {node: len(topology.within("node", (node,), free)) for node in topology.ids("node")}
    nodes = sorted((it for it in room if room[it]), key=lambda it: (room[it], it))
    groups, needed = -(-len(topology.cpus) // group), -(-count // group)
    per_node = -(-groups // len(room))
    for number in range(-(-needed // per_node), min(needed, len(nodes)) + 1):
        best: _Split | None = None
        for chosen in combinations(nodes, number):
            split = _split_over(chosen, room, count, group)
            if split is not None and (best is None or split.balance < best.balance):
                best = split
        if best is not None:
            return best
    return None


def _split_over(
    chosen: tuple[int, ...], room: Mapping[int, int], count: int, group: int
) -> _Split | None:
    if sum(room[it] // group for it in chosen) * group < count:
        return None
    each = count // len(chosen) // group * group
    if any(room[it] < each for it in chosen):
        return None
    left = {node: free - each if node in chosen else free for node, free in room.items() if free}
    rest = count - each * len(chosen)
    if not rest:
        return _Split(_deviation(left), chosen, ())
    candidates = [it for it in chosen if left[it] >= group]
    splits = [
        _Split(_deviation(after), chosen, subset)
        for size in range(len(candidates), 0, -1)
        for subset in combinations(candidates, size)
        if (after := _without_rest(left, subset, rest, group)) is not None
    ]
    return min(splits, key=lambda it: it.balance, default=None)


def _without_rest(
    left: Mapping[int, int], subset: Sequence[int], rest: int, group: int
) -> dict[int, int] | None:
    """Returns what is left where the rest is taken in turns, None where it is not there."""
    after = dict(left)
    if sum(after[it] // group for it in subset) * group < rest:
        return None
    while rest > 0:
        for node in subset:
            if rest > 0 and after[node] >= group:
                after[node] -= group
                rest -= group
    return after


def _deviation(left: Mapping[int, int]) -> float:
    return round(pstdev(left.values()), 3)
