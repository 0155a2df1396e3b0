"""Device taint eviction: pods leave devices with a NoExecute taint that their claims do not
tolerate, at once or when the toleration's time is over (pkg/controller/devicetainteviction,
KEP-5055). Each rule is told what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import ClassVar, Final

import msgspec

from steersman.client.interface import Views
from steersman.controllers import conditions, device_taint_status
from steersman.controllers.device_taint_status import Counts
from steersman.model import resource_claims
from steersman.model.kind import Document
from steersman.model.kinds.devicetaintrule import DEVICETAINTRULE, DeviceTaintRule, is_for
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.resourceclaim import RESOURCECLAIM, AllocatedDevice, ResourceClaim
from steersman.model.kinds.resourceslice import RESOURCESLICE, ResourceSlice
from steersman.model.ref import Ref
from steersman.model.times import seconds
from steersman.model.types.device import DeviceTaint, tolerates
from steersman.reconcile.actions import Action, Delete, Patch, Tell, act
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

REASON: Final = "DeletionByDeviceTaintManager"
MESSAGE: Final = "Device Taint manager: deleting due to NoExecute taint"
EVENT: Final = "DeviceTaintManagerEviction"
BY_POOL: Final = "device pool"  # index: claims, and slices, by DRIVER/POOL


def by_pool(claim: ResourceClaim) -> tuple[str, ...]:
    """Index values: the pools of what is allocated to a claim."""
    return tuple({f"{one.driver}/{one.pool}" for one in results(claim)})


def pool_of(found: ResourceSlice) -> tuple[str, ...]:
    """Index values: the pool of a slice."""
    return (f"{found.spec.driver}/{found.spec.pool.name}",)


def results(claim: ResourceClaim) -> tuple[AllocatedDevice, ...]:
    """Returns what is allocated to a claim."""
    allocation = claim.status.allocation
    return allocation.devices.results if allocation is not None else ()


def evicting(
    result: AllocatedDevice, slices: Iterable[ResourceSlice], rules: Iterable[DeviceTaintRule]
) -> Iterator[DeviceTaint]:
    """Yields the taints of a device that drive pods away. Of its pool's `slices` those of the
    highest generation count."""
    found = list(slices)
    newest = max((one.spec.pool.generation for one in found), default=0)
    taints = [
        taint
        for one in found
        if one.spec.pool.generation == newest
        for device in one.spec.devices
        if device.name == result.device
        for taint in device.taints
    ]
    identity = (result.driver, result.pool, result.device)
    taints += [rule.spec.taint for rule in rules if is_for(rule, *identity)]
    return (taint for taint in taints if taint.effect == "NoExecute")


def due(result: AllocatedDevice, taints: Iterable[DeviceTaint], now: float) -> float | None:
    """Returns when a pod must leave a device, None for never."""
    times = []
    for taint in taints:
        since = seconds(taint.time_added) or now
        bearing = [one for one in result.tolerations if tolerates(one, taint)]
        limits = [one.toleration_seconds for one in bearing if one.toleration_seconds is not None]
        if not bearing:
            times.append(since)
        elif limits:
            times.append(since + max(0, min(limits)))
    return min(times, default=None)


def plan(pod: Pod, now: float) -> list[Action]:
    """Returns what evicts a pod: the event, the condition that says why, the deletion."""
    ref, metadata = POD.ref(*pod.key), pod.metadata
    found = conditions.documents(pod.status.conditions)
    made: Document = conditions.make("DisruptionTarget", "True", REASON, MESSAGE, now)
    patch = {"status": {"conditions": conditions.put(found, made)}}
    return [
        Tell(pod, EVENT, "Marking for deletion"),
        Patch(ref, patch, "status", metadata.uid, metadata.revision),
        Delete(ref, metadata.uid),
    ]


def _pods_of(claims: Iterable[ResourceClaim]) -> Iterable[Ref]:
    return dict.fromkeys(
        POD.ref(claim.metadata.namespace, consumer.name)
        for claim in claims
        for consumer in claim.status.reserved_for
        if resource_claims.is_pod(consumer)
    )


def _rules_of(views: Views, claims: Iterable[ResourceClaim | None]) -> Iterator[Ref]:
    """Yields the rules that taint what is allocated to claims."""
    for rule in views.of(DEVICETAINTRULE).list():
        if any(_taints(rule, claim) for claim in claims if claim is not None):
            yield DEVICETAINTRULE.ref(*rule.key)


def _taints(rule: DeviceTaintRule, claim: ResourceClaim) -> bool:
    return any(is_for(rule, one.driver, one.pool, one.device) for one in results(claim))


def _of_pod(views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
    """Maps a pod with claims that is newly bound to a node to itself, and one that comes there or
    leaves to the rules that taint its devices."""
    pod = new if new is not None else old
    assert pod is not None
    if not pod.spec.node_name or not pod.spec.resource_claims:
        return
    known = old is not None and old.spec.node_name and old.metadata.uid == pod.metadata.uid
    if new is not None and not known:
        yield POD.ref(*pod.key)
    before, after = (None if it is None else _leaves(it) for it in (old, new))
    if not known or before != after:
        refs = (
            RESOURCECLAIM.ref(pod.metadata.namespace, it) for it in resource_claims.names_of(pod)
        )
        yield from _rules_of(views, [views.of(RESOURCECLAIM).get(ref) for ref in refs])


def _leaves(pod: Pod) -> bool:
    return resource_claims.is_done(pod) or pod.metadata.deletion_timestamp is not None


def _of_claim(views: Views, old: ResourceClaim | None, new: ResourceClaim | None) -> Iterable[Ref]:
    """Maps a claim to the pods for which it is reserved, and to the rules that taint its
    devices."""
    if new is not None:
        yield from _pods_of((new,))
    yield from _rules_of(views, (old, new))


def _of_slice(views: Views, old: ResourceSlice | None, new: ResourceSlice | None) -> Iterable[Ref]:
    """Maps a slice to the pods that have devices of its pool."""
    found = new if new is not None else old
    assert found is not None
    return _pods_of(views.of(RESOURCECLAIM).by(BY_POOL, *pool_of(found)))


def _of_rule(
    views: Views, old: DeviceTaintRule | None, new: DeviceTaintRule | None
) -> Iterable[Ref]:
    """Maps a rule to the pods that have devices which it taints or tainted, and to itself."""
    rules = [rule for rule in (old, new) if rule is not None]
    if len(rules) == 2 and rules[0].spec == rules[1].spec:
        return
    yield from _pods_of(
        claim
        for claim in views.of(RESOURCECLAIM).list()
        if any(_taints(rule, claim) for rule in rules)
    )
    yield DEVICETAINTRULE.ref(*rules[-1].key)


class DeviceTaintEvictionController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "device-taint-eviction-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(POD, _of_pod),
        Watch(RESOURCECLAIM, _of_claim, {BY_POOL: by_pool}),
        Watch(RESOURCESLICE, _of_slice, {BY_POOL: pool_of}),
        Watch(DEVICETAINTRULE, _of_rule),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("pods",), ("delete",)),
        Rule("", ("pods/status",), ("patch",)),
        Rule("resource.k8s.io", ("devicetaintrules/status",), ("patch",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._pods = given.views.of(POD)
        self._claims = given.views.of(RESOURCECLAIM)
        self._slices = given.views.of(RESOURCESLICE)
        self._rules = given.views.of(DEVICETAINTRULE)
        self._timed: set[str] = set()  # uids of pods whose time is running
        self._evicted: Counter[str] = Counter()  # pods that went, by the uids of rules

    async def reconcile(self, ref: Ref) -> Done:
        """Evicts one pod when its time has come, or tells what came of one rule."""
        if ref.kind == DEVICETAINTRULE.resource:
            return await self._tell(ref)
        return await self._evict(ref)

    async def _evict(self, ref: Ref) -> Done:
        pod: Pod | None = self._pods.get(ref)
        if pod is None:
            return Done()
        uid, now = pod.metadata.uid, self._given.world.now()
        ended = resource_claims.is_done(pod) or pod.metadata.deletion_timestamp is not None
        when = None if ended or not pod.spec.node_name else self._due(pod, now)
        if when is None:
            if uid in self._timed and not ended:
                self._given.events.normal(pod, EVENT, "Cancelling deletion")
            self._timed.discard(uid)
            return Done()
        if when > now:
            self._timed.add(uid)
            return Done(when - now)
        self._timed.discard(uid)
        rules = [
            it for it in self._rules.list() if self._due(pod, now, [it], tainted=False) is not None
        ]
        await act(self._given.client, self._given.events, plan(pod, now))
        self._evicted.update(rule.metadata.uid for rule in rules)
        return Done()

    async def _tell(self, ref: Ref) -> Done:
        rule: DeviceTaintRule | None = self._rules.get(ref)
        if rule is None:
            return Done()
        now = self._given.world.now()
        if device_taint_status.is_told(rule):
            return Done()
        if left := device_taint_status.stands_for(rule, now):
            return Done(left)
        action = device_taint_status.plan(rule, self._count(rule, now), now)
        await act(self._given.client, self._given.events, [action] if action else [])
        return Done()

    def _count(self, rule: DeviceTaintRule, now: float) -> Counts:
        """Counts what a rule drives away; of one without effect, what it would."""
        evicted, effect = self._evicted[rule.metadata.uid], rule.spec.taint.effect
        if effect not in ("None", "NoExecute"):
            return Counts(evicted=evicted)
        taint = msgspec.structs.replace(rule.spec.taint, effect="NoExecute")
        spec = msgspec.structs.replace(rule.spec, taint=taint)
        acting = msgspec.structs.replace(rule, spec=spec)
        going = [
            pod
            for pod in self._with_claims(rule)
            if pod.spec.node_name
            and not _leaves(pod)
            and self._due(pod, now, [acting], tainted=False) is not None
        ]
        allocated = sum(
            is_for(rule, one.driver, one.pool, one.device)
            for claim in self._claims.list()
            for one in results(claim)
        )
        spaces = {pod.metadata.namespace for pod in going}
        return Counts(self._published(rule), allocated, len(going), len(spaces), evicted)

    def _with_claims(self, rule: DeviceTaintRule) -> Iterator[Pod]:
        refs = _pods_of(claim for claim in self._claims.list() if _taints(rule, claim))
        return (pod for ref in refs if (pod := self._pods.get(ref)) is not None)

    def _published(self, rule: DeviceTaintRule) -> int:
        """Counts the devices of a rule in the newest slices of every pool."""
        newest: dict[tuple[str, str], int] = {}
        slices = tuple(self._slices.list())
        for one in slices:
            pool = one.spec.driver, one.spec.pool.name
            newest[pool] = max(newest.get(pool, 0), one.spec.pool.generation)
        return sum(
            is_for(rule, one.spec.driver, one.spec.pool.name, device.name)
            for one in slices
            if one.spec.pool.generation == newest[one.spec.driver, one.spec.pool.name]
            for device in one.spec.devices
        )

    def _due(
        self,
        pod: Pod,
        now: float,
        rules: Iterable[DeviceTaintRule] | None = None,
        *,
        tainted: bool = True,
    ) -> float | None:
        """Returns when a pod must go because of all rules, or of some; `tainted` where the taints
        of devices themselves count too."""
        rules = self._rules.list() if rules is None else rules
        times = (
            due(result, evicting(result, self._of_pool(result) if tainted else (), rules), now)
            for claim in self._reserved(pod)
            for result in results(claim)
        )
        return min((time for time in times if time is not None), default=None)

    def _of_pool(self, result: AllocatedDevice) -> Iterable[ResourceSlice]:
        return self._slices.by(BY_POOL, f"{result.driver}/{result.pool}")

    def _reserved(self, pod: Pod) -> Iterator[ResourceClaim]:
        for name in resource_claims.names_of(pod):
            claim = self._claims.get(RESOURCECLAIM.ref(pod.metadata.namespace, name))
            if claim is not None and resource_claims.is_reserved(pod, claim):
                yield claim
