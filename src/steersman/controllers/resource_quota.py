"""ResourceQuota: what is enforced and what is used of it, written into its status.

Nobody is refused by it: the server counts for itself. Follows pkg/controller/resourcequota, but
for asking again from time to time: what is used follows the views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any, ClassVar

from steersman.client.interface import Views
from steersman.model import builtin
from steersman.model.kind import Kind
from steersman.model.kinds.deviceclass import DEVICECLASS, DeviceClass
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.resourceclaim import RESOURCECLAIM, ResourceClaim
from steersman.model.kinds.resourcequota import RESOURCEQUOTA, ResourceQuota
from steersman.model.quantity import NANO, Quantity
from steersman.model.quota import device_claims
from steersman.model.quota.around import Around
from steersman.model.quota.measure import BY_USE, count_names
from steersman.model.quota.tally import Tally
from steersman.model.ref import Ref, Resource
from steersman.model.resource_claims import is_extended
from steersman.model.types.resources import add
from steersman.reconcile.actions import Patch, act_one, status
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

BY_NAMESPACE = "namespace"  # index: quotas by the namespace that they bound


@cache
def measured() -> dict[Resource, Kind]:
    """Returns the kinds of which it matters what an object says."""
    return {kind.resource: kind for kind in builtin.all() if kind.resource in BY_USE}


@cache
def counted() -> dict[str, Kind]:
    """Returns the kinds that are only counted, by the names of their bounds."""
    return {
        name: kind
        for kind in builtin.all()
        if kind.stored and kind.namespaced and kind.resource not in BY_USE
        for name in count_names(kind.resource)
    }


def plan(quota: ResourceQuota, used: Mapping[str, Quantity]) -> Patch | None:
    """Returns what makes the status of a quota true, None where it is."""
    hard = dict(quota.spec.hard)
    shown = {name: str(used[name]) for name in hard if name in used}
    before = quota.status
    if (hard, shown) == (dict(before.hard), dict(before.used)):
        return None
    made = {
        "hard": {**dict.fromkeys(before.hard.keys() - hard), **hard},
        "used": {**dict.fromkeys(before.used.keys() - shown), **shown},
    }
    return status(RESOURCEQUOTA.ref(*quota.key), made, uid=quota.metadata.uid)


def _namespace(quota: ResourceQuota) -> tuple[str, ...]:
    return (quota.metadata.namespace,)


def _quotas(views: Views, old: Any | None, new: Any | None) -> Iterable[Ref]:
    """Maps an object to the quotas of its namespace."""
    found = new if new is not None else old
    assert found is not None
    quotas = views.of(RESOURCEQUOTA).by(BY_NAMESPACE, found.metadata.namespace)
    return [RESOURCEQUOTA.ref(*quota.key) for quota in quotas]


def _number(views: Views, old: Any | None, new: Any | None) -> Iterable[Ref]:
    """Maps an object that came or went to the quotas of its namespace."""
    return _quotas(views, old, new) if old is None or new is None else ()


def _custom(kind: Kind) -> Watch | None:
    return Watch(kind, _number, metadata=True) if kind.namespaced else None


def _all(views: Views, _old: DeviceClass | None, _new: DeviceClass | None) -> Iterable[Ref]:
    """Maps a class to the quotas that bound what it may meet."""
    for quota in views.of(RESOURCEQUOTA).list():
        if any(map(device_claims.measures, quota.spec.hard)):
            yield RESOURCEQUOTA.ref(*quota.key)


def around(views: Views) -> Around:
    """Returns ways to look up what the usage of claims rests on."""
    classes, pods, claims = (views.of(kind) for kind in (DEVICECLASS, POD, RESOURCECLAIM))
    return Around(
        lambda name: classes.get(DEVICECLASS.ref("", name)),
        lambda namespace, name: pods.get(POD.ref(namespace, name)),
        lambda namespace: filter(is_extended, claims.list(namespace)),
    )


class Sums:
    """What is used of one quota of what its kind measures by use."""

    def __init__(self, quota: ResourceQuota, views: Views, around: Around) -> None:
        self.spec = quota.spec
        self.uid = quota.metadata.uid
        self.tallies = {
            resource: Tally(quota.spec, measure, around) for resource, measure in BY_USE.items()
        }
        for resource, tally in self.tallies.items():
            for found in views.of(measured()[resource]).list(quota.metadata.namespace):
                tally.put(found.metadata.name, found)

    def is_of(self, quota: ResourceQuota) -> bool:
        """Says whether a quota is still the one that was summed up for."""
        return (self.uid, self.spec) == (quota.metadata.uid, quota.spec)


class ResourceQuotaController:
    """See `reconcile.loop.Controller`."""

    custom = staticmethod(_custom)

    name: ClassVar[str] = "resourcequota-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(RESOURCEQUOTA, partial(to_self, kind=RESOURCEQUOTA), {BY_NAMESPACE: _namespace}),
        Watch(RESOURCEQUOTA, _number),
        *(Watch(kind, _quotas) for kind in measured().values()),
        Watch(DEVICECLASS, _all),
        *(
            Watch(kind, _number, metadata=True)
            for kind in {kind.resource: kind for kind in counted().values()}.values()
            if kind is not RESOURCEQUOTA
        ),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("resourcequotas/status",), ("patch", "update")),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._views = given.views
        self._quotas = given.views.of(RESOURCEQUOTA)
        self._sums: dict[str, dict[str, Sums]] = {}
        self._around = around(given.views)
        for resource, kind in measured().items():
            given.views.of(kind).listen(partial(self._hear, resource))
        given.views.of(DEVICECLASS).listen(self._hear_class)

    async def reconcile(self, ref: Ref) -> Done:
        """Writes the status of one quota."""
        quota: ResourceQuota | None = self._quotas.get(ref)
        if quota is None:
            self._forget(ref)
            return Done()
        now = self._given.world.now()
        sums = self._sums_of(quota)
        used = dict(self._counts(quota))
        for tally in sums.tallies.values():
            add(used, tally.used(now))
        if (patch := plan(quota, used)) is not None:
            await act_one(self._given.client, self._given.events, patch)
        ends = [end for tally in sums.tallies.values() if (end := tally.changes_at()) is not None]
        return Done(max(1.0, min(ends) - now) if ends else None)

    def _counts(self, quota: ResourceQuota) -> Iterable[tuple[str, Quantity]]:
        custom = {
            name: kind
            for kind in self._views.custom().values()
            if kind.namespaced
            for name in count_names(kind.resource)
        }
        for name in quota.spec.hard:
            kind = counted().get(name) or custom.get(name)
            if kind is not None and _is_plain(quota):
                view = self._views.metadata_of(kind)
                number = sum(1 for _ in view.list(quota.metadata.namespace))
                yield name, Quantity(number * NANO)
            elif kind is not None:
                yield name, Quantity(0)

    def _sums_of(self, quota: ResourceQuota) -> Sums:
        filed = self._sums.setdefault(quota.metadata.namespace, {})
        sums = filed.get(quota.metadata.name)
        if sums is None or not sums.is_of(quota):
            sums = filed[quota.metadata.name] = Sums(quota, self._views, self._around)
        return sums

    def _forget(self, ref: Ref) -> None:
        filed = self._sums.get(ref.namespace, {})
        filed.pop(ref.name, None)
        if not filed:
            self._sums.pop(ref.namespace, None)

    def _hear(self, resource: Resource, old: Any | None, new: Any | None) -> None:
        """Takes a change into the sums of its namespace."""
        found = new if new is not None else old
        assert found is not None
        for sums in self._sums.get(found.metadata.namespace, {}).values():
            sums.tallies[resource].put(found.metadata.name, new)
        if resource == POD.resource and any(map(_knows_claim, (old, new))):
            self._measure_again(found.metadata.namespace, is_extended)

    def _hear_class(self, _old: DeviceClass | None, _new: DeviceClass | None) -> None:
        for namespace in self._sums:
            self._measure_again(namespace, None)

    def _measure_again(self, namespace: str, which: Callable[[ResourceClaim], bool] | None) -> None:
        """Measures claims whose usage may be another now, though they are the same."""
        for sums in self._sums.get(namespace, {}).values():
            for claim in filter(which, self._views.of(RESOURCECLAIM).list(namespace)):
                sums.tallies[RESOURCECLAIM.resource].put(claim.metadata.name, claim)


def _knows_claim(pod: Pod | None) -> bool:
    return pod is not None and pod.status.extended_resource_claim_status is not None


def _is_plain(quota: ResourceQuota) -> bool:
    """Says whether a quota has no scopes: what is only counted is in none."""
    selector = quota.spec.scope_selector
    return not quota.spec.scopes and not (selector and selector.match_expressions)
