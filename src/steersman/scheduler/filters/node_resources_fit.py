"""NodeResourcesFit: what a pod asks for must be free."""

from __future__ import annotations

from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.state.demand import PODS, Amounts, Demand
from steersman.scheduler.state.node import NodeState


def refuse(demand: Demand, node: NodeState) -> Refusal | None:
    """Refuses a node that lacks room; final where even the empty node would be too small."""
    missing = shortfall(demand, node)
    if not missing:
        return None
    reasons = ["Too many pods" if name == PODS else f"Insufficient {name}" for name in missing]
    wanted = demand.requests.items()
    final = any(amount > node.allocatable.get(name, 0) for name, amount in wanted)
    return Refusal("NodeResourcesFit", tuple(reasons), final)


def shortfall(demand: Demand, node: NodeState) -> Amounts:
    """Returns by how much each resource falls short of what a pod asks for."""
    missing = {}
    if (free := node.free(PODS)) < 1:
        missing[PODS] = 1 - free
    allocatable, taken = node.allocatable, node.taken
    for name, wanted in demand.requests.items():
        free = allocatable.get(name, 0) - taken.get(name, 0)
        if wanted > free:
            missing[name] = wanted - free
    return missing
