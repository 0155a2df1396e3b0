"""How the objects of each resource type are measured for quotas: pods, claims (on volumes and on
devices) and Services by what they use, everything else by number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM, PersistentVolumeClaim
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.resourceclaim import RESOURCECLAIM, ResourceClaim
from steersman.model.kinds.resourcequota import ResourceQuotaSpec
from steersman.model.kinds.service import SERVICE, Service
from steersman.model.quantity import NANO, Quantity
from steersman.model.quota import claims, device_claims, pods, services
from steersman.model.quota.around import Around
from steersman.model.quota.scopes import InScope, never, requirements
from steersman.model.ref import Resource
from steersman.model.types.resources import Amounts
from steersman.model.view import Object

# counted by their bare name too, for historical reasons (legacyObjectCountAliases)
_BARE: Final = ("configmaps", "resourcequotas", "replicationcontrollers", "secrets")
# Events are not, in either group (DefaultIgnoredResources)
UNCOUNTED: Final = (Resource("", "events"), Resource("events.k8s.io", "events"))


class Measure(msgspec.Struct, frozen=True):
    """How one resource type is measured.

    view:     what is read of an object
    measures: says whether a bound of a name is about it
    usage:    returns what one object (its view) uses
    in_scope: says whether an object is in a scope
    ends_at:  returns when an object counts no longer though it is there, None for never
    missing:  returns what an object must name and does not; ""
    """

    view: type[Any]
    measures: Callable[[str], bool]
    usage: Callable[[Any, Around], Amounts]
    in_scope: InScope = never
    ends_at: Callable[[Any], float | None] = lambda _found: None
    missing: Callable[[Any, Iterable[str]], str] = lambda _found, _bounded: ""

    def covers(self, spec: ResourceQuotaSpec, found: Any) -> bool:
        """Says whether an object is one that a quota is about."""
        return all(self.in_scope(one, found) for one in requirements(spec))

    def bounded(self, hard: Iterable[str]) -> list[str]:
        """Returns which bounds are about this resource type."""
        return [name for name in hard if self.measures(name)]


def _alone(usage: Callable[[Any], Amounts]) -> Callable[[Any, Around], Amounts]:
    return lambda found, _around: usage(found)


BY_USE: Final = {
    POD.resource: Measure(
        Pod, pods.measures, _alone(pods.usage), pods.in_scope, pods.ends_at, pods.missing
    ),
    PERSISTENTVOLUMECLAIM.resource: Measure(
        PersistentVolumeClaim, claims.measures, _alone(claims.usage), claims.in_scope
    ),
    SERVICE.resource: Measure(Service, services.measures, _alone(services.usage)),
    RESOURCECLAIM.resource: Measure(ResourceClaim, device_claims.measures, device_claims.usage),
}


def count_names(resource: Resource) -> tuple[str, ...]:
    """Returns the names by which the number of objects of a resource type is bounded."""
    if resource in UNCOUNTED:
        return ()
    name = f"count/{resource}"
    return (name, resource.plural) if not resource.group and resource.plural in _BARE else (name,)


def measure_of(resource: Resource) -> Measure:
    """Returns how a resource type is measured."""
    if (known := BY_USE.get(resource)) is not None:
        return known
    names = count_names(resource)
    one = Quantity(NANO)
    return Measure(Object, names.__contains__, lambda _found, _around: dict.fromkeys(names, one))
