"""What a pod says of its node, and a node of its pods: selector, required affinity, taints; pure.

Sources: component-helpers/scheduling/corev1 (GetRequiredNodeAffinity, ToleratesTaint).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from steersman.model.kinds.node import Node
from steersman.model.selectors import SelectorError, of_node_expressions
from steersman.model.types.podspec import PodSpec
from steersman.model.types.scheduling import NodeSelectorTerm, Taint, Toleration
from steersman.model.types.selector import Requirement

NAME_FIELD: Final = "metadata.name"


def attracts(spec: PodSpec, node: Node) -> bool:
    """Whether a node is one that a pod wants: by its selector and its required affinity."""
    labels = node.metadata.labels
    if not spec.node_selector.items() <= labels.items():
        return False
    rules = spec.affinity.node_affinity if spec.affinity else None
    required = rules.required_during_scheduling_ignored_during_execution if rules else None
    return required is None or any(_matches(it, node) for it in required.node_selector_terms)


def _matches(term: NodeSelectorTerm, node: Node) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {NAME_FIELD: node.metadata.name}
    return _all(term.match_expressions, node.metadata.labels) and _all(term.match_fields, fields)


def _all(requirements: Iterable[Requirement], found: Any) -> bool:
    expressions = [
        {"key": item.key, "operator": item.operator, "values": item.values} for item in requirements
    ]
    try:
        return not expressions or of_node_expressions(expressions)(found)
    except SelectorError:
        return False


def repels(spec: PodSpec, node: Node, effects: Collection[str]) -> bool:
    """Whether a node has a taint of one of these effects that a pod does not tolerate."""
    taints = (taint for taint in node.spec.taints if taint.effect in effects)
    return any(not any(bears(it, taint) for it in spec.tolerations) for taint in taints)


def bears(toleration: Toleration, taint: Taint) -> bool:
    """Says whether a toleration covers a taint (Toleration.ToleratesTaint)."""
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    if toleration.operator == "Exists":
        return True
    if toleration.operator in ("Gt", "Lt"):
        return _compares(toleration, taint)
    return toleration.operator in ("", "Equal") and toleration.value == taint.value


def _compares(toleration: Toleration, taint: Taint) -> bool:
    try:
        wanted, found = int(toleration.value), int(taint.value)
    except ValueError:
        return False
    return found > wanted if toleration.operator == "Gt" else found < wanted
