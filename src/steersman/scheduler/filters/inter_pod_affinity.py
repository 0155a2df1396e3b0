"""InterPodAffinity: near the pods that a pod wants, away from those it or they cannot bear.

All nodes at once (`refused`), and one node on trial with pods taken away (`refuse_without`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.neighbourhood import Neighbourhood
from steersman.scheduler.state.bits import Bits
from steersman.scheduler.state.topology import Tally

PLUGIN = "InterPodAffinity"
FAR = Refusal(PLUGIN, ("node(s) didn't match pod affinity rules",))
TOO_NEAR = Refusal(PLUGIN, ("node(s) didn't match pod anti-affinity rules",), final=False)
REPELLED = Refusal(
    PLUGIN, ("node(s) didn't satisfy existing pods anti-affinity rules",), final=False
)


def refused(hood: Neighbourhood, nodes: Bits) -> Iterator[tuple[Refusal, Bits]]:
    """Yields the nodes that are out of the question, each once, with the reason."""
    if hood.near and (far := nodes & ~_near(hood)):
        yield FAR, far
        nodes ^= far
    for refusal, tallies in ((TOO_NEAR, hood.apart), (REPELLED, hood.repelled)):
        close: Bits = 0
        for tally in tallies.values():
            close |= tally.some()
        if close := close & nodes:
            yield refusal, close
            nodes ^= close


def _near(hood: Neighbourhood) -> Bits:
    anywhere = hood.attracts_itself()
    found: Bits = hood.snapshot.all
    for tally in hood.near.values():
        found &= tally.topology.all if anywhere else tally.some()
    return found


def refuse_without(hood: Neighbourhood, place: int, lost: Counter[Tally]) -> Refusal | None:
    """Refuses a node as it would be without some of its pods."""
    if hood.near and not _near_without(hood, place, lost):
        return FAR
    for refusal, tallies in ((TOO_NEAR, hood.apart), (REPELLED, hood.repelled)):
        for tally in tallies.values():
            if (tally.at(place) or 0) - lost.get(tally, 0) > 0:
                return refusal
    return None


def _near_without(hood: Neighbourhood, place: int, lost: Counter[Tally]) -> bool:
    amounts = [(tally, tally.at(place)) for tally in hood.near.values()]
    if any(amount is None for _, amount in amounts):
        return False
    if all((amount or 0) - lost.get(tally, 0) > 0 for tally, amount in amounts):
        return True
    names = hood.snapshot.namespaces
    alone = all(tally.total == lost.get(tally, 0) for tally, _ in amounts)
    return alone and all(term.takes(hood.flock, names) for term in hood.rules.near)
