"""BalancedAllocation: CPU and memory used to the same degree are better than one used up
(noderesources/balanced_allocation.go)."""

from __future__ import annotations

from steersman.scheduler.demand import CPU, MEMORY, Demand
from steersman.scheduler.snapshot import NodeState


def score(demand: Demand, node: NodeState) -> int:
    """Returns 100 for equal shares of CPU and memory, less the more they differ."""
    cpu, memory = node.allocatable.get(CPU, 0), node.allocatable.get(MEMORY, 0)
    if not cpu or not memory:
        return 100
    cpu_share = (node.taken.get(CPU, 0) + demand.requests.get(CPU, 0)) / cpu
    memory_share = (node.taken.get(MEMORY, 0) + demand.requests.get(MEMORY, 0)) / memory
    return int((1 - abs(min(cpu_share, 1.0) - min(memory_share, 1.0)) / 2) * 100)
