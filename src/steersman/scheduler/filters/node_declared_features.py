"""NodeDeclaredFeatures: a pod that needs what not every node of this minor can do runs where one
says that it can (KEP-5328).

Of the features that pods are judged by, one is on by default in 1.37: that all containers begin
anew when one ends.
"""

from __future__ import annotations

from typing import Final

from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.state.demand import Demand
from steersman.scheduler.state.node import NodeState

_REFUSAL: Final = Refusal("NodeDeclaredFeatures", ("node(s) didn't match Pod's required features",))


def refuse(demand: Demand, node: NodeState) -> Refusal | None:
    """Refuses a node that does not declare what the pod needs."""
    if demand.features and not demand.features.issubset(node.node.status.declared_features):
        return _REFUSAL
    return None
