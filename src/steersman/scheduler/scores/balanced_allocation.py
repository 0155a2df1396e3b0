"""BalancedAllocation: resources used to the same degree are better than one used up
(noderesources/balanced_allocation.go)."""

from __future__ import annotations

from math import sqrt

from steersman.scheduler.scores.allocation import NO_DEVICES, Devices
from steersman.scheduler.state.demand import CPU, MEMORY, Demand
from steersman.scheduler.state.node import NodeState

RESOURCES = (CPU, MEMORY)


def score(
    demand: Demand,
    node: NodeState,
    resources: tuple[str, ...] = RESOURCES,
    devices: Devices = NO_DEVICES,
) -> int:
    """Returns 100 for equal shares, less the more they deviate; 0 for every node where the pod
    asks for none of these resources."""
    if not any(demand.requests.get(name) for name in resources):
        return 0
    shares = []
    for name in resources:
        wanted = demand.requests.get(name, 0)
        if capacity := node.allocatable.get(name, 0):
            shares.append(min((node.taken.get(name, 0) + wanted) / capacity, 1.0))
        elif wanted and name in devices:
            taken, capacity = devices[name]
            shares.append(min((taken + wanted) / capacity, 1.0))
    return int((1 - _deviation(shares)) * 100)


def _deviation(shares: list[float]) -> float:
    if len(shares) == 2:
        return abs(shares[0] - shares[1]) / 2
    if len(shares) < 2:
        return 0.0
    mean = sum(shares) / len(shares)
    return sqrt(sum((share - mean) ** 2 for share in shares) / len(shares))
