"""PodTopologySpread: nodes in domains with fewer pods of the kind are better
(podtopologyspread/scoring.go)."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log

from steersman.scheduler.neighbourhood import Constraint, Neighbourhood
from steersman.scheduler.profile import HOSTNAME
from steersman.scheduler.scores.partition import Part
from steersman.scheduler.state.bits import Bits


def parts(hood: Neighbourhood, fit: Bits) -> Sequence[Part]:
    """Returns the fitting nodes by their score, 0 to 100."""
    ignored = _ignored(hood, fit)
    if not (scored := fit & ~ignored):
        return ((0, fit),)
    raw: dict[float, Bits] = {0.0: scored}
    for constraint in hood.soft:
        raw = _finer(raw, constraint, weight_of(constraint, scored))
    rounded: dict[int, Bits] = {}
    for total, nodes in raw.items():
        whole = floor(total + 0.5)
        rounded[whole] = rounded.get(whole, 0) | nodes
    least, most = min(rounded), max(rounded)
    found = [
        (100 * (most + least - total) // most if most else 100, nodes)
        for total, nodes in rounded.items()
    ]
    return [*found, (0, ignored)] if ignored else found


def _ignored(hood: Neighbourhood, fit: Bits) -> Bits:
    """Returns the nodes without all keys, except under the system's own constraints."""
    if not hood.demand.spread and hood.profile.system_constraints:
        return 0
    having = fit
    for constraint in hood.soft:
        having &= constraint.tally.topology.all
    return fit & ~having


def _finer(raw: dict[float, Bits], constraint: Constraint, weight: float) -> dict[float, Bits]:
    finer: dict[float, Bits] = {}
    tally, skew = constraint.tally, constraint.given.max_skew - 1
    for total, nodes in raw.items():
        if rest := nodes & ~tally.topology.all:
            finer[total] = finer.get(total, 0) | rest
        for amount, bits in tally.filed.items():
            if both := nodes & bits:
                new = total + amount * weight + skew
                finer[new] = finer.get(new, 0) | both
    return finer


def weight_of(constraint: Constraint, scored: Bits) -> float:
    """Returns the weight of a count, by the number of domains among the fitting nodes, so that
    small topologies are not drowned by large ones."""
    topology = constraint.tally.topology
    if topology.key == HOSTNAME:
        return log(scored.bit_count() + 2)
    size = sum(1 for nodes in topology.nodes.values() if nodes & scored)
    return log(size + bool(scored & ~topology.all) + 2)
