"""What is told of a resize: events and conditions, in the kubelet's words (kubelet/events)."""

from __future__ import annotations

import msgspec

from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.times import rfc3339
from steersman.model.types.condition import condition
from steersman.model.types.container import Container
from steersman.node.observed import Observed
from steersman.node.resizing.granting import PENDING

IN_PROGRESS = "PodResizeInProgress"


def summary(pod: Pod, error: str = "") -> str:
    """Returns the resources of a pod as the events have them, in JSON."""
    found: Document = {}
    if pod.spec.init_containers:
        found["initContainers"] = [_of(it) for it in pod.spec.init_containers]
    found["containers"] = [_of(it) for it in pod.spec.containers]
    found["generation"] = pod.metadata.generation
    if error:
        found["error"] = error
    return msgspec.json.encode(found).decode()


def _of(container: Container) -> Document:
    sides = {"limits": container.resources.limits, "requests": container.resources.requests}
    resources = {name: dict(sorted(it.items())) for name, it in sides.items() if it}
    return {"name": container.name, "resources": resources}


def render_conditions(pod: Pod, seen: Observed, now: float) -> list[Document]:
    """Returns the conditions of a resize, and the removal of those that are over."""
    found = []
    if seen.refused is not None:
        generation, reason, message = seen.refused
        found.append(_condition(pod, PENDING, reason, message, generation, now))
    elif condition(pod.status.conditions, PENDING) is not None:
        found.append({"$patch": "delete", "type": PENDING})
    if seen.resize is not None:
        reason = "Error" if seen.resize.error else ""
        generation = seen.resize.generation
        found.append(_condition(pod, IN_PROGRESS, reason, seen.resize.error, generation, now))
    elif condition(pod.status.conditions, IN_PROGRESS) is not None:
        found.append({"$patch": "delete", "type": IN_PROGRESS})
    return found


def _condition(
    pod: Pod, kind: str, reason: str, message: str, generation: int, now: float
) -> Document:
    old = condition(pod.status.conditions, kind)
    since = now
    if old is not None and old.last_transition_time is not None:
        since = old.last_transition_time.timestamp()
    return {
        "type": kind,
        "status": "True",
        "observedGeneration": generation,
        "lastProbeTime": None,
        "lastTransitionTime": rfc3339(since),
        "reason": reason or None,
        "message": message or None,
    }
