"""NodeResourcesFit: what a pod asks for must be free."""

from __future__ import annotations

from collections.abc import Container, Iterable

import msgspec

from steersman.scheduler.filters.refusal import Filter, Refusal
from steersman.scheduler.state.demand import PODS, Amounts, Demand
from steersman.scheduler.state.node import NodeState


def refuse(demand: Demand, node: NodeState) -> Refusal | None:
    """Refuses a node that lacks room; final where even the empty node would be too small."""
    missing = shortfall(demand, node)
    if not missing:
        return None
    reasons = ["Too many pods" if name == PODS else f"Insufficient {name}" for name in missing]
    wanted = _counted(demand, node)
    final = any(amount > node.allocatable.get(name, 0) for name, amount in wanted)
    return Refusal("NodeResourcesFit", tuple(reasons), final)


def ignoring(names: Container[str], groups: Container[str]) -> Filter:
    """Returns the filter of a profile that does not look at some extended resources."""

    def refuse_rest(demand: Demand, node: NodeState) -> Refusal | None:
        rest = {
            name: wanted
            for name, wanted in demand.requests.items()
            if "/" not in name or (name not in names and name.partition("/")[0] not in groups)
        }
        return refuse(msgspec.structs.replace(demand, requests=rest), node)

    return refuse_rest


def shortfall(demand: Demand, node: NodeState) -> Amounts:
    """Returns by how much each resource falls short of what a pod asks for."""
    missing = {}
    if (free := node.free(PODS)) < 1:
        missing[PODS] = 1 - free
    allocatable, taken = node.allocatable, node.taken
    for name, wanted in _counted(demand, node):
        free = allocatable.get(name, 0) - taken.get(name, 0)
        if wanted > free:
            missing[name] = wanted - free
    return missing


def _counted(demand: Demand, node: NodeState) -> Iterable[tuple[str, int]]:
    """Returns what must be free on a node; devices meet what it does not have by itself
    (shouldDelegateResourceToDRA)."""
    if not demand.delegated:
        return demand.requests.items()
    return [
        (name, wanted)
        for name, wanted in demand.requests.items()
        if name not in demand.delegated or node.allocatable.get(name)
    ]
