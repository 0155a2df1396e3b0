"""Which pods of a batch go where. Deterministic; the snapshot counts what was decided as assumed.

More important pods come first. Classes of equal importance are one problem; what did not fit
because machines were taken for fuller than they are is a problem again. A batch of several classes
is also placed as the default scheduler would place it, and the cheaper of both is kept: pods of
different sizes are no flow, and only their placement is to be no dearer for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.scheduler.decide import Unfit, decide
from steersman.scheduler.flow import costs
from steersman.scheduler.flow.classes import PodClass
from steersman.scheduler.flow.policy import Policy
from steersman.scheduler.flow.problem import Group, Problem, problem_of
from steersman.scheduler.memory import Ask
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.state.snapshot import Snapshot

MOST_ROUNDS: Final = 16  # of one batch; each places something, the rest is decided one by one
Solve = Callable[[Problem], Sequence[tuple[int, int, int]]]
Refresh = Callable[[Pod], Ask]


class Plan(msgspec.Struct):
    """Who goes where by name, who nowhere, and what that costs."""

    placed: list[tuple[Pod, str]]
    left: list[Pod]
    cost: int = 0


def plan_batch(
    classes: Sequence[PodClass], snapshot: Snapshot, refresh: Refresh, solve: Solve, now: float
) -> Plan:
    """Plans a batch and counts it in the snapshot. `refresh` makes a class's question anew."""
    ordered = sorted(classes, key=lambda it: -it.ask.demand.priority)
    bench = _Bench(ordered, snapshot, refresh, now)
    best = bench.flowing(solve)
    if len(ordered) > 1:
        bench.undo(best)
        other = bench.one_by_one()
        if best.cost < other.cost:
            bench.undo(other)
            bench.redo(best)
        else:
            best = other
    return best


class _Bench:
    """Where plans of one batch are made and compared."""

    def __init__(
        self, classes: Sequence[PodClass], snapshot: Snapshot, refresh: Refresh, now: float
    ) -> None:
        self._classes = classes
        self._snapshot = snapshot
        self._refresh = refresh
        self._now = now
        self._price = Price(snapshot)

    def flowing(self, solve: Solve) -> Plan:
        """Plans by flow."""
        plan, self._price = Plan([], []), Price(self._snapshot)
        for _, equals in groupby(self._classes, key=lambda it: it.ask.demand.priority):
            waiting = list(equals)
            for _ in range(MOST_ROUNDS if len(waiting) > 1 else 1):
                before = len(plan.placed)
                waiting = self._round(waiting, plan, solve)
                if not waiting or len(plan.placed) == before:
                    break
            for one in waiting:
                self._decide(one, plan)
        return plan

    def _round(self, classes: Sequence[PodClass], plan: Plan, solve: Solve) -> list[PodClass]:
        """Solves once; returns the classes of those that still wait."""
        classes = [self._anew(it) for it in classes]
        problem = problem_of(classes, self._snapshot, self._now)
        used: dict[int, list[int]] = {}
        # those that spread first: those that pack fill up what is left
        for index, number, flow in sorted(
            solve(problem), key=lambda it: (classes[it[0]].policy.packs, it)
        ):
            one, group = classes[index], problem.groups[number]
            counts = used.setdefault(number, [0] * len(group.places))
            chosen, one.pods = one.pods[:flow], one.pods[flow:]
            positions = distribute(one, group, counts, flow)
            for pod, position in zip(chosen, positions, strict=True):
                self._put(one, pod, group.places[position], plan)
        return [it for it in classes if it.pods]

    def one_by_one(self) -> Plan:
        """Plans as the default scheduler decides, in the same order."""
        plan, self._price = Plan([], []), Price(self._snapshot)
        for one in self._classes:
            self._decide(self._anew(one), plan)
        return plan

    def _decide(self, one: PodClass, plan: Plan) -> None:
        for number, pod in enumerate(one.pods):
            answer = decide(self._refresh(pod))
            if isinstance(answer, Unfit):  # nor will any of its like fit
                plan.left += one.pods[number:]
                plan.cost += costs.waiting(one.policy, self._now) * len(one.pods[number:])
                return
            self._put(one, pod, answer.node.place, plan)

    def _anew(self, one: PodClass) -> PodClass:
        return PodClass(self._refresh(one.pods[0]), one.policy, list(one.pods))

    def _put(self, one: PodClass, pod: Pod, place: int, plan: Plan) -> None:
        state = self._snapshot.at(place)
        plan.cost += self._price.of(one, state)
        self._snapshot.put(pod, state.name, assumed=True)
        plan.placed.append((pod, state.name))

    def undo(self, plan: Plan) -> None:
        """Counts a plan out again."""
        for pod, _ in plan.placed:
            self._snapshot.remove(pod.metadata.uid, only_assumed=True)

    def redo(self, plan: Plan) -> None:
        """Counts a plan in."""
        for pod, name in plan.placed:
            self._snapshot.put(pod, name, assumed=True)


def distribute(one: PodClass, group: Group, counts: list[int], flow: int) -> Iterator[int]:
    """Yields the machine, by its position in the group, of each of some pods of one class: those
    that spread go in turn, those that pack fill one machine after the other. `counts` is how many
    each has got before."""
    fills = one.policy.packs and not costs.each(one.policy, one.ask.hood.flock.labels)
    position = 0 if fills else sum(counts) % len(counts)
    for _ in range(flow):
        while counts[position] >= group.slots:
            position = (position + 1) % len(counts)
        counts[position] += 1
        yield position
        if not fills:
            position = (position + 1) % len(counts)


class Price:
    """What placements of one batch cost, one after the other; what a node costs whoever else
    comes is what it costs when the first pod of its policy comes there."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._fixed: dict[tuple[Policy, int], int] = {}
        self._beside: dict[tuple[Policy, int], int] = {}

    def of(self, one: PodClass, state: NodeState) -> int:
        """Returns what a pod costs on a node that has all pods before it."""
        policy = one.policy
        key = (policy, state.place)
        if key not in self._fixed:
            self._fixed[key] = costs.fixed(policy, state, self._snapshot)
        total = self._fixed[key]
        if not policy.packs:
            total += costs.load(one.ask.demand, state)
        if further := costs.each(policy, one.ask.hood.flock.labels):
            total += further * self._beside.get(key, 0)
            self._beside[key] = self._beside.get(key, 0) + 1
        return total
