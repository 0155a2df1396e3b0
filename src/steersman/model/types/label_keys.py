"""Label keys of a new pod become parts of its selectors: `matchLabelKeys` and `mismatchLabelKeys`
of affinity between pods and of spreading (KEP-3633, KEP-3243; registry/core/pod/strategy.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from steersman.model.kind import Document

_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_SPREAD: Final = "topologySpreadConstraints"
_OPERATORS: Final = (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
Labels = Mapping[str, str]


def with_label_keys(spec: Document, labels: Labels) -> Document:
    """Returns a pod's spec with its own values of the keys in its selectors."""
    spread, affinity = spec.get(_SPREAD), spec.get("affinity")
    if spread:
        spec = {**spec, _SPREAD: [_merged(item, labels) for item in spread]}
    if not affinity:
        return spec
    changed = {
        side: _of_side(affinity[side], labels)
        for side in ("podAffinity", "podAntiAffinity")
        if affinity.get(side)
    }
    return {**spec, "affinity": {**affinity, **changed}} if changed else spec


def _of_side(side: Document, labels: Labels) -> Document:
    changed: Document = {}
    if side.get(_REQUIRED):
        changed[_REQUIRED] = [_merged(term, labels) for term in side[_REQUIRED]]
    if side.get(_PREFERRED):
        changed[_PREFERRED] = [
            {**item, "podAffinityTerm": _merged(item.get("podAffinityTerm") or {}, labels)}
            for item in side[_PREFERRED]
        ]
    return {**side, **changed}


def _merged(term: Document, labels: Labels) -> Document:
    """Returns a term with requirements for its keys; a key that the pod lacks says nothing, and
    without a selector there is nothing to add to, which validation tells."""
    selector = term.get("labelSelector")
    added = [
        {"key": key, "operator": operator, "values": [labels[key]]}
        for name, operator in _OPERATORS
        for key in term.get(name) or ()
        if key in labels
    ]
    if selector is None or not added:
        return term
    expressions = [*(selector.get("matchExpressions") or ()), *added]
    return {**term, "labelSelector": {**selector, "matchExpressions": expressions}}
