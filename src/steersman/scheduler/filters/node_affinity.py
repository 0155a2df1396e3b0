"""NodeAffinity: the node selector and the required terms of node affinity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from steersman.model.selectors import SelectorError, of_node_expressions
from steersman.model.types.scheduling import NodeSelectorTerm
from steersman.model.types.selector import Requirement
from steersman.scheduler.demand import Demand
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.snapshot import NodeState

_REFUSAL = Refusal(("node(s) didn't match Pod's node affinity/selector",))


def refuse(demand: Demand, node: NodeState) -> Refusal | None:
    """Refuses a node that the pod's selector or all of its required terms exclude."""
    labels = node.node.metadata.labels
    if demand.node_selector and not demand.node_selector.items() <= labels.items():
        return _REFUSAL
    rules = demand.affinity.node_affinity if demand.affinity else None
    required = rules.required_during_scheduling_ignored_during_execution if rules else None
    if required is None:
        return None
    matched = any(term_matches(term, labels, node.name) for term in required.node_selector_terms)
    return None if matched else _REFUSAL


def term_matches(term: NodeSelectorTerm, labels: Mapping[str, str], name: str) -> bool:
    """Says whether a term matches a node; an empty term matches nothing, nor does a broken one
    (component-helpers nodeaffinity)."""
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": name}
    return _all(term.match_expressions, labels) and _all(term.match_fields, fields)


def _all(requirements: Iterable[Requirement], found: Mapping[str, str]) -> bool:
    expressions = [
        {"key": item.key, "operator": item.operator, "values": item.values} for item in requirements
    ]
    if not expressions:
        return True
    try:
        return of_node_expressions(expressions)(found)
    except SelectorError:
        return False
