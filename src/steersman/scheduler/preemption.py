"""Which pods must go so that a more important one can come. Pure.

Each node that removing pods could help is tried without all pods of lower priority; those that
may stay after all are put back, the most important first, those under a disruption budget before
the others. Follows framework/preemption/preemption.go and plugins/defaultpreemption.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from steersman.model.selectors import Selector
from steersman.model.times import seconds
from steersman.model.types.condition import condition
from steersman.scheduler.decide import Unfit, refuse_with, refuse_without
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.memory import Ask
from steersman.scheduler.message import unhelpful
from steersman.scheduler.state.bits import Bits, places, places_from
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.state.snapshot import Placed, Snapshot

NEVER: Final = "not eligible due to preemptionPolicy=Never."
WAITING: Final = "not eligible due to a terminating pod on the nominated node."
NO_VICTIMS: Final = "No preemption victims found for incoming pod"
DISRUPTION_TARGET, BY_SCHEDULER = "DisruptionTarget", "PreemptionByScheduler"
SPARE: Final = 64  # undone candidates that are kept at least, so that cleaning is rare
_ABOVE_ALL: Final = 2**31  # lifts every priority above zero


class Budget(msgspec.Struct, frozen=True):
    """A PodDisruptionBudget, understood; `disrupted` are pods whose going is counted already."""

    namespace: str
    selector: Selector
    allowed: int
    disrupted: frozenset[str] = frozenset()


Cost = tuple[int, int, int, int, float]


class Candidate(msgspec.Struct, frozen=True):
    """A node, the pods that would have to leave it (the most important first), how many budgets
    that breaks, and what is compared of it all."""

    node: NodeState
    victims: tuple[Placed, ...]
    violations: int
    cost: Cost


def cost_of(victims: Sequence[Placed], violations: int) -> Cost:
    """Returns what is compared, the least wins: broken budgets, the most important victim, the
    sum of importance, the number of victims, and how long the most important have run."""
    priorities = [it.demand.priority for it in victims]
    top = priorities[0]
    started = min(_started(it) for it in victims if it.demand.priority == top)
    total = sum(priorities) + len(priorities) * _ABOVE_ALL
    return (violations, top, total, len(priorities), -started)


Reasons = tuple[str, ...]


class Trials:
    """What trials of nodes came to for one shape; a trial holds until its node or a budget
    changes, so that a decision tries few nodes and compares few candidates."""

    def __init__(self) -> None:
        self.known: Bits = 0
        self.good: Bits = 0  # those that are candidates
        self.whole: Bits = 0  # those of them that break no budget
        self._found: dict[int, Candidate | Reasons] = {}
        self._reasons: dict[Reasons, Bits] = {}
        self._heap: list[tuple[Cost, int, int, Candidate]] = []
        self._count = 0  # sets apart what else would be compared by candidate
        self._position = -1
        self._budgets: Sequence[Budget] = ()

    def catch_up(self, snapshot: Snapshot, budgets: Sequence[Budget]) -> None:
        """Forgets the trials that changes have undone."""
        changes = snapshot.since(self._position) if self._position >= 0 else None
        if changes is None or budgets is not self._budgets:
            self.known = self.good = self.whole = 0
            self._found, self._reasons, self._heap = {}, {}, []
        for change in changes or ():
            self._forget(change.place)
        self._position, self._budgets = snapshot.logged, budgets

    def _forget(self, place: int) -> None:
        found, rest = self._found.pop(place, None), ~(1 << place)
        if found is None:
            return
        self.known &= rest
        self.good &= rest
        self.whole &= rest
        if not isinstance(found, Candidate):
            self._reasons[found] &= rest

    def add(self, place: int, found: Candidate | Reasons) -> None:
        """Keeps what a trial came to."""
        bit = 1 << place
        self._found[place] = found
        self.known |= bit
        if isinstance(found, Candidate):
            self.good |= bit
            self.whole |= 0 if found.violations else bit
            self._count += 1
            heapq.heappush(self._heap, (found.cost, place, self._count, found))
            self._clean()
        else:
            self._reasons[found] = self._reasons.get(found, 0) | bit

    def _clean(self) -> None:
        """Drops what is undone once it is more than what holds."""
        if len(self._heap) > 2 * len(self._found) + SPARE:
            self._heap = [it for it in self._heap if self._found.get(it[1]) is it[3]]
            heapq.heapify(self._heap)

    def best(self, possible: Bits) -> Candidate | None:
        """Returns the candidate that costs least; among equals, the first place."""
        aside = []
        best = None
        while self._heap and best is None:
            _, place, _, found = self._heap[0]
            if self._found.get(place) is not found:
                heapq.heappop(self._heap)  # undone since
            elif possible >> place & 1:
                best = found
            else:
                aside.append(heapq.heappop(self._heap))
        for entry in aside:
            heapq.heappush(self._heap, entry)
        return best

    def candidates(self, possible: Bits) -> list[Candidate]:
        """Returns the candidates among some nodes, by place."""
        found = (self._found[place] for place in places(self.good & possible))
        return [it for it in found if isinstance(it, Candidate)]

    def reasons(self, possible: Bits) -> Counter[str]:
        """Returns how many nodes are no candidates for which reasons."""
        counts: Counter[str] = Counter()
        for reasons, bits in self._reasons.items():
            if number := (bits & possible).bit_count():
                counts.update(dict.fromkeys(reasons, number))
        return counts


def ineligible(ask: Ask, unfit: Unfit, nominated: str) -> str:
    """Returns why a pod may not preempt, empty where it may."""
    if not ask.demand.preempts:
        return NEVER
    state = ask.snapshot.state(nominated) if nominated else None
    if state is None or not state.exists or not unfit.open >> state.place & 1:
        return ""
    for placed in ask.snapshot.pods_on(state):
        if placed.demand.priority < ask.demand.priority and leaves_for_another(placed):
            return WAITING
    return ""


def leaves_for_another(placed: Placed) -> bool:
    """Says whether a pod is ending because the scheduler preempted it."""
    if placed.pod.metadata.deletion_timestamp is None:
        return False
    found = condition(placed.pod.status.conditions, DISRUPTION_TARGET)
    return found is not None and (found.status, found.reason) == ("True", BY_SCHEDULER)


def preempt(
    ask: Ask,
    unfit: Unfit,
    budgets: Sequence[Budget],
    *,
    draw: float = 0.0,
    trials: Trials | None = None,
) -> Candidate | str:
    """Returns the best candidate, or what preemption says instead. `draw` (0 to below 1) picks
    where among the nodes the search begins."""
    found = _tried(ask, unfit, budgets, draw, trials)
    return found.best(unfit.open) or _unhelpful(unfit, found)


def candidates(
    ask: Ask, unfit: Unfit, budgets: Sequence[Budget], *, draw: float = 0.0
) -> Sequence[Candidate] | str:
    """Returns all candidates that were found, or what preemption says instead."""
    found = _tried(ask, unfit, budgets, draw, None)
    return found.candidates(unfit.open) or _unhelpful(unfit, found)


def best_of(found: Iterable[Candidate]) -> Candidate:
    """Returns the candidate that costs least; among equals, the first place."""
    return min(found, key=lambda it: (it.cost, it.node.place))


def _unhelpful(unfit: Unfit, trials: Trials) -> str:
    possible = unfit.open
    return unhelpful(unfit.nodes, trials.reasons(possible), possible.bit_count())


def _tried(
    ask: Ask, unfit: Unfit, budgets: Sequence[Budget], draw: float, trials: Trials | None
) -> Trials:
    """Tries nodes until enough of them are candidates."""
    possible = unfit.open
    wanted = _wanted(ask, possible.bit_count())
    if trials is None or ask.hood.filters or ask.local is not None:  # others undo these
        trials = Trials()
    trials.catch_up(ask.snapshot, budgets)
    untried = possible & ~trials.known
    for place in places_from(untried, int(draw * ask.snapshot.all.bit_length())):
        good = trials.good & possible
        if trials.whole & good and good.bit_count() >= wanted:
            break
        trials.add(place, try_node(ask, place, budgets))
    return trials


def _wanted(ask: Ask, nodes: int) -> int:
    profile = ask.profile
    most = max(nodes * profile.candidates_percent // 100, profile.candidates_least)
    return min(most, nodes)


def try_node(ask: Ask, place: int, budgets: Sequence[Budget]) -> Candidate | Reasons:
    """Tries a node without its less important pods (SelectVictimsOnNode)."""
    state, priority = ask.snapshot.at(place), ask.demand.priority
    lower = [it for it in ask.snapshot.pods_on(state) if it.demand.priority < priority]
    if not lower:
        return (NO_VICTIMS,)
    trial = state.copy()
    for placed in lower:
        trial.add(placed.demand, -1)
    if (refusal := _refuse(ask, trial, lower)) is not None:
        return refusal.reasons
    lower.sort(key=_importance)
    broken = set(violating(lower, budgets))
    gone: dict[str, Placed] = {it.pod.metadata.uid: it for it in lower}
    violations = 0
    for placed in (*_only(lower, broken, True), *_only(lower, broken, False)):
        uid = placed.pod.metadata.uid
        trial.add(placed.demand)
        del gone[uid]
        if _refuse(ask, trial, tuple(gone.values())) is not None:
            trial.add(placed.demand, -1)
            gone[uid] = placed
            violations += uid in broken
    victims = tuple(it for it in lower if it.pod.metadata.uid in gone)
    if not victims:
        return (f'expected at least one victim pod on node "{state.name}"',)
    return Candidate(state, victims, violations, cost_of(victims, violations))


def _refuse(ask: Ask, trial: NodeState, gone: Sequence[Placed]) -> Refusal | None:
    refusal = ask.standing.rule.refuse(ask.demand, trial)
    if refusal is None and ask.local is not None:
        refusal = ask.local.refuse(
            ask.snapshot.at(trial.place), {it.pod.metadata.uid for it in gone}
        )
    if refusal is not None or not ask.hood.filters:
        return refusal
    lost = ask.hood.losses(gone)
    return refuse_without(ask, trial.place, lost) or refuse_with(ask, trial, lost)


def _only(pods: Sequence[Placed], broken: set[str], wanted: bool) -> Iterator[Placed]:
    return (it for it in pods if (it.pod.metadata.uid in broken) is wanted)


def _started(placed: Placed) -> float:
    return seconds(placed.pod.status.start_time or placed.pod.metadata.creation_timestamp)


def _importance(placed: Placed) -> tuple[int, float]:
    """Orders the most important first: by priority, then who has run for longer."""
    return (-placed.demand.priority, _started(placed))


def violating(pods: Sequence[Placed], budgets: Sequence[Budget]) -> Iterator[str]:
    """Yields the uids of the pods whose going would break a budget, the budgets being used up in
    the order of the pods."""
    left = [budget.allowed for budget in budgets]
    for placed in pods:
        metadata, broken = placed.pod.metadata, False
        for index, budget in enumerate(budgets if metadata.labels else ()):
            if budget.namespace != metadata.namespace or metadata.name in budget.disrupted:
                continue
            if not budget.selector.empty and budget.selector(metadata.labels):
                left[index] -= 1
                broken = broken or left[index] < 0
        if broken:
            yield metadata.uid
