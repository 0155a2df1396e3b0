"""What a file tells ResourceQuota: of which resources nothing may be used where no quota covers it
(limitedResources).

Follows apiserver/pkg/admission/plugin/resourcequota.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from steersman.model import causes
from steersman.model.errors import Cause
from steersman.model.gotext import aggregate
from steersman.model.kinds.resourcequota import ResourceQuotaSpec, ScopeRequirement
from steersman.model.quota.around import Around
from steersman.model.quota.measure import Measure
from steersman.model.quota.scopes import requirements
from steersman.model.ref import Resource
from steersman.model.types.resources import ZERO, Amounts

# kind -> versions of the configuration
KINDS: Final = {
    "ResourceQuotaConfiguration": ("apiserver.config.k8s.io/v1",),
    "Configuration": (
        "resourcequota.admission.k8s.io/v1beta1",
        "resourcequota.admission.k8s.io/v1alpha1",
    ),
}


class Limited(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A resource of which what is named so, and what is of such scopes, must be covered."""

    resource: str = ""
    api_group: str = ""
    match_contains: tuple[str, ...] = ()
    match_scopes: tuple[ScopeRequirement, ...] = ()


class _Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    kind: str = ""
    api_version: str = ""
    limited_resources: tuple[Limited, ...] = ()


class Uncovered(Exception):
    """No quota covers what is asked for; `by_scope` says that it is for a scope."""

    def __init__(self, why: str, *, by_scope: bool) -> None:
        self.by_scope = by_scope
        super().__init__(why)


def parse(document: Any) -> Sequence[Limited]:
    """Returns what a configuration says, None for none; raises ValueError."""
    if document is None:
        return ()
    try:
        found = msgspec.convert(document, _Configuration)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if found.api_version not in KINDS.get(found.kind, ()):
        kind, versions = next(iter(KINDS.items()))
        raise ValueError(f"it is no {kind} of {versions[0]}")
    if wrong := list(_wrong(found.limited_resources)):
        raise ValueError(aggregate(f"{cause.field}: {cause.message}" for cause in wrong))
    return found.limited_resources


def _wrong(given: Sequence[Limited]) -> Iterator[Cause]:
    for index, one in enumerate(given):
        if not one.resource:
            yield causes.required(f"limitedResources[{index}].resource")


class About(msgspec.Struct, frozen=True):
    """An object that is to be written, and how it is measured."""

    resource: Resource
    measure: Measure
    found: Any
    around: Around


def check(limited: Sequence[Limited], about: About, quotas: Collection[ResourceQuotaSpec]) -> None:
    """Raises Uncovered where an object uses what no quota of its namespace covers."""
    measure, found, around = about.measure, about.found, about.around
    own = [one for one in limited if (one.api_group, one.resource) == about.resource]
    wanted = set(_names(measure.usage(found, around), own)) if own else set()
    covered = {
        name
        for spec in quotas
        if measure.covers(spec, found)
        for name in measure.bounded(spec.hard)
    }
    if missing := sorted(wanted - covered):
        raise Uncovered(f"insufficient quota to consume: {','.join(missing)}", by_scope=False)
    scopes = [
        scope for one in limited for scope in one.match_scopes if measure.in_scope(scope, found)
    ]
    known = {
        scope.scope_name
        for spec in quotas
        for scope in requirements(spec)
        if measure.in_scope(scope, found)
    }
    if open_ := [scope for scope in scopes if scope.scope_name not in known]:
        told = " ".join(map(_shown, open_))
        why = f"insufficient quota to match these scopes: [{told}]"
        raise Uncovered(why, by_scope=True)


def _names(used: Amounts, limited: Iterable[Limited]) -> Iterator[str]:
    """Yields what is used and limited by a part of its name."""
    for one in limited:
        for name, amount in used.items():
            if amount > ZERO and any(part in name for part in one.match_contains):
                yield name


def _shown(scope: ScopeRequirement) -> str:
    return f"{{{scope.scope_name} {scope.operator} [{' '.join(scope.values)}]}}"
