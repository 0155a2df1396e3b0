"""Why a pod may not run on each node, and how far the node is from fitting. Pure; what a person
is told who asks beyond the message of the attempt."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from steersman.scheduler.decide import refusals
from steersman.scheduler.filters.node_resources_fit import shortfall
from steersman.scheduler.memory import Ask
from steersman.scheduler.state.bits import places


class Why(msgspec.Struct, frozen=True):
    """One node that is out of the question; `missing` are amounts by resource as they are counted
    (millis of a CPU), `final` where removing pods from the node could not help."""

    node: str
    plugin: str
    reasons: tuple[str, ...]
    final: bool
    missing: Mapping[str, int]


def explain(ask: Ask) -> list[Why]:
    """Returns every node that refuses a pod, in the order of the nodes."""
    found = {}
    for refusal, bits in refusals(ask).items():
        for place in places(bits):
            state = ask.snapshot.at(place)
            missing = shortfall(ask.demand, state.expecting(ask.demand.priority))
            found[place] = Why(state.name, refusal.plugin, refusal.reasons, refusal.final, missing)
    return [found[place] for place in sorted(found)]
