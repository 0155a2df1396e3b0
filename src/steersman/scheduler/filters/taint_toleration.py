"""TaintToleration: taints that a pod does not tolerate keep it away."""

from __future__ import annotations

from collections.abc import Iterable

from steersman.model.node_rules import bears
from steersman.model.types.scheduling import Taint, Toleration
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.state.demand import Demand
from steersman.scheduler.state.node import NodeState

# one text for all taints since 1.35; before, each taint was named
_REFUSAL = Refusal("TaintToleration", ("node(s) had untolerated taint(s)",))


def tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    """Says whether one of the tolerations covers a taint."""
    return any(bears(toleration, taint) for toleration in tolerations)


def refuse(demand: Demand, node: NodeState) -> Refusal | None:
    """Refuses a node with a taint that keeps this pod from being scheduled or running."""
    for taint in node.node.spec.taints:
        counts = taint.effect in ("NoSchedule", "NoExecute")
        if counts and not tolerated(taint, demand.tolerations):
            return _REFUSAL
    return None
