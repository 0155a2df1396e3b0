"""LeastAllocated: the emptier the node, the better (noderesources/least_allocated.go)."""

from __future__ import annotations

from steersman.scheduler.demand import CPU, MEMORY, Demand
from steersman.scheduler.snapshot import NodeState


def score(demand: Demand, node: NodeState) -> int:
    """Returns the mean of the free shares of CPU and memory after the pod has come, 0 to 100."""
    cpu = _free(node.allocatable.get(CPU, 0), node.scored_cpu + demand.scored.get(CPU, 0))
    taken = node.scored_memory + demand.scored.get(MEMORY, 0)
    memory = _free(node.allocatable.get(MEMORY, 0), taken)
    shares = [share for share in (cpu, memory) if share is not None]
    return sum(shares) // len(shares) if shares else 0


def _free(capacity: int, taken: int) -> int | None:
    if not capacity:
        return None
    return max(0, (capacity - taken) * 100 // capacity)
