"""Which objects a quota is about: its scopes, all of which must hold
(pkg/quota/v1/generic Matches)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from steersman.model.kinds.resourcequota import ResourceQuotaSpec, ScopeRequirement

InScope = Callable[[ScopeRequirement, Any], bool]


def requirements(spec: ResourceQuotaSpec) -> Iterator[ScopeRequirement]:
    """Yields what must hold of an object, bare scopes and selected ones alike."""
    for scope in spec.scopes:
        yield ScopeRequirement(scope, "Exists")
    if spec.scope_selector is not None:
        yield from spec.scope_selector.match_expressions


def never(_requirement: ScopeRequirement, _found: Any) -> bool:
    """Says that objects of a kind are in no scope."""
    return False


def selects(requirement: ScopeRequirement, values: Collection[str]) -> bool:
    """Says whether a requirement on names of classes holds for any of an object's; an object
    without one is what NotIn and DoesNotExist select."""
    if requirement.operator == "Exists":
        return bool(values)
    if requirement.operator == "DoesNotExist":
        return not values
    inside = [value in requirement.values for value in values]
    if requirement.operator == "In":
        return any(inside)
    return not values or not all(inside)
