"""What a StatefulSet does next: pods that are created, replaced or scaled away, in their order,
and its status. Pure. Follows pkg/controller/statefulset/stateful_set_control.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from steersman.controllers import conditions, pods, statefulset_pod
from steersman.controllers.deployment_bounds import scaled
from steersman.controllers.statefulset_pod import REVISION, ordinal_of, ordinals
from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.statefulset import STATEFULSET, RollingUpdate, StatefulSet
from steersman.model.view import Object
from steersman.reconcile.actions import Create, Patch, Tell, status


class Revision(msgspec.Struct, frozen=True):
    """One revision: its name and the template it stores."""

    name: str
    template: Document


class Known(msgspec.Struct, frozen=True):
    """What a plan is made from; `claims` are the claims of the namespace by name."""

    owner: StatefulSet
    pods: Sequence[Pod]
    claims: Mapping[str, Object]
    current: Revision
    update: Revision
    now: float

    def by_ordinal(self) -> dict[int, Pod]:
        """Returns the pods whose name is one of the set's."""
        found = {ordinal_of(self.owner, pod): pod for pod in self.pods}
        return {
            ordinal: pod
            for ordinal, pod in sorted(found.items(), key=_first)
            if ordinal is not None
        }


def _first(item: tuple[int | None, Pod]) -> int:
    return -1 if item[0] is None else item[0]


class Birth(msgspec.Struct, frozen=True):
    """A pod that comes, and the claims that come before it."""

    ordinal: int
    pod: Create
    claims: Sequence[Create] = ()


class Steps(msgspec.Struct):
    """What is done now; `patch` are labels and owners that are mended.

    `claims` are what pending pods still lack; `blocked` are claims that are being deleted, which
    hold back the pod of that ordinal.
    """

    create: list[Birth] = msgspec.field(default_factory=list)
    delete: list[Pod] = msgspec.field(default_factory=list)
    patch: list[Patch | Tell] = msgspec.field(default_factory=list)
    claims: list[tuple[str, Create]] = msgspec.field(default_factory=list)
    blocked: dict[int, str] = msgspec.field(default_factory=dict)


def is_parallel(owner: StatefulSet) -> bool:
    """Says whether pods come and go without waiting for each other."""
    return owner.spec.pod_management_policy == "Parallel"


def is_running(pod: Pod) -> bool:
    """Says whether a pod runs and is ready."""
    return pod.status.phase == "Running" and pods.is_ready(pod)


def is_available(known: Known, pod: Pod) -> bool:
    """Says whether a pod has run and been ready for long enough, and stays."""
    wait = known.owner.spec.min_ready_seconds
    available = is_running(pod) and pods.is_available(pod, wait, known.now)
    return available and not pods.is_terminating(pod)


def plan(known: Known) -> Steps:
    """Decides what is done now; in order, only the first thing that has to be waited for."""
    steps = Steps()
    if known.owner.metadata.deletion_timestamp is not None:
        return steps
    present = known.by_ordinal()
    wanted = ordinals(known.owner)
    for ordinal in wanted:
        if _replica(known, ordinal, present.get(ordinal), steps) and not is_parallel(known.owner):
            return steps
    condemned = [pod for ordinal, pod in present.items() if ordinal not in wanted][::-1]
    for pod in condemned:
        steps.patch += _retained(known, pod)
    if _condemn(known, present, condemned, steps):
        return steps
    if known.owner.spec.update_strategy.type == "RollingUpdate" and not steps.create:
        _update(known, present, steps)
    return steps


def _replica(known: Known, ordinal: int, pod: Pod | None, steps: Steps) -> bool:
    """Does what one ordinal needs; says whether the next ones have to wait for it."""
    if pod is None:
        _create(known, ordinal, steps)
        return True
    if pod.status.phase in ("Failed", "Succeeded"):
        if not pods.is_terminating(pod):
            steps.delete.append(pod)
        return True
    if pod.status.phase == "Pending":
        lacking = _missing_claims(known, ordinal)
        steps.claims += [(pod.metadata.name, claim) for claim in lacking]
    if not is_available(known, pod):
        return True
    if patch := statefulset_pod.plan_identity(known.owner, pod, ordinal):
        told = f"update Pod {pod.metadata.name} in StatefulSet {known.owner.metadata.name}"
        steps.patch += [patch, Tell(known.owner, "SuccessfulUpdate", f"{told} successful")]
    steps.patch += _retained(known, pod)
    return False


def _create(known: Known, ordinal: int, steps: Steps) -> None:
    owner = known.owner
    name = statefulset_pod.name_of(owner, ordinal)
    for claim in _claims_of(known, ordinal):
        if statefulset_pod.is_stale(owner, claim, name):
            return  # it goes with the pod before; then a new one is made
        if claim.metadata.deletion_timestamp is not None:
            steps.blocked[ordinal] = claim.metadata.name
            return
    old = known.current if _needs_current(owner, ordinal) else known.update
    new = statefulset_pod.new_pod(owner, ordinal, old.template, old.name)
    steps.create.append(Birth(ordinal, new, _missing_claims(known, ordinal)))


def _needs_current(owner: StatefulSet, ordinal: int) -> bool:
    """Says whether a new pod is one of the revision that an update replaces."""
    strategy, start = owner.spec.update_strategy, ordinals(owner).start
    if strategy.type != "RollingUpdate":
        return False
    if strategy.rolling_update is None:
        return ordinal < start + owner.status.current_replicas
    return ordinal < start + strategy.rolling_update.partition


def _claims_of(known: Known, ordinal: int) -> list[Object]:
    names = statefulset_pod.claim_names(known.owner, ordinal)
    return [known.claims[name] for name in names if name in known.claims]


def _missing_claims(known: Known, ordinal: int) -> list[Create]:
    made = statefulset_pod.new_claims(known.owner, ordinal)
    return [it for it in made if it.document["metadata"]["name"] not in known.claims]


def _retained(known: Known, pod: Pod) -> list[Patch]:
    ordinal = ordinal_of(known.owner, pod)
    found = _claims_of(known, ordinal) if ordinal is not None else []
    patches = [statefulset_pod.plan_retention(known.owner, claim, pod) for claim in found]
    return [patch for patch in patches if patch is not None]


def _condemn(
    known: Known, present: Mapping[int, Pod], condemned: Sequence[Pod], steps: Steps
) -> bool:
    """Scales away, the highest ordinal first; says whether an update has to wait for it."""
    if is_parallel(known.owner):
        steps.delete += [pod for pod in condemned if not pods.is_terminating(pod)]
        return False
    if not condemned:
        return False
    pod = condemned[0]
    ailing = [it for it in present.values() if not is_available(known, it)]
    if not pods.is_terminating(pod) and (is_available(known, pod) or ailing[0] is pod):
        steps.delete.append(pod)
    return True


def _update(known: Known, present: Mapping[int, Pod], steps: Steps) -> None:
    """Replaces pods of other revisions, the highest ordinal first, as far as pods may be missing.

    Those that do not run anyway go first: nothing else would ever mend them.
    """
    bounds = known.owner.spec.update_strategy.rolling_update or RollingUpdate()
    wanted = ordinals(known.owner)
    replicas = [present[ordinal] for ordinal in reversed(wanted) if ordinal in present]
    going = {pod.metadata.uid for pod in steps.delete}
    first = wanted.start + bounds.partition
    old = [
        pod
        for pod in replicas
        if (ordinal_of(known.owner, pod) or 0) >= first
        and not _is_updated(known, pod)
        and not pods.is_terminating(pod)
        and pod.metadata.uid not in going
    ]
    ailing = [pod for pod in replicas if not is_available(known, pod)]
    lost = len(wanted) - len(replicas) + len(ailing)
    broken = [pod for pod in old if pod in ailing]
    room = max_unavailable(known.owner) - lost
    sound = [pod for pod in old if pod not in ailing]
    steps.delete += [*broken, *sound[: max(0, room)]]


def _is_updated(known: Known, pod: Pod) -> bool:
    return pod.metadata.labels.get(REVISION) == known.update.name


def max_unavailable(owner: StatefulSet) -> int:
    """Returns how many pods may be missing during an update: one at least."""
    bounds = owner.spec.update_strategy.rolling_update or RollingUpdate()
    if bounds.max_unavailable is None:
        return 1
    return max(1, scaled(bounds.max_unavailable, owner.spec.replicas, up=True))


def plan_status(known: Known, collisions: int) -> Patch | None:
    """Returns the patch of the status, None where it is right."""
    owner = known.owner
    changed = conditions.changes(_old(owner), _counts(known, collisions))
    if not changed:
        return None
    metadata = owner.metadata
    return status(
        STATEFULSET.ref(*owner.key), changed, uid=metadata.uid, revision=metadata.revision
    )


def _counts(known: Known, collisions: int) -> Document:
    kept = [pod for pod in known.pods if not pods.is_terminating(pod)]
    running = [pod for pod in known.pods if is_running(pod)]
    wait = known.owner.spec.min_ready_seconds
    named = [pod.metadata.labels.get(REVISION) for pod in kept]
    found: Document = {
        "observedGeneration": known.owner.metadata.generation,
        "replicas": len(known.pods),
        "readyReplicas": len(running),
        "availableReplicas": sum(pods.is_available(it, wait, known.now) for it in running),
        "currentReplicas": named.count(known.current.name),
        "updatedReplicas": named.count(known.update.name),
        "currentRevision": known.current.name,
        "updateRevision": known.update.name,
        "collisionCount": collisions,
    }
    wanted = known.owner.spec.replicas
    counts = {found[name] for name in ("updatedReplicas", "readyReplicas", "replicas")}
    if known.owner.spec.update_strategy.type == "RollingUpdate" and counts == {wanted}:
        found["currentReplicas"] = wanted
        found["currentRevision"] = known.update.name
    return _without_zeros(found)


_ALWAYS = ("replicas", "availableReplicas", "collisionCount")


def _without_zeros(found: Document) -> Document:
    return {name: value for name, value in found.items() if value or name in _ALWAYS}


def _old(owner: StatefulSet) -> Document:
    old = owner.status
    found: Document = {
        "observedGeneration": old.observed_generation,
        "replicas": old.replicas,
        "readyReplicas": old.ready_replicas,
        "availableReplicas": old.available_replicas,
        "currentReplicas": old.current_replicas,
        "updatedReplicas": old.updated_replicas,
        "currentRevision": old.current_revision,
        "updateRevision": old.update_revision,
    }
    if old.collision_count is not None:
        found["collisionCount"] = old.collision_count
    return _without_zeros(found)
