"""TaintToleration: nodes with fewer untolerated PreferNoSchedule taints are better."""

from __future__ import annotations

from steersman.scheduler.filters.taint_toleration import tolerated
from steersman.scheduler.state.demand import Demand
from steersman.scheduler.state.node import NodeState


def count(demand: Demand, node: NodeState) -> int:
    """Returns how many such taints a node has."""
    if not node.node.spec.taints:
        return 0
    bearing = [item for item in demand.tolerations if item.effect in ("", "PreferNoSchedule")]
    return sum(
        taint.effect == "PreferNoSchedule" and not tolerated(taint, bearing)
        for taint in node.node.spec.taints
    )
