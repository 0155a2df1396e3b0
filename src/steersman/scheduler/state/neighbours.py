"""Pods as each other's neighbours: which pods a term of affinity means, and who bears terms.

Pods with the same namespace and labels are one flock, so that a selector is asked once for all of
them. Follows pkg/scheduler/framework/types.go (AffinityTerm) and KEP-3633 (matchLabelKeys).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from steersman.model import selectors
from steersman.model.selectors import Selector, SelectorError
from steersman.model.types import selector as selecting
from steersman.model.types.scheduling import Affinity, PodAffinityTerm
from steersman.model.types.selector import LabelSelector

Labels = Mapping[str, str]
Namespaces = Mapping[str, Labels]  # the labels of each namespace


class Flock(msgspec.Struct, frozen=True, eq=False):
    """Pods with one namespace and the same labels, and where they are; `leaving` pods are being
    deleted."""

    namespace: str
    labels: Labels
    leaving: bool = False
    places: Counter[int] = msgspec.field(default_factory=Counter)


class Term(msgspec.Struct, frozen=True):
    """One term of affinity or anti-affinity, understood."""

    key: str
    namespaces: frozenset[str]
    namespace_selector: Selector
    selector: Selector

    def takes(self, flock: Flock, namespaces: Namespaces) -> bool:
        """Says whether the term means the pods of a flock."""
        if flock.namespace not in self.namespaces:
            if self.namespace_selector.none:
                return False
            if not self.namespace_selector(namespaces.get(flock.namespace, {})):
                return False
        return self.selector(flock.labels)


class Rules(msgspec.Struct, frozen=True):
    """What a pod wants of its neighbours; the weights of what it would rather avoid are below 0."""

    near: tuple[Term, ...] = ()
    apart: tuple[Term, ...] = ()
    preferred: tuple[tuple[Term, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.near or self.apart or self.preferred)


NO_RULES = Rules()


def rules_of(affinity: Affinity | None, namespace: str, labels: Labels) -> Rules:
    """Returns the rules of a pod; a broken selector selects nothing."""
    if affinity is None:
        return NO_RULES
    near, apart = affinity.pod_affinity, affinity.pod_anti_affinity

    def terms(found: Iterable[PodAffinityTerm]) -> tuple[Term, ...]:
        return tuple(term_of(term, namespace, labels) for term in found)

    preferred = [
        (term_of(item.pod_affinity_term, namespace, labels), sign * item.weight)
        for side, sign in ((near, 1), (apart, -1))
        if side is not None
        for item in side.preferred_during_scheduling_ignored_during_execution
    ]
    return Rules(
        terms(near.required_during_scheduling_ignored_during_execution if near else ()),
        terms(apart.required_during_scheduling_ignored_during_execution if apart else ()),
        tuple(preferred),
    )


def term_of(term: PodAffinityTerm, namespace: str, labels: Labels) -> Term:
    """Understands a term of a pod with these labels; without namespaces it means the pod's own."""
    namespaces = frozenset(term.namespaces)
    if not namespaces and term.namespace_selector is None:
        namespaces = frozenset((namespace,))
    selector = selector_of(term.label_selector)
    selector = with_keys(selector, term.match_label_keys, labels)
    return Term(
        term.topology_key,
        namespaces,
        selector_of(term.namespace_selector),
        with_keys(selector, term.mismatch_label_keys, labels, "notin"),
    )


def selector_of(given: LabelSelector | None) -> Selector:
    """Understands a selector; none and broken ones select nothing."""
    try:
        return selecting.selector_of(given)
    except SelectorError:
        return selectors.nothing()


def with_keys(
    selector: Selector, keys: Iterable[str], labels: Labels, operator: selectors.Operator = "in"
) -> Selector:
    """Adds what a pod's own values of some labels demand; keys that it lacks are left out."""
    added = [selectors.Requirement(key, operator, (labels[key],)) for key in keys if key in labels]
    fresh = [item for item in added if item not in selector.requirements]
    if selector.none or not fresh:
        return selector
    return Selector((*selector.requirements, *fresh))
