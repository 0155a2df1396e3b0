"""Which node a pod goes to, or why it goes nowhere. Pure: the same input, the same answer.

Nodes are looked at in turn, from where the last decision ended, until enough of them fit
(upstream's percentageOfNodesToScore); the best of those wins, chance decides among equals.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence

import msgspec

from steersman.scheduler.demand import Demand
from steersman.scheduler.filters import (
    node_affinity,
    node_name,
    node_ports,
    node_resources_fit,
    node_unschedulable,
    taint_toleration,
)
from steersman.scheduler.filters.refusal import Filter, Refusal
from steersman.scheduler.scores import balanced_allocation, least_allocated
from steersman.scheduler.scores import node_affinity as affinity_score
from steersman.scheduler.scores import taint_toleration as taint_score
from steersman.scheduler.snapshot import NodeState

FILTERS: tuple[Filter, ...] = (  # in upstream's default order: the first refusal is the reason
    node_unschedulable.refuse,
    node_name.refuse,
    taint_toleration.refuse,
    node_affinity.refuse,
    node_ports.refuse,
    node_resources_fit.refuse,
)
TAINT_WEIGHT, AFFINITY_WEIGHT = 3, 2  # upstream's default profile; the others weigh 1
BEST = 100
MIN_NODES = 100  # upstream minFeasibleNodesToFind
MIN_PERCENT, MAX_PERCENT = 5, 50  # upstream's adaptive percentage of nodes to score
NODES_PER_PERCENT = 125
MAX_MEMOS = 64  # shapes whose verdicts are kept; one is a list as long as there are nodes

NO_NODES = "no nodes available to schedule pods"
_NO_VICTIMS = "No preemption victims found for incoming pod"
_NO_HELP = "Preemption is not helpful for scheduling"
_NEVER = "not eligible due to preemptionPolicy=Never."


class Chosen(msgspec.Struct, frozen=True):
    """The node, and how many nodes were looked at."""

    node: NodeState
    looked_at: int


class Unfit(msgspec.Struct, frozen=True):
    """No node fits; the message is that of upstream's FitError."""

    message: str
    looked_at: int = 0


class Fit(msgspec.Struct, frozen=True):
    """A node that fits: the sum of its plain scores and the two that are normalized."""

    score: int
    taints: int
    affinity: int


Verdict = Fit | Refusal


def judge(demand: Demand, node: NodeState) -> Verdict:
    """Returns how well a node fits, or the first filter's refusal."""
    for refuse in FILTERS:
        if (refusal := refuse(demand, node)) is not None:
            return refusal
    score = least_allocated.score(demand, node) + balanced_allocation.score(demand, node)
    return Fit(score, taint_score.count(demand, node), affinity_score.weight(demand, node))


def enough(nodes: int) -> int:
    """Returns after how many fitting nodes the search ends."""
    if nodes < MIN_NODES:
        return nodes
    percent = max(MIN_PERCENT, MAX_PERCENT - nodes // NODES_PER_PERCENT)
    return max(MIN_NODES, nodes * percent // 100)


class Memory:
    """Verdicts that still hold: a node is judged again for a shape only after it changed."""

    def __init__(self) -> None:
        self._by_shape: OrderedDict[int, tuple[Demand, dict[str, tuple[int, Verdict]]]]
        self._by_shape = OrderedDict()

    def of(self, demand: Demand) -> dict[str, tuple[int, Verdict]]:
        """Returns what is known for a shape, by node: generation and verdict."""
        key = id(demand)  # kept alive by the entry
        if (found := self._by_shape.get(key)) is not None:
            self._by_shape.move_to_end(key)
            return found[1]
        found = self._by_shape[key] = (demand, {})
        if len(self._by_shape) > MAX_MEMOS:
            self._by_shape.popitem(last=False)
        return found[1]


def decide(
    demand: Demand,
    nodes: Sequence[NodeState],
    *,
    start: int = 0,
    draw: float = 0.0,
    known: dict[str, tuple[int, Verdict]] | None = None,
    most: int | None = None,
) -> Chosen | Unfit:
    """Decides on a node. `start` is the first node to look at, `draw` (0 to below 1) picks among
    equals, `most` bounds the fitting nodes to find (default: upstream's share)."""
    if not nodes:
        return Unfit(NO_NODES)
    known = {} if known is None else known
    fits: list[tuple[NodeState, Fit]] = []
    refusals: list[Refusal] = []
    most = enough(len(nodes)) if most is None else most
    looked_at = 0
    for place in range(start, start + len(nodes)):
        node = nodes[place % len(nodes)]
        looked_at += 1
        entry = known.get(node.name)
        if entry is None or entry[0] != node.generation:
            entry = known[node.name] = (node.generation, judge(demand, node))
        verdict = entry[1]
        if isinstance(verdict, Refusal):
            refusals.append(verdict)
            continue
        fits.append((node, verdict))
        if len(fits) >= most:
            break
    if not fits:
        return Unfit(message(len(nodes), refusals, preempts=demand.preempts), looked_at)
    return Chosen(_best(fits, draw), looked_at)


def _best(fits: list[tuple[NodeState, Fit]], draw: float) -> NodeState:
    taints = max(fit.taints for _, fit in fits)
    affinity = max(fit.affinity for _, fit in fits)
    top, best = -1, []
    for node, fit in fits:
        total = fit.score
        # DefaultNormalizeScore: 0 to 100 relative to the largest, reversed for taints
        total += TAINT_WEIGHT * (BEST - BEST * fit.taints // taints if taints else BEST)
        total += AFFINITY_WEIGHT * (BEST * fit.affinity // affinity if affinity else 0)
        if total > top:
            top, best = total, [node]
        elif total == top:
            best.append(node)
    return best[min(int(draw * len(best)), len(best) - 1)]


def message(nodes: int, refusals: Sequence[Refusal], *, preempts: bool = True) -> str:
    """Returns upstream's text: reasons with their counts, then what preemption could do."""
    reasons = Counter(reason for refusal in refusals for reason in refusal.reasons)
    text = f"0/{nodes} nodes are available: {_listed(reasons)}. preemption: "
    if not preempts:
        return text + _NEVER
    helps = Counter(_NO_HELP if refusal.final else _NO_VICTIMS for refusal in refusals)
    return f"{text}0/{nodes} nodes are available: {_listed(helps)}."


def _listed(counts: Counter[str]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
