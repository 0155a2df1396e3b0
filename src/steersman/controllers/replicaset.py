"""ReplicaSet: as many pods as asked for, by creating, deleting, adopting and releasing.

Follows pkg/controller/replicaset. No expectations: the loop waits until the views hold what the
last call wrote.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

import msgspec

from steersman.controllers import conditions, ownership, pods
from steersman.controllers.pod_control import PodControl
from steersman.model.errors import APIError
from steersman.model.kind import Document, Kind
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.replicaset import REPLICASET, ReplicaSet
from steersman.model.ref import Ref
from steersman.model.times import seconds
from steersman.reconcile.actions import Create, Patch, act_one, slow_start, status, together
from steersman.reconcile.loop import Done, Given, rest_after
from steersman.reconcile.rules import Rule, Watch, to_self

BURST = 500  # upstream BurstReplicas: pods created or deleted in one call
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
HASH_LABEL = "pod-template-hash"


class Plan(msgspec.Struct, frozen=True):
    """What one call does: pods that are created of one template, or pods that go."""

    create: Create | None = None
    count: int = 0
    deletes: tuple[Pod, ...] = ()


def plan(
    owner: ReplicaSet,
    claimed: Sequence[Pod],
    related: Iterable[Pod],
    now: float,
    kind: Kind = REPLICASET,
) -> Plan:
    """Decides what to create or delete; `claimed` are the pods it manages, `related` those of
    all sets of the same deployment (they say which nodes are crowded)."""
    if owner.metadata.deletion_timestamp is not None:
        return Plan()
    active = [pod for pod in claimed if pods.is_active(pod)]
    missing = owner.spec.replicas - len(active)
    if missing > 0:
        return Plan(create=_new_pod(owner, kind), count=min(missing, BURST))
    if missing < 0:
        doomed = choose(active, related, min(-missing, BURST), now)
        return Plan(deletes=tuple(doomed))
    return Plan()


def _new_pod(owner: ReplicaSet, kind: Kind) -> Create:
    metadata = owner.metadata
    return pods.from_template(
        msgspec.json.decode(owner.spec.template),
        namespace=metadata.namespace,
        prefix=f"{metadata.name}-",
        owner=ownership.reference(owner, kind),
    )


def choose(active: Sequence[Pod], related: Iterable[Pod], count: int, now: float) -> list[Pod]:
    """Returns the pods to delete first (upstream's ActivePodsWithRanks)."""
    if count >= len(active):
        return list(active)
    crowd = Counter(pod.spec.node_name for pod in related if pods.is_active(pod))
    return sorted(active, key=lambda pod: _order(pod, crowd[pod.spec.node_name], now))[:count]


def _order(pod: Pod, crowd: int, now: float) -> tuple[Any, ...]:
    """Returns a key that sorts what should go first to the front; ages count by their logarithm
    so that the choice among equals is by chance (KEP-2185)."""
    restarts = max((item.restart_count for item in pod.status.container_statuses), default=0)
    return (
        bool(pod.spec.node_name),
        pods.PHASES.get(pod.status.phase, 0),
        pods.is_ready(pod),
        deletion_cost(pod),
        -crowd,
        _age(pods.ready_since(pod), now),
        -restarts,
        _age(seconds(pod.metadata.creation_timestamp), now),
        pod.metadata.uid,
    )


def deletion_cost(pod: Pod) -> int:
    """Returns a pod's deletion cost; what is no 32-bit number counts as 0."""
    text = pod.metadata.annotations.get(DELETION_COST, "0")
    try:
        cost = int(text)
    except ValueError:
        return 0
    return cost if -(2**31) <= cost < 2**31 else 0


def _age(since: float, now: float) -> int:
    nanos = (now - since) * 1e9
    return int(math.log2(nanos)) if nanos >= 1 else -1


def plan_status(
    owner: ReplicaSet,
    claimed: Sequence[Pod],
    failure: tuple[str, str] | None,
    now: float,
    kind: Kind = REPLICASET,
) -> Patch | None:
    """Returns the patch of the status, None where it is right; `failure` is reason, message."""
    new = _status(owner, claimed, failure, now)
    if kind is not REPLICASET:  # the older kind's status does not know of pods on their way out
        del new["terminatingReplicas"]
    changed = conditions.changes(_old_status(owner), new)
    if not changed:
        return None
    return status(
        kind.ref(*owner.key), changed, uid=owner.metadata.uid, revision=owner.metadata.revision
    )


def _status(
    owner: ReplicaSet, claimed: Sequence[Pod], failure: tuple[str, str] | None, now: float
) -> Document:
    template = msgspec.json.decode(owner.spec.template).get("metadata") or {}
    labels = (template.get("labels") or {}).items()
    active = [pod for pod in claimed if pods.is_active(pod)]
    wait = owner.spec.min_ready_seconds
    counts = {
        "fullyLabeledReplicas": sum(labels <= pod.metadata.labels.items() for pod in active),
        "readyReplicas": sum(map(pods.is_ready, active)),
        "availableReplicas": sum(pods.is_available(pod, wait, now) for pod in active),
    }
    new: Document = {"replicas": len(active), **{key: n for key, n in counts.items() if n}}
    new["observedGeneration"] = owner.metadata.generation
    new["terminatingReplicas"] = sum(map(pods.is_going, claimed))
    if found := _conditions(owner, failure, now):
        new["conditions"] = found
    return new


def _conditions(owner: ReplicaSet, failure: tuple[str, str] | None, now: float) -> list[Document]:
    found = conditions.documents(owner.status.conditions)
    if failure is None:
        return conditions.without(found, "ReplicaFailure")
    if conditions.find(found, "ReplicaFailure"):
        return found
    return conditions.put(found, conditions.make("ReplicaFailure", "True", *failure, now))


def _old_status(owner: ReplicaSet) -> Document:
    old = owner.status
    counts = {
        "fullyLabeledReplicas": old.fully_labeled_replicas,
        "readyReplicas": old.ready_replicas,
        "availableReplicas": old.available_replicas,
        "observedGeneration": old.observed_generation,
    }
    found: Document = {"replicas": old.replicas, **{key: n for key, n in counts.items() if n}}
    if old.terminating_replicas is not None:
        found["terminatingReplicas"] = old.terminating_replicas
    if old.conditions:
        found["conditions"] = conditions.documents(old.conditions)
    return found


def again(owner: ReplicaSet, claimed: Iterable[Pod], now: float) -> float | None:
    """Returns the seconds until the next pod becomes available without anything happening."""
    waits = [pods.available_in(pod, owner.spec.min_ready_seconds, now) for pod in claimed]
    return min((wait for wait in waits if wait), default=None)


class Replication:
    """What both kinds of owner do with their pods; see `reconcile.loop.Controller`."""

    kind: ClassVar[Kind] = REPLICASET

    def __init__(self, given: Given) -> None:
        self._client = given.client
        self._events = given.events
        self._world = given.world
        self._control = PodControl(given.client, given.events, self.kind)
        self._sets = given.views.of(self.kind)
        self._pods = given.views.of(POD)

    def owner(self, ref: Ref) -> ReplicaSet | None:
        """Returns the owner of a key in the form that plans read."""
        found: ReplicaSet | None = self._sets.get(ref)
        return found

    async def reconcile(self, ref: Ref) -> Done:
        """Makes the pods of one set as many as asked for and writes its status."""
        owner = self.owner(ref)
        if owner is None:
            return Done()
        claimed = await self._claim(owner)
        now = self._world.now()
        decided = plan(owner, claimed, self._related(owner), now, self.kind)
        failure, error = None, None
        try:
            await self._act(owner, decided)
        except APIError as raised:
            error = raised
            failure = ("FailedCreate" if decided.create else "FailedDelete", raised.message)
        if written := plan_status(owner, claimed, failure, now, self.kind):
            await act_one(self._client, self._events, written)
        if error is not None:
            raise error
        quiet = decided.create is None and not decided.deletes
        return Done(again(owner, claimed, now), rest_after(len(claimed)) if quiet else 0.0)

    async def _claim(self, owner: ReplicaSet) -> list[Pod]:
        namespace, uid = owner.metadata.namespace, owner.metadata.uid
        candidates = [
            *self._pods.by(ownership.BY_OWNER, uid),
            *filter(pods.is_active, self._pods.by(ownership.ORPHANS, namespace)),
        ]
        matches = ownership.selector_of(owner.spec.selector)
        return await self._control.claim(owner, matches, candidates)

    def _related(self, owner: ReplicaSet) -> Iterable[Pod]:
        manager = owner.metadata.controller
        siblings: Iterable[ReplicaSet] = (owner,)
        if manager is not None:
            siblings = self._sets.by(ownership.BY_OWNER, manager.uid)
        for sibling in siblings:
            yield from self._pods.by(ownership.BY_OWNER, sibling.metadata.uid)

    async def _act(self, owner: ReplicaSet, decided: Plan) -> None:
        if (create := decided.create) is not None:

            async def one(_number: int) -> None:
                await self._control.create(owner, create)

            await slow_start(decided.count, one)
        await together(decided.deletes, partial(self._control.delete, owner))


class ReplicaSetController(Replication):
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "replicaset-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(REPLICASET, partial(to_self, kind=REPLICASET), ownership.INDEXES),
        Watch(POD, partial(ownership.owners, REPLICASET), ownership.INDEXES),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("apps", ("replicasets",), ("get", "update", "patch")),
        Rule("apps", ("replicasets/status", "replicasets/finalizers"), ("update", "patch")),
        Rule("", ("pods",), ("create", "delete", "patch")),
    )
