"""NodeAffinity: the node selector, the required terms of node affinity, and what a profile adds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from steersman.model.selectors import Selector, SelectorError, everything, of_node_expressions
from steersman.model.types.scheduling import NodeAffinity, NodeSelector, NodeSelectorTerm
from steersman.model.types.selector import Requirement
from steersman.scheduler.filters.refusal import Filter, Refusal
from steersman.scheduler.state.demand import Demand
from steersman.scheduler.state.node import NodeState

KEPT_TERMS: Final = 1024  # each is asked about every node, so it is understood once
_REFUSAL = Refusal("NodeAffinity", ("node(s) didn't match Pod's node affinity/selector",))
_ENFORCED = Refusal("NodeAffinity", ("node(s) didn't match scheduler-enforced node affinity",))


def refuse(demand: Demand, node: NodeState) -> Refusal | None:
    """Refuses a node that the pod's selector or all of its required terms exclude."""
    return None if matches(demand, node) else _REFUSAL


def matches(demand: Demand, node: NodeState) -> bool:
    """Says whether a node is one of those that the pod demands."""
    labels = node.node.metadata.labels
    if demand.node_selector and not demand.node_selector.items() <= labels.items():
        return False
    rules = demand.affinity.node_affinity if demand.affinity else None
    required = rules.required_during_scheduling_ignored_during_execution if rules else None
    return required is None or selects(required, labels, node.name)


def added(affinity: NodeAffinity) -> Filter:
    """Returns the filter of a profile's addedAffinity."""
    required = affinity.required_during_scheduling_ignored_during_execution

    def refuse_added(_demand: Demand, node: NodeState) -> Refusal | None:
        if required is None or selects(required, node.node.metadata.labels, node.name):
            return None
        return _ENFORCED

    return refuse_added


def selects(selector: NodeSelector, labels: Mapping[str, str], name: str) -> bool:
    """Says whether one of a selector's terms matches a node."""
    return any(term_matches(term, labels, name) for term in selector.node_selector_terms)


def term_matches(term: NodeSelectorTerm, labels: Mapping[str, str], name: str) -> bool:
    """Says whether a term matches a node; an empty term matches nothing, nor does a broken one
    (component-helpers nodeaffinity)."""
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": name}
    return _all(term.match_expressions, labels) and _all(term.match_fields, fields)


def _all(requirements: tuple[Requirement, ...], found: Mapping[str, str]) -> bool:
    selector = _selector(requirements) if requirements else everything()
    return selector is not None and selector(found)


@lru_cache(KEPT_TERMS)
def _selector(requirements: tuple[Requirement, ...]) -> Selector | None:
    expressions = [
        {"key": item.key, "operator": item.operator, "values": item.values} for item in requirements
    ]
    try:
        return of_node_expressions(expressions)
    except SelectorError:
        return None
