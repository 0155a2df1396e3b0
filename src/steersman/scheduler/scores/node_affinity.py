"""NodeAffinity: nodes that more of the preferred terms match, by weight, are better."""

from __future__ import annotations

from steersman.model.types.scheduling import NodeAffinity
from steersman.scheduler.filters.node_affinity import term_matches
from steersman.scheduler.state.demand import Demand
from steersman.scheduler.state.node import NodeState


def weight(demand: Demand, node: NodeState, added: NodeAffinity | None = None) -> int:
    """Returns the sum of the weights of the matching preferred terms, the profile's included."""
    own = demand.affinity.node_affinity if demand.affinity else None
    labels = node.node.metadata.labels
    return sum(
        item.weight
        for rules in (own, added)
        if rules is not None
        for item in rules.preferred_during_scheduling_ignored_during_execution
        if item.weight and term_matches(item.preference, labels, node.name)
    )
