"""NodeAffinity: nodes that more of the preferred terms match, by weight, are better."""

from __future__ import annotations

from steersman.scheduler.demand import Demand
from steersman.scheduler.filters.node_affinity import term_matches
from steersman.scheduler.snapshot import NodeState


def weight(demand: Demand, node: NodeState) -> int:
    """Returns the sum of the weights of the matching preferred terms."""
    rules = demand.affinity.node_affinity if demand.affinity else None
    if rules is None:
        return 0
    labels = node.node.metadata.labels
    return sum(
        item.weight
        for item in rules.preferred_during_scheduling_ignored_during_execution
        if item.weight and term_matches(item.preference, labels, node.name)
    )
