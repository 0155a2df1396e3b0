"""NodeResourcesFit: what a pod asks for must be free."""

from __future__ import annotations

from steersman.scheduler.demand import PODS, Demand
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.snapshot import NodeState


def refuse(demand: Demand, node: NodeState) -> Refusal | None:
    """Refuses a node that lacks room; final where even the empty node would be too small."""
    reasons = []
    final = False
    if node.free(PODS) < 1:
        reasons.append("Too many pods")
    for name, wanted in demand.requests.items():
        if wanted > node.free(name):
            reasons.append(f"Insufficient {name}")
            final = final or wanted > node.allocatable.get(name, 0)
    return Refusal(tuple(reasons), final) if reasons else None
