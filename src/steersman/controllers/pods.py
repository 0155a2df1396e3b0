"""What controllers ask about pods, and the pod that comes of a template (controller_utils.go)."""

from __future__ import annotations

from typing import Any

from steersman.model.kind import Document
from steersman.model.kinds.pod import POD, Pod
from steersman.model.times import seconds
from steersman.model.types.condition import condition
from steersman.reconcile.actions import Create


def is_active(pod: Pod) -> bool:
    """Says whether a pod counts: not ended and not being deleted."""
    return pod.status.phase not in ("Succeeded", "Failed") and not is_terminating(pod)


def is_terminating(pod: Pod) -> bool:
    """Says whether a pod is being deleted."""
    return pod.metadata.deletion_timestamp is not None


def is_going(pod: Pod) -> bool:
    """Says whether a pod is being deleted and has not ended yet."""
    return is_terminating(pod) and pod.status.phase not in ("Succeeded", "Failed")


def is_ready(pod: Pod) -> bool:
    """Says whether the pod's Ready condition is True."""
    found = condition(pod.status.conditions, "Ready")
    return found is not None and found.status == "True"


def ready_since(pod: Pod) -> float:
    """Returns when the pod became ready; 0 where it is not."""
    found = condition(pod.status.conditions, "Ready")
    if found is None or found.status != "True":
        return 0.0
    return seconds(found.last_transition_time)


def available_in(pod: Pod, min_ready_seconds: int, now: float) -> float | None:
    """Returns the seconds until a ready pod counts as available, None where it is not ready."""
    if not is_ready(pod):
        return None
    if not min_ready_seconds:
        return 0.0
    since = ready_since(pod)
    return max(0.0, since + min_ready_seconds - now) if since else None


def is_available(pod: Pod, min_ready_seconds: int, now: float) -> bool:
    """Says whether a pod has been ready for long enough."""
    return available_in(pod, min_ready_seconds, now) == 0.0


PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def removal_order(pod: Pod) -> tuple[Any, ...]:
    """Returns a key that sorts what should go first to the front: unassigned, pending, not ready,
    ready for a shorter time, restarted more often, younger (upstream's ActivePods)."""
    restarts = max((item.restart_count for item in pod.status.container_statuses), default=0)
    return (
        bool(pod.spec.node_name),
        PHASES.get(pod.status.phase, 0),
        is_ready(pod),
        -ready_since(pod),
        -restarts,
        -seconds(pod.metadata.creation_timestamp),
    )


def from_template(
    template: Document, *, namespace: str, prefix: str, owner: Document, **spec: Any
) -> Create:
    """Returns the creation of a pod from a template; `spec` replaces fields of its spec."""
    metadata: Document = {
        "generateName": prefix,
        "namespace": namespace,
        "ownerReferences": [owner],
    }
    given = template.get("metadata") or {}
    for name in ("labels", "annotations", "finalizers"):
        if found := given.get(name):
            metadata[name] = found
    document: Document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {**(template.get("spec") or {}), **spec},
    }
    return Create(POD, document, namespace)
