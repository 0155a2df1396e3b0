"""ImageLocality: nodes that hold the pod's images already are better, large images more so
(imagelocality/image_locality.go)."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.scheduler.state.demand import Demand
from steersman.scheduler.state.node import NodeState

_MEBIBYTE = 1024 * 1024
LEAST_BYTES = 23 * _MEBIBYTE  # below this an image counts nothing
MOST_BYTES = 1000 * _MEBIBYTE  # for each container; above this nothing is added


def score(
    demand: Demand, node: NodeState, images: Mapping[str, tuple[int, int]], nodes: int
) -> int:
    """Returns 0 to 100. An image counts the less the fewer nodes have it, so that nodes which
    have it are not overrun. `images` says of each its size and how many nodes have it."""
    if not node.node.status.images:
        return 0
    there = {name for image in node.node.status.images for name in image.names}
    total = 0
    for name in demand.images:
        if name in there and name in images:
            size, count = images[name]
            total += int(size * (count / nodes))
    most = MOST_BYTES * demand.containers
    return 100 * (min(max(total, LEAST_BYTES), most) - LEAST_BYTES) // (most - LEAST_BYTES)
