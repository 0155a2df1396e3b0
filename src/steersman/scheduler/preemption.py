"""Which pods must go so that a more important one can come. Pure.

Each node that removing pods could help is tried without all pods of lower priority; those that
may stay after all are put back, the most important first, those under a disruption budget before
the others. Follows framework/preemption/preemption.go and plugins/defaultpreemption.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from steersman.model.selectors import Selector
from steersman.model.types.condition import condition
from steersman.reconcile.times import seconds
from steersman.scheduler.decide import Unfit
from steersman.scheduler.filters import inter_pod_affinity, pod_topology_spread
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.memory import Ask
from steersman.scheduler.message import unhelpful
from steersman.scheduler.state.bits import places_from
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.state.snapshot import Placed

NEVER: Final = "not eligible due to preemptionPolicy=Never."
WAITING: Final = "not eligible due to a terminating pod on the nominated node."
NO_VICTIMS: Final = "No preemption victims found for incoming pod"
DISRUPTION_TARGET, BY_SCHEDULER = "DisruptionTarget", "PreemptionByScheduler"
_ABOVE_ALL: Final = 2**31  # lifts every priority above zero


@dataclass(frozen=True, slots=True)
class Budget:
    """A PodDisruptionBudget, understood; `disrupted` are pods whose going is counted already."""

    namespace: str
    selector: Selector
    allowed: int
    disrupted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node and the pods that would have to leave it, the most important first."""

    node: NodeState
    victims: tuple[Placed, ...]
    violations: int = 0

    @property
    def cost(self) -> tuple[int, int, int, int, float]:
        """What is compared, the least wins: broken budgets, the most important victim, the sum
        of importance, the number of victims, and how long the most important have run."""
        priorities = [it.demand.priority for it in self.victims]
        top = max(priorities)
        started = min(_started(it) for it in self.victims if it.demand.priority == top)
        total = sum(priority + _ABOVE_ALL for priority in priorities)
        return (self.violations, priorities[0], total, len(priorities), -started)


@dataclass(frozen=True, slots=True)
class Tried:
    """What a trial on a node came to: a candidate, or why not."""

    candidate: Candidate | None = None
    reasons: tuple[str, ...] = ()


class Trials:
    """Trials that still hold: what a node came to for a shape, until the node changes."""

    def __init__(self) -> None:
        self._kept: dict[int, Tried] = {}
        self._position = -1
        self._budgets: Sequence[Budget] = ()

    def current(self, ask: Ask, budgets: Sequence[Budget]) -> dict[int, Tried]:
        """Returns the trials by place, without those that changes have undone."""
        snapshot = ask.snapshot
        changes = snapshot.since(self._position) if self._position >= 0 else None
        if changes is None or budgets is not self._budgets:
            self._kept.clear()
        for change in changes or ():
            self._kept.pop(change.place, None)
        self._position, self._budgets = snapshot.logged, budgets
        return self._kept


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
    possible = unfit.open
    count = possible.bit_count()
    wanted = _wanted(ask, count)
    kept = trials.current(ask, budgets) if trials is not None and not ask.hood.filters else {}
    found: list[Candidate] = []
    whole = False  # a candidate breaks no budget
    counts: Counter[str] = Counter()
    for place in places_from(possible, int(draw * ask.snapshot.all.bit_length())):
        if (tried := kept.get(place)) is None:
            tried = kept[place] = try_node(ask, place, budgets)
        if tried.candidate is None:
            counts.update(tried.reasons)
            continue
        found.append(tried.candidate)
        whole = whole or not tried.candidate.violations
        if whole and len(found) >= wanted:
            break
    if not found:
        return unhelpful(unfit.nodes, counts, count)
    return min(found, key=lambda it: it.cost)


def _wanted(ask: Ask, nodes: int) -> int:
    profile = ask.profile
    most = max(nodes * profile.candidates_percent // 100, profile.candidates_least)
    return min(most, nodes)


def try_node(ask: Ask, place: int, budgets: Sequence[Budget]) -> Tried:
    """Tries a node without its less important pods (SelectVictimsOnNode)."""
    state, priority = ask.snapshot.at(place), ask.demand.priority
    lower = [it for it in ask.snapshot.pods_on(state) if it.demand.priority < priority]
    if not lower:
        return Tried(reasons=(NO_VICTIMS,))
    trial = state.copy()
    for placed in lower:
        trial.add(placed.demand, -1)
    if (refusal := _refuse(ask, trial, lower)) is not None:
        return Tried(reasons=refusal.reasons)
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
    return Tried(Candidate(state, victims, violations) if victims else None)


def _refuse(ask: Ask, trial: NodeState, gone: Sequence[Placed]) -> Refusal | None:
    refusal = ask.standing.rule.refuse(ask.demand, trial)
    if refusal is not None or not ask.hood.filters:
        return refusal
    lost = ask.hood.losses(gone)
    refusal = pod_topology_spread.refuse_without(ask.hood, trial.place, lost)
    return refusal or inter_pod_affinity.refuse_without(ask.hood, trial.place, lost)


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
