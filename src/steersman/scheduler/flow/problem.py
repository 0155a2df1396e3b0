"""Classes of pods and groups of equal machines as a min-cost max-flow problem. Pure.

    class -> group (spread) -> machines of the group -> sink, each further pod dearer
    class ------------------> machines of the group -> sink, for pods that pack
    class -> waiting -> sink, dearer than any machine

A machine takes as many pods as fit if all were as large as the largest that may come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from steersman.scheduler.decide import fitting
from steersman.scheduler.flow import costs
from steersman.scheduler.flow.classes import PodClass
from steersman.scheduler.state.bits import Bits, places
from steersman.scheduler.state.demand import CPU, MEMORY, PODS, Demand
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.state.snapshot import Snapshot

SINK, WAITING, FIRST = 0, 1, 2  # the node of each class follows, then two for each group


class Arc(NamedTuple):
    """An arc; `group` is what it leads a class to, -1 for arcs of other kinds."""

    tail: int
    head: int
    capacity: int
    cost: int
    group: int = -1


class Group(msgspec.Struct, frozen=True):
    """Machines between which nothing distinguishes: for each class how many pods one of them takes
    and what it costs (`reach`), and how many of any class (`slots`)."""

    places: tuple[int, ...]
    slots: int
    reach: Mapping[int, tuple[int, int]]


class Problem(msgspec.Struct, frozen=True):
    """The supplies of the classes and all arcs."""

    supplies: tuple[int, ...]
    arcs: tuple[Arc, ...]
    groups: tuple[Group, ...]

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return FIRST + len(self.supplies) + 2 * len(self.groups)


def problem_of(classes: Sequence[PodClass], snapshot: Snapshot, now: float) -> Problem:
    """Returns the problem of classes that have pods."""
    supplies = tuple(len(it.pods) for it in classes)
    largest = _largest([it.ask.demand for it in classes])
    groups = tuple(_groups(classes, snapshot, largest))
    return Problem(supplies, tuple(_arcs(classes, groups, snapshot, largest, now)), groups)


def _largest(demands: Sequence[Demand]) -> Demand:
    """Returns a shape at least as large as each; the one itself where there is one."""
    if len(demands) == 1:
        return demands[0]
    names = {name for it in demands for name in it.requests}
    requests = {name: max(it.requests.get(name, 0) for it in demands) for name in names}
    scored = {name: max(it.scored.get(name, 0) for it in demands) for name in (CPU, MEMORY)}
    return Demand(requests, scored)


def room(demand: Demand, node: NodeState) -> int:
    """Returns how many pods of one shape a node takes beside those that it has."""
    found = node.free(PODS)
    for name, wanted in demand.requests.items():
        found = min(found, node.free(name) // wanted)
    return max(found, 0)


def _groups(classes: Sequence[PodClass], snapshot: Snapshot, largest: Demand) -> Iterator[Group]:
    fits: list[Bits] = [fitting(it.ask) for it in classes]
    some: Bits = 0
    for bits in fits:
        some |= bits
    found: dict[tuple[tuple[tuple[int, int, int], ...], int, tuple[int, ...]], list[int]] = {}
    for place in places(some):
        state = snapshot.at(place)
        reach = tuple(
            (index, _takes(it, state), costs.fixed(it.policy, state, snapshot))
            for index, it in enumerate(classes)
            if fits[index] >> place & 1
        )
        slots = max(room(largest, _expecting(classes[0], state)), 1)
        found.setdefault((reach, slots, _load(state)), []).append(place)
    for (reach, slots, _), chosen in found.items():
        by_class = {index: (takes, fixed) for index, takes, fixed in reach}
        yield Group(tuple(chosen), slots, by_class)


def _expecting(one: PodClass, state: NodeState) -> NodeState:
    return state.expecting(one.ask.demand.priority) if state.nominated else state


def _takes(one: PodClass, state: NodeState) -> int:
    return max(room(one.ask.demand, _expecting(one, state)), 1)  # the filters say that one fits


def _load(state: NodeState) -> tuple[int, ...]:
    allocatable = state.allocatable
    capacity = allocatable.get(CPU, 0), allocatable.get(MEMORY, 0)
    return (*capacity, state.scored_cpu, state.scored_memory)


def _arcs(
    classes: Sequence[PodClass],
    groups: Sequence[Group],
    snapshot: Snapshot,
    largest: Demand,
    now: float,
) -> Iterator[Arc]:
    total = sum(len(it.pods) for it in classes)
    yield Arc(WAITING, SINK, total, 0)
    for index, one in enumerate(classes):
        supply = len(one.pods)
        yield Arc(FIRST + index, WAITING, supply, costs.waiting(one.policy, now))
        for number, group in enumerate(groups):
            if index in group.reach:
                yield from _to_group(index, one, number, group, len(classes))
    for number, group in enumerate(groups):
        spread, machines = _nodes_of(number, len(classes))
        count, state = len(group.places), snapshot.at(group.places[0])
        steps = 0 if all(classes[index].policy.packs for index in group.reach) else group.slots
        for step in range(min(steps, total)):
            yield Arc(spread, machines, count, costs.load(largest, state, step))
        yield Arc(machines, SINK, group.slots * count, 0)


def _nodes_of(group: int, classes: int) -> tuple[int, int]:
    first: Final = FIRST + classes + 2 * group
    return first, first + 1


def _to_group(index: int, one: PodClass, number: int, group: Group, classes: int) -> Iterator[Arc]:
    """Yields the arcs of a class to a group; several where its pods are dearer beside others of
    their kind."""
    spread, machines = _nodes_of(number, classes)
    head = machines if one.policy.packs else spread
    takes, fixed = group.reach[index]
    count, tail = len(group.places), FIRST + index
    further = costs.each(one.policy, one.ask.hood.flock.labels)
    if not further:
        yield Arc(tail, head, takes * count, fixed, number)
        return
    for step in range(min(takes, len(one.pods))):
        yield Arc(tail, head, count, fixed + step * further, number)
