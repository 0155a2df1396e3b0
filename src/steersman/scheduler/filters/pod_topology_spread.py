"""PodTopologySpread: no domain gets so many pods that it exceeds the least by more than maxSkew.

All nodes at once (`refused`), and one node on trial with pods taken away (`refuse_without`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.neighbourhood import Constraint, Neighbourhood
from steersman.scheduler.state.bits import Bits
from steersman.scheduler.state.topology import Tally

PLUGIN = "PodTopologySpread"
_TEXT = "node(s) didn't match pod topology spread constraints"
NO_LABEL = Refusal(PLUGIN, (f"{_TEXT} (missing required label)",))
SKEWED = Refusal(PLUGIN, (_TEXT,), final=False)


def refused(hood: Neighbourhood, nodes: Bits) -> Iterator[tuple[Refusal, Bits]]:
    """Yields the nodes that are out of the question, each once, with the reason."""
    for constraint in hood.hard:
        tally = constraint.tally
        if missing := nodes & ~tally.topology.all:
            yield NO_LABEL, missing
            nodes ^= missing
        most = most_allowed(constraint, tally.least())
        skewed: Bits = 0
        for amount, bits in tally.filed.items():
            if amount > most:
                skewed |= bits
        if skewed := skewed & nodes:
            yield SKEWED, skewed
            nodes ^= skewed


def most_allowed(constraint: Constraint, least: int) -> int:
    """Returns how many pods a domain may have before this one comes."""
    if constraint.tally.domains < constraint.least_domains:
        least = 0
    return least + constraint.given.max_skew - constraint.own


def refuse_without(hood: Neighbourhood, place: int, lost: Counter[Tally]) -> Refusal | None:
    """Refuses a node as it would be without some of its pods."""
    for constraint in hood.hard:
        tally = constraint.tally
        amount = tally.at(place)
        if amount is None:
            return NO_LABEL
        less = lost.get(tally, 0) if tally.eligible >> place & 1 else 0
        least = tally.least()
        if less:
            least = tally.least_without(tally.topology.values[place], amount - less)
        if amount - less > most_allowed(constraint, least):
            return SKEWED
    return None
