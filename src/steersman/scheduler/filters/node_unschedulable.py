"""NodeUnschedulable: a cordoned node takes only pods that tolerate that."""

from __future__ import annotations

from steersman.model.types.scheduling import Taint
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.filters.taint_toleration import tolerated
from steersman.scheduler.state.demand import Demand
from steersman.scheduler.state.node import NodeState

_TAINT = Taint("node.kubernetes.io/unschedulable", effect="NoSchedule")
_REFUSAL = Refusal("NodeUnschedulable", ("node(s) were unschedulable",))


def refuse(demand: Demand, node: NodeState) -> Refusal | None:
    """Refuses a cordoned node."""
    if node.node.spec.unschedulable and not tolerated(_TAINT, demand.tolerations):
        return _REFUSAL
    return None
