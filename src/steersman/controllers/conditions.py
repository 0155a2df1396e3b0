"""Conditions of a status as documents: kept, set and removed as upstream's helpers do."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from steersman.model.kind import Document
from steersman.model.times import rfc3339, seconds
from steersman.model.types.condition import Condition

_TIMES = (
    ("lastProbeTime", "last_probe_time"),
    ("lastHeartbeatTime", "last_heartbeat_time"),
    ("lastUpdateTime", "last_update_time"),
    ("lastTransitionTime", "last_transition_time"),
)


def document(condition: Condition) -> Document:
    """Returns a condition as it stands in a status."""
    found: Document = {"type": condition.type, "status": condition.status}
    for name, field in _TIMES:
        time: datetime | None = getattr(condition, field)
        if time is not None:
            found[name] = rfc3339(seconds(time))
    for name in ("reason", "message"):
        if text := getattr(condition, name):
            found[name] = text
    if condition.observed_generation:
        found["observedGeneration"] = condition.observed_generation
    return found


def documents(conditions: Iterable[Condition]) -> list[Document]:
    """Returns conditions as they stand in a status."""
    return [document(condition) for condition in conditions]


def find(conditions: Iterable[Document], type: str) -> Document | None:
    """Returns the condition of a type, None where it is not set."""
    return next((found for found in conditions if found["type"] == type), None)


def without(conditions: Iterable[Document], type: str) -> list[Document]:
    """Returns the conditions but for one type."""
    return [found for found in conditions if found["type"] != type]


def put(conditions: list[Document], new: Document) -> list[Document]:
    """Returns the conditions with a new one at the end; the same status and reason change
    nothing, the same status keeps its time of transition (deploymentutil and its siblings)."""
    old = find(conditions, new["type"])
    if old is not None and old["status"] == new["status"]:
        if old.get("reason") == new.get("reason"):
            return conditions
        if "lastTransitionTime" in old:
            new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
    return [*without(conditions, new["type"]), new]


def make(
    type: str, status: str, reason: str, message: str, now: float, *, updated: bool = False
) -> Document:
    """Returns a new condition; `updated` gives it a lastUpdateTime (deployments)."""
    time = rfc3339(now)
    found: Document = {"type": type, "status": status}
    if updated:
        found["lastUpdateTime"] = time
    return {**found, "lastTransitionTime": time, "reason": reason, "message": message}


def changes(old: dict[str, Any], new: dict[str, Any]) -> Document:
    """Returns the merge patch of top-level fields that turns one document into the other."""
    patch = {name: value for name, value in new.items() if old.get(name) != value}
    return {**patch, **{name: None for name in old if name not in new}}
