"""Which node a pod goes to, or why it goes nowhere. Pure: the same input, the same answer.

Nodes not yet judged for the pod's shape are looked at in turn, from where the last search ended,
until enough fit (upstream's percentageOfNodesToScore); all that are known to fit compete, because
they cost nothing. The best wins, chance decides among equals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from steersman.scheduler.filters import inter_pod_affinity, pod_topology_spread
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.memory import Ask, Local
from steersman.scheduler.scores import inter_pod_affinity as affinity_score
from steersman.scheduler.scores import pod_topology_spread as spread_score
from steersman.scheduler.scores.partition import Part
from steersman.scheduler.standing import allocated
from steersman.scheduler.state.bits import Bits, nth, places, places_from
from steersman.scheduler.state.demand import CPU, MEMORY
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.state.topology import Tally

BEST: Final = 100
MIN_NODES: Final = 100  # upstream minFeasibleNodesToFind
MIN_PERCENT, MAX_PERCENT = 5, 50  # upstream's adaptive percentage of nodes to score
NODES_PER_PERCENT: Final = 125

Refused = Mapping[Refusal, Bits]


class Feasible(msgspec.Struct, frozen=True):
    """The nodes that fit and were found, and where the search goes on next time."""

    nodes: Bits
    start: int = 0


class Chosen(msgspec.Struct, frozen=True):
    """The node, and where the search for nodes goes on next time."""

    node: NodeState
    start: int = 0


class Unfit(msgspec.Struct, frozen=True):
    """No node fits: who is refused why, or one reason (`early`) that holds for all nodes."""

    nodes: int
    refused: Refused = msgspec.field(default_factory=dict)
    early: str = ""
    plugin: str = ""  # by which the early reason is given

    @property
    def open(self) -> Bits:
        """The nodes on which removing pods could help."""
        found: Bits = 0
        for refusal, bits in self.refused.items():
            if not refusal.final:
                found |= bits
        return found

    @property
    def blockers(self) -> frozenset[str]:
        """The plugins that refuse nodes."""
        found = {refusal.plugin for refusal in self.refused}
        return frozenset(found | {self.plugin} if self.plugin else found)


def enough(nodes: int, percent: int = 0) -> int:
    """Returns after how many fitting nodes the search ends; 0 percent adapts to their number."""
    if nodes < MIN_NODES or percent >= 100:
        return nodes
    percent = percent or max(MIN_PERCENT, MAX_PERCENT - nodes // NODES_PER_PERCENT)
    return max(MIN_NODES, nodes * percent // 100)


def fitting(ask: Ask) -> Bits:
    """Returns all nodes where the pod may go; judges every node."""
    ask.standing.judge_until(lambda: False, 0)
    found = ask.standing.fits
    for bits in _near(ask).values():
        found &= ~bits
    return found


def refusals(ask: Ask) -> Refused:
    """Returns who refuses the pod and why; judges every node."""
    ask.standing.judge_until(lambda: False, 0)
    return _refusals(ask, _near(ask))


def decide(
    ask: Ask,
    *,
    start: int = 0,
    draw: float = 0.0,
    most: int | None = None,
) -> Chosen | Unfit:
    """Decides on a node. `draw` (0 to below 1) picks among equals; the rest is as in `search`."""
    found = search(ask, start=start, most=most)
    if isinstance(found, Unfit):
        return found
    return Chosen(ask.snapshot.at(_best(ask, found.nodes, draw)), found.start)


def search(ask: Ask, *, start: int = 0, most: int | None = None) -> Feasible | Unfit:
    """Looks for nodes that fit. `start` is where the search begins, `most` bounds the fitting
    nodes to find (default: the profile's share)."""
    standing, snapshot = ask.standing, ask.snapshot
    nodes = snapshot.all.bit_count()
    if not nodes:
        return Unfit(0)
    wanted = enough(nodes, ask.profile.percentage) if most is None else most
    if ask.local is not None:
        found = _search_one_by_one(ask, ask.local, start, wanted)
        return found if found.nodes else Unfit(nodes, refusals(ask))
    near = _near(ask)
    allowed = snapshot.all
    for bits in near.values():
        allowed &= ~bits

    def found_enough() -> bool:
        return (standing.fits & allowed).bit_count() >= wanted

    start = standing.judge_until(found_enough, start)
    if fit := standing.fits & allowed:
        return Feasible(fit, start)
    return Unfit(nodes, _refusals(ask, near))


def _search_one_by_one(ask: Ask, local: Local, start: int, wanted: int) -> Feasible:
    """Looks for nodes that fit a pod whose own rules are asked of each node; only those that are
    found compete, since the others were not asked."""
    standing, snapshot = ask.standing, ask.snapshot
    left = snapshot.all & local.possible()
    for bits in _beyond(ask, {}).values():
        left &= ~bits
    fit: Bits = 0
    count = 0
    for place in places_from(left, start):
        if isinstance(standing.verdict(place), Refusal) or local.refuse(snapshot.at(place)):
            continue
        fit |= 1 << place
        count += 1
        if count >= wanted:
            return Feasible(fit, place + 1)
    return Feasible(fit, start)


def _near(ask: Ask) -> dict[Refusal, Bits]:
    """Returns the refusals that hold for this pod and its neighbours, each node under its first
    reason."""
    return _beyond(ask, _local(ask))


def _beyond(ask: Ask, found: dict[Refusal, Bits]) -> dict[Refusal, Bits]:
    """Adds the refusals of neighbours and extenders to those before them."""
    hood, expected = ask.hood, ask.snapshot.expected()
    if not hood.filters and ask.word is None and not expected:
        return found
    left = ask.snapshot.all
    for bits in found.values():
        left &= ~bits
    for rule in (pod_topology_spread, inter_pod_affinity) if hood.filters else ():
        for refusal, bits in rule.refused(hood, left):
            found[refusal] = found.get(refusal, 0) | bits
            left &= ~bits
    for refusal, bits in _with_expected(ask, expected, left):
        found[refusal] = found.get(refusal, 0) | bits
        left &= ~bits
    if ask.word is not None:
        for refusal, bits in ask.word.refusals(ask.snapshot, left):
            found[refusal] = found.get(refusal, 0) | bits
    return found


def _with_expected(
    ask: Ask, expected: Iterable[NodeState], nodes: Bits
) -> Iterable[tuple[Refusal, Bits]]:
    """Yields the nodes that neighbours refuse once the pods nominated for them have come, if these
    are at least as important (framework RunFilterPluginsWithNominatedPods)."""
    for state in expected:
        if state.place < 0 or not nodes >> state.place & 1:
            continue
        refusal = refuse_with(ask, state, Counter())
        if refusal is not None:
            yield refusal, 1 << state.place


def refuse_with(ask: Ask, state: NodeState, lost: Counter[Tally]) -> Refusal | None:
    """Refuses a node as it would be with the pods that are nominated for it and without others."""
    coming = [it for it in state.nominated.values() if it.demand.priority >= ask.demand.priority]
    # Who has no rules of their own can only be refused by those of who comes
    if not coming or not (ask.hood.filters or any(it.rules.apart for it in coming)):
        return None
    change = ask.hood.gains(coming)
    for tally, amount in lost.items():
        change[tally] += amount
    return refuse_without(ask, state.place, change)


def refuse_without(ask: Ask, place: int, lost: Counter[Tally]) -> Refusal | None:
    """Refuses a node for its neighbours, as it would be without some of its pods."""
    refusal = pod_topology_spread.refuse_without(ask.hood, place, lost)
    return refusal or inter_pod_affinity.refuse_without(ask.hood, place, lost)


def _local(ask: Ask) -> dict[Refusal, Bits]:
    found: dict[Refusal, Bits] = {}
    if ask.local is not None:
        for place in places(ask.snapshot.all):
            if (refusal := ask.local.refuse(ask.snapshot.at(place))) is not None:
                found[refusal] = found.get(refusal, 0) | 1 << place
    return found


def _refusals(ask: Ask, near: Refused) -> Refused:
    """Joins the refusals of single nodes with those beyond; the former come first."""
    fits, found = ask.standing.fits, dict(ask.standing.refused)
    for refusal, bits in near.items():
        if rest := bits & fits:
            found[refusal] = found.get(refusal, 0) | rest
    return found


def _best(ask: Ask, fit: Bits, draw: float) -> int:
    """Returns the place of the best node."""
    top, best = -1, 0
    for extra, nodes in _given(ask, fit):
        for total, bits in _plain(ask, fit, nodes):
            if best == 0 or extra + total > top:
                top, best = extra + total, bits
            elif extra + total == top:
                best |= bits
    count = best.bit_count()
    return nth(best, min(int(draw * count), count - 1))


def _given(ask: Ask, fit: Bits) -> Iterable[Part]:
    """Yields the fitting nodes by the score that neighbours, extenders and devices give them."""
    found = _extra(ask, fit)
    if ask.word is not None:
        found = _crossed(found, list(ask.word.parts(ask.snapshot, fit)))
    if parts := _by_devices(ask, fit):
        found = _crossed(found, parts)
    return found


def _crossed(parts: Iterable[Part], others: Sequence[Part]) -> Iterable[Part]:
    """Yields the nodes of both by the sums of their scores."""
    for score, nodes in parts:
        for other, some in others:
            if both := nodes & some:
                yield score + other, both


def _by_devices(ask: Ask, fit: Bits) -> Sequence[Part]:
    """Returns the fitting nodes by what their devices change of their score, nothing where none of
    the resources that the profile scores is met by devices."""
    profile, demand = ask.profile, ask.demand
    names = {*profile.balanced, *(name for name, _ in profile.strategy.weights)}
    if ask.local is None or names <= {CPU, MEMORY}:
        return ()
    found: dict[int, Bits] = {}
    for place in places(fit):
        node = ask.snapshot.at(place)
        devices = ask.local.devices(node, names)
        change = 0
        if devices:
            change = allocated(profile, demand, node, devices) - allocated(profile, demand, node)
        found[change] = found.get(change, 0) | 1 << place
    return tuple(found.items())


def _extra(ask: Ask, fit: Bits) -> Iterable[Part]:
    """Yields the fitting nodes by the weighted score that their neighbours give them."""
    hood, weights = ask.hood, ask.profile.weights
    by_affinity: Sequence[Part] = ((0, fit),)
    if hood.scored:
        by_affinity = affinity_score.parts(hood, fit)
    if not hood.soft:
        weight = weights.get("InterPodAffinity", 0)
        yield from ((weight * score, bits) for score, bits in by_affinity)
        return
    by_spread = spread_score.parts(hood, fit)
    for affinity, one in by_affinity:
        for spread, other in by_spread:
            if both := one & other:
                score = weights.get("InterPodAffinity", 0) * affinity
                yield score + weights["PodTopologySpread"] * spread, both


def _plain(ask: Ask, fit: Bits, nodes: Bits) -> Iterable[Part]:
    """Yields, of some fitting nodes, the best of each kind by the scores of single nodes."""
    standing, weights = ask.standing, ask.profile.weights
    present = [raw for raw, filed in standing.scores.items() if _any(filed.values(), fit)]
    taints = max(raw[0] for raw in present)
    affinity = max(raw[1] for raw in present)
    for raw in present:
        # DefaultNormalizeScore: 0 to 100 relative to the largest, reversed for taints
        worse = BEST * raw[0] // taints if taints else 0
        better = BEST * raw[1] // affinity if affinity else 0
        total = weights.get("TaintToleration", 0) * (BEST - worse)
        total += weights.get("NodeAffinity", 0) * better
        filed = standing.scores[raw]
        for score in sorted(filed, reverse=True):
            if bits := filed[score] & nodes:
                yield total + score, bits
                break


def _any(sets: Iterable[Bits], fit: Bits) -> bool:
    return any(bits & fit for bits in sets)
