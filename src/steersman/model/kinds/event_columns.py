"""What `kubectl get events` shows; documents are core/v1 Events.

Source: printEvent in pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from typing import Final

from steersman.model.kind import Column, Document
from steersman.model.kinds.printing import Value, at, since


def _first_seen(event: Document, now: float) -> str:
    return since(event.get("firstTimestamp") or event.get("eventTime"), now)


def _last_seen(event: Document, now: float) -> str:
    if series := event.get("series"):
        return since(series.get("lastObservedTime"), now)
    last = event.get("lastTimestamp")
    return since(last, now) if last else _first_seen(event, now)


def _count(event: Document, _now: float) -> int:
    if series := event.get("series"):
        return int(series.get("count", 0))
    return event.get("count") or 1


def _object(event: Document, _now: float) -> str:
    involved = event.get("involvedObject") or {}
    kind = involved.get("kind", "").lower()
    return f"{kind}/{involved['name']}" if involved.get("name") else kind


def _source(event: Document, _now: float) -> str:
    component = at(event, "source", "component") or event.get("reportingComponent", "")
    instance = at(event, "source", "host") or event.get("reportingInstance", "")
    return f"{component}, {instance}" if instance else component


def _field(*path: str) -> Value:
    return lambda event, _now: at(event, *path) or ""


COLUMNS: Final[tuple[Column, ...]] = (
    Column("Last Seen", _last_seen),
    Column("Type", _field("type")),
    Column("Reason", _field("reason")),
    Column("Object", _object),
    Column("Subobject", _field("involvedObject", "fieldPath"), priority=1),
    Column("Source", _source, priority=1),
    Column("Message", lambda event, _now: event.get("message", "").strip()),
    Column("First Seen", _first_seen, priority=1),
    Column("Count", _count, type="integer", priority=1),
    Column("Name", _field("metadata", "name"), format="name", priority=1),
)
