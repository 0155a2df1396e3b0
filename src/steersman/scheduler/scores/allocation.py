"""The scoring strategies of NodeResourcesFit: least, most, requested-to-capacity ratio.

Follows noderesources/least_allocated.go, most_allocated.go, requested_to_capacity_ratio.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import floor

import msgspec

from steersman.scheduler.state.demand import CPU, MEMORY, Demand
from steersman.scheduler.state.node import NodeState

Of = Callable[[int, int], int]  # (taken after the pod has come, capacity) -> 0 to 100
FULL = 100
# What of a resource is taken on a node, and how much there is in all, where devices meet it
Devices = Mapping[str, tuple[int, int]]
NO_DEVICES: Devices = {}


class Strategy(msgspec.Struct, frozen=True):
    """A rule for one resource, and the weights of the resources it is asked about.

    `shape` bends the ratio: points of utilization (percent) and score (0 to 100).
    """

    kind: str = "LeastAllocated"
    weights: tuple[tuple[str, int], ...] = ((CPU, 1), (MEMORY, 1))
    shape: tuple[tuple[int, int], ...] = ()

    def score(self, demand: Demand, node: NodeState, devices: Devices = NO_DEVICES) -> int:
        """Returns the weighted mean over the resources that the node has, 0 to 100."""
        total = weights = 0
        ratio = self.kind == "RequestedToCapacityRatio"
        for name, weight in self.weights:
            taken, capacity = amounts(node, name, devices)
            wanted = demand.scored.get(name, 0)
            if not capacity or (not wanted and name not in (CPU, MEMORY)):
                continue
            found = self._of(taken + wanted, capacity)
            if ratio and not found:
                continue
            total += found * weight
            weights += weight
        if not weights:
            return 0
        # upstream rounds the ratio and cuts the others
        return floor(total / weights + 0.5) if ratio else total // weights

    def _of(self, taken: int, capacity: int) -> int:
        if self.kind == "LeastAllocated":
            return max(0, (capacity - taken) * FULL // capacity)
        if self.kind == "MostAllocated":
            return min(taken, capacity) * FULL // capacity
        utilization = FULL if taken > capacity else taken * FULL // capacity
        return bent(self.shape, utilization)


LEAST = Strategy()


def amounts(node: NodeState, name: str, devices: Devices) -> tuple[int, int]:
    """Returns what of a resource is taken, and how much there is; of cpu and memory as scored."""
    capacity = node.allocatable.get(name, 0)
    if not capacity and name in devices:
        return devices[name]
    if name == CPU:
        return node.scored_cpu, capacity
    return node.scored_memory if name == MEMORY else node.taken.get(name, 0), capacity


def bent(shape: tuple[tuple[int, int], ...], utilization: int) -> int:
    """Returns the value of a broken line at a utilization (helper.BuildBrokenLinearFunction)."""
    before = None
    for point in shape:
        if utilization <= point[0]:
            if before is None:
                return point[1]
            rise = (point[1] - before[1]) * (utilization - before[0])
            return before[1] + int(rise / (point[0] - before[0]))
        before = point
    return shape[-1][1] if shape else 0
