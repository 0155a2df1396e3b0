"""Which running pods would cost less elsewhere by more than it costs to end them. Pure.

Only pods may be moved that say so (`movable`), that a controller brings back, and whose going
breaks no disruption budget. A pod does not travel: it is ended, and the one that comes in its
place is placed like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.scheduler.decide import fitting
from steersman.scheduler.flow import costs
from steersman.scheduler.flow.classes import PodClass
from steersman.scheduler.flow.plan import Solve, distribute
from steersman.scheduler.flow.policy import BadPolicy, parse_policy, told
from steersman.scheduler.flow.problem import FIRST, SINK, Arc, Group, Problem, room
from steersman.scheduler.memory import Ask
from steersman.scheduler.preemption import Budget, violating
from steersman.scheduler.state.bits import places
from steersman.scheduler.state.demand import CPU, MEMORY
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.state.snapshot import Placed, Snapshot

MOST_MOVES: Final = 10  # of one kind at a time: the next follow when these have come up again


def movable(snapshot: Snapshot, name: str) -> list[list[Placed]]:
    """Returns the pods of a scheduler that may be moved, each kind by itself."""
    found: dict[Hashable, list[Placed]] = {}
    for state in snapshot.nodes:
        for placed in snapshot.pods_on(state) if state is not None else ():
            pod = placed.pod
            given = told(pod.metadata.annotations)
            if ("movable", "true") in given and pod.spec.scheduler_name == name and _ready(placed):
                found.setdefault(_key(snapshot, unbound(pod), given), []).append(placed)
    return list(found.values())


def _ready(placed: Placed) -> bool:
    metadata = placed.pod.metadata
    ends = metadata.deletion_timestamp is not None
    return metadata.controller is not None and not ends and not placed.assumed


def _key(snapshot: Snapshot, pod: Pod, given: object) -> Hashable:
    labels = frozenset(pod.metadata.labels.items())
    return (snapshot.shapes.of(pod), pod.metadata.namespace, labels, given)


def unbound(pod: Pod) -> Pod:
    """Returns a pod as it was before it had a node."""
    return msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, node_name=""))


def plan_moves(
    running: Sequence[Placed],
    snapshot: Snapshot,
    budgets: Sequence[Budget],
    asking: Callable[[Pod], Ask | None],
    solve: Solve,
) -> list[Placed]:
    """Returns which pods of one kind are to be ended."""
    first = unbound(running[0].pod)
    ask = asking(first)
    if ask is None or ask.hood.filters or ask.local is not None or ask.demand.ports:
        return []
    try:
        policy = parse_policy(told(first.metadata.annotations))
    except BadPolicy:
        return []
    one = PodClass(ask, policy, [it.pod for it in running])
    machines = _Machines(one, running, snapshot)
    going = list(machines.losing(solve(machines.problem())))
    going.sort(key=lambda it: it.pod.metadata.uid)
    return list(_within(going, budgets))[:MOST_MOVES]


def _within(going: Iterable[Placed], budgets: Sequence[Budget]) -> Iterator[Placed]:
    """Yields those that may go one after the other without breaking a budget."""
    chosen: list[Placed] = []
    for placed in going:
        if not any(violating([*chosen, placed], budgets)):
            chosen.append(placed)
            yield placed


class _Machines:
    """The machines as they are without the pods of one kind, and how many each has."""

    def __init__(self, one: PodClass, running: Sequence[Placed], snapshot: Snapshot) -> None:
        self._one = one
        self._here: dict[int, list[Placed]] = {}
        for placed in running:
            self._here.setdefault(placed.state.place, []).append(placed)
        fits = fitting(one.ask)
        for place, pods in self._here.items():
            trial = self._without(snapshot.at(place), len(pods))
            if one.ask.standing.rule.refuse(one.ask.demand, trial) is None:
                fits |= 1 << place
        self._states: dict[int, NodeState] = {}
        groups: dict[tuple[tuple[int, ...], int, int, int], list[int]] = {}
        for place in places(fits):
            number = len(self._here.get(place, ()))
            state = self._states[place] = self._without(snapshot.at(place), number)
            fixed = costs.fixed(one.policy, snapshot.at(place), snapshot)
            groups.setdefault((_load(state), self._room(state), fixed, number), []).append(place)
        self._groups = [
            (Group(tuple(chosen), takes, {0: (takes, fixed)}), there)
            for (_, takes, fixed, there), chosen in groups.items()
        ]

    def _without(self, state: NodeState, number: int) -> NodeState:
        if not number:
            return state
        trial = state.copy()
        for _ in range(number):
            trial.add(self._one.ask.demand, -1)
        return trial

    def _room(self, state: NodeState) -> int:
        return max(room(self._one.ask.demand, state), 1)

    def problem(self) -> Problem:
        """Returns the problem: staying costs nothing beyond the place, moving does."""
        total = len(self._one.pods)
        arcs = []
        further = costs.each(self._one.policy, self._one.ask.hood.flock.labels)
        for number, (group, there) in enumerate(self._groups):
            count, head = len(group.places), FIRST + 1 + number
            _, fixed = group.reach[0]
            arcs.append(Arc(FIRST, head, there * count, fixed, number))
            arcs.append(Arc(FIRST, head, group.slots * count, fixed + costs.MOVING, number))
            for step in range(min(group.slots, total)):
                load = 0
                if not self._one.policy.packs:
                    load = costs.load(self._one.ask.demand, self._states[group.places[0]], step)
                arcs.append(Arc(head, SINK, count, load + step * further))
        # two nodes are kept for each group; one of them is enough here
        return Problem((total,), tuple(arcs), tuple(group for group, _ in self._groups))

    def losing(self, flows: Iterable[tuple[int, int, int]]) -> Iterator[Placed]:
        """Yields the pods of the machines that are to have fewer, the last comers first."""
        kept: dict[int, int] = {}
        for _, number, flow in flows:
            group, _ = self._groups[number]
            counts = [0] * len(group.places)
            for position in distribute(self._one, group, counts, flow):
                place = group.places[position]
                kept[place] = kept.get(place, 0) + 1
        for place, pods in self._here.items():
            yield from pods[kept.get(place, 0) :]


def _load(state: NodeState) -> tuple[int, ...]:
    allocatable = state.allocatable
    capacity = allocatable.get(CPU, 0), allocatable.get(MEMORY, 0)
    return (*capacity, state.scored_cpu, state.scored_memory)
