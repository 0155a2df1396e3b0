"""The status of a deployment: counts, Available, Progressing with its deadline, ReplicaFailure.

Follows pkg/controller/deployment/{sync,progress}.go, messages and reasons included.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from steersman.controllers import conditions
from steersman.controllers.deployment_bounds import max_unavailable, wanted
from steersman.controllers.deployment_revision import NO_LIMIT, REVISION, revision
from steersman.model.kind import Document
from steersman.model.kinds.deployment import DEPLOYMENT, Deployment
from steersman.model.kinds.replicaset import ReplicaSet
from steersman.reconcile.actions import Patch

PROGRESSING = "Progressing"
COMPLETE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
_COUNTS = (
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "observedGeneration",
)


class Known(msgspec.Struct, frozen=True):
    """What a status is made from."""

    deployment: Deployment
    sets: Sequence[ReplicaSet]
    new: ReplicaSet | None
    now: float


def has_deadline(deployment: Deployment) -> bool:
    """Says whether a rollout must make progress within some time."""
    return deployment.spec.progress_deadline_seconds < NO_LIMIT


def old_document(deployment: Deployment) -> Document:
    """Returns the present status as a document; counts of zero are left out as upstream does."""
    old = deployment.status
    found = _with_counts(
        (
            old.replicas,
            old.updated_replicas,
            old.ready_replicas,
            old.available_replicas,
            old.unavailable_replicas,
            old.observed_generation,
        )
    )
    if old.terminating_replicas is not None:
        found["terminatingReplicas"] = old.terminating_replicas
    if old.collision_count is not None:
        found["collisionCount"] = old.collision_count
    if old.conditions:
        found["conditions"] = conditions.documents(old.conditions)
    return found


def _with_counts(counts: tuple[int, ...]) -> Document:
    return {name: count for name, count in zip(_COUNTS, counts, strict=True) if count}


def counted(known: Known, present: list[Document]) -> Document:
    """Returns the new counts and the Available condition (calculateStatus)."""
    deployment, sets = known.deployment, known.sets
    ready = sum(found.status.ready_replicas for found in sets)
    available = sum(found.status.available_replicas for found in sets)
    found = _with_counts(
        (
            sum(it.status.replicas for it in sets),
            known.new.status.replicas if known.new else 0,
            ready,
            available,
            max(0, wanted(sets) - available),
            deployment.metadata.generation,
        )
    )
    ending = [it.status.terminating_replicas for it in sets]
    found["terminatingReplicas"] = sum(count or 0 for count in ending)
    if deployment.status.collision_count is not None:
        found["collisionCount"] = deployment.status.collision_count
    found["conditions"] = conditions.put(present, _available(known, available))
    return found


def _available(known: Known, available: int) -> Document:
    least = known.deployment.spec.replicas - max_unavailable(known.deployment)
    if available >= least:
        text = "Deployment has minimum availability."
        return _condition("Available", "True", "MinimumReplicasAvailable", text, known.now)
    text = "Deployment does not have minimum availability."
    return _condition("Available", "False", "MinimumReplicasUnavailable", text, known.now)


def _condition(type: str, status: str, reason: str, message: str, now: float) -> Document:
    return conditions.make(type, status, reason, message, now, updated=True)


def rolled(known: Known, present: list[Document]) -> Document:
    """Returns the new status while a rollout goes on (syncRolloutStatus); `present` are the
    conditions before, with what this call found already."""
    status = counted(known, present)
    found = status["conditions"]
    current = conditions.find(present, PROGRESSING)
    if not has_deadline(known.deployment):
        found = conditions.without(found, PROGRESSING)
    elif not _was_complete(status, current):
        found = _progressing(known, status, current, found)
    status["conditions"] = _with_failures(known, found)
    return status


def _was_complete(status: Document, current: Document | None) -> bool:
    same = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    return same and current is not None and current.get("reason") == COMPLETE


def _progressing(
    known: Known, status: Document, current: Document | None, found: list[Document]
) -> list[Document]:
    name = f'Deployment "{known.deployment.metadata.name}"'
    if known.new is not None:
        name = f'ReplicaSet "{known.new.metadata.name}"'
    if is_complete(known.deployment, status):
        text = f"{name} has successfully progressed."
        return conditions.put(found, _condition(PROGRESSING, "True", COMPLETE, text, known.now))
    if _moves(known.deployment, status):
        text = f"{name} is progressing."
        new = _condition(PROGRESSING, "True", "ReplicaSetUpdated", text, known.now)
        if current is not None and current["status"] == "True":
            new["lastTransitionTime"] = current.get("lastTransitionTime")
        return [*conditions.without(found, PROGRESSING), new]
    if _timed_out(known, current):
        text = f"{name} has timed out progressing."
        return conditions.put(found, _condition(PROGRESSING, "False", TIMED_OUT, text, known.now))
    return found


def is_complete(deployment: Deployment, status: Document) -> bool:
    """Says whether all pods are new and available (deploymentutil.DeploymentComplete)."""
    names = ("updatedReplicas", "replicas", "availableReplicas")
    right: bool = all(status.get(name, 0) == deployment.spec.replicas for name in names)
    seen: int = status.get("observedGeneration", 0)
    return bool(right and seen >= deployment.metadata.generation)


def _moves(deployment: Deployment, status: Document) -> bool:
    old = deployment.status
    replicas, updated = status.get("replicas", 0), status.get("updatedReplicas", 0)
    return bool(
        updated > old.updated_replicas
        or replicas - updated < old.replicas - old.updated_replicas
        or status.get("readyReplicas", 0) > old.ready_replicas
        or status.get("availableReplicas", 0) > old.available_replicas
    )


def _timed_out(known: Known, current: Document | None) -> bool:
    if current is None or current.get("reason") == COMPLETE:
        return False
    if current.get("reason") == TIMED_OUT:
        return True
    return _deadline(known.deployment, current) < known.now


def _deadline(deployment: Deployment, current: Document) -> float:
    updated = current.get("lastUpdateTime") or current.get("lastTransitionTime") or ""
    began = datetime.fromisoformat(updated).timestamp() if updated else 0.0
    return began + deployment.spec.progress_deadline_seconds


def again(deployment: Deployment, status: Document, now: float) -> float | None:
    """Returns the seconds until the progress deadline is to be looked at, None for never."""
    current = conditions.find(status.get("conditions", ()), PROGRESSING)
    if current is None or not has_deadline(deployment):
        return None
    if is_complete(deployment, status) or current.get("reason") in (TIMED_OUT, COMPLETE):
        return None
    return max(0.0, _deadline(deployment, current) - now) + 1.0


def _with_failures(known: Known, found: list[Document]) -> list[Document]:
    """Returns the conditions with the first ReplicaFailure of the new set, else of any."""
    for sets in ((known.new,) if known.new else (), known.sets):
        for one in sets:
            for condition in one.status.conditions:
                if condition.type == "ReplicaFailure":
                    new = conditions.document(condition)
                    new.setdefault("lastUpdateTime", new.get("lastTransitionTime"))
                    return conditions.put(found, new)
    return conditions.without(found, "ReplicaFailure")


def plan_patch(deployment: Deployment, status: Document, number: int) -> Patch | None:
    """Returns the patch of status and revision annotation, None where both are right; `number`
    is the new set's revision, 0 where there is none."""
    changed = conditions.changes(old_document(deployment), status)
    patch: Document = {"status": changed} if changed else {}
    if number and revision(deployment) != number:
        patch["metadata"] = {"annotations": {REVISION: str(number)}}
    if not patch:
        return None
    metadata = deployment.metadata
    ref = DEPLOYMENT.ref(metadata.namespace, metadata.name)
    return Patch(ref, patch, "status", metadata.uid, metadata.revision)
