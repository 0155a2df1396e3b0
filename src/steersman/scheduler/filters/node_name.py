"""NodeName: a pod that names its node runs nowhere else."""

from __future__ import annotations

from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.state.demand import Demand
from steersman.scheduler.state.node import NodeState

_REFUSAL = Refusal("NodeName", ("node(s) didn't match the requested node name",))


def refuse(demand: Demand, node: NodeState) -> Refusal | None:
    """Refuses every node but the named one."""
    if demand.node_name and demand.node_name != node.name:
        return _REFUSAL
    return None
