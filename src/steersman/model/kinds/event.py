"""Event: one stored kind that two groups serve, core/v1 and events.k8s.io/v1.

The stored form is core/v1; the other is converted field by field (pkg/apis/events/v1/conversion).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.event_columns import columns
from steersman.model.ref import Resource
from steersman.model.types.reference import ObjectReference
from steersman.model.view import Object, View


class EventSource(View, frozen=True):
    """Which component on which host."""

    component: str = ""
    host: str = ""


class EventSeries(View, frozen=True):
    """How often and when last."""

    count: int = 0
    last_observed_time: datetime | None = None


class Event(Object, frozen=True):
    """core/v1 Event."""

    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    source: EventSource = EventSource()
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    count: int = 0
    type: str = ""
    event_time: datetime | None = None
    series: EventSeries | None = None
    action: str = ""
    related: ObjectReference | None = None
    reporting_component: str = ""
    reporting_instance: str = ""


# events.k8s.io/v1 name -> core/v1 name
_NAMES = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_NAMES_BACK = {core: other for other, core in _NAMES.items()}


def _to_core(document: Document) -> Document:
    renamed = {_NAMES.get(name, name): value for name, value in document.items()}
    return {**renamed, "apiVersion": "v1"}


def _from_core(document: Document) -> Document:
    renamed = {_NAMES_BACK.get(name, name): value for name, value in document.items()}
    return {**renamed, "apiVersion": "events.k8s.io/v1"}


def _at(*path: str) -> Callable[[Document], str]:
    def select(document: Document) -> str:
        value: object = document
        for name in path:
            value = value.get(name, "") if isinstance(value, dict) else ""
        return str(value or "")

    return select


_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def _source(event: Document) -> str:
    return str((event.get("source") or {}).get("component") or event.get("reportingComponent", ""))


_SELECTABLE = {
    **{f"involvedObject.{name}": _at("involvedObject", name) for name in _REFERENCE},
    "reason": _at("reason"),
    "reportingComponent": _at("reportingComponent"),
    "source": _source,
    "type": _at("type"),
}
_SELECTABLE_EVENTS = {
    **{f"regarding.{name}": _at("regarding", name) for name in _REFERENCE},
    "reason": _at("reason"),
    "reportingController": _at("reportingController"),
    "type": _at("type"),
}

EVENT = Kind(
    group="",
    name="Event",
    plural="events",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.Event"),),
    storage="v1",
    short_names=("ev",),
    view=Event,
    columns=columns(),
    selectable=_SELECTABLE,
    complete=True,
    create_on_update=True,
)

EVENTS_EVENT = Kind(
    group="events.k8s.io",
    name="Event",
    plural="events",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.events.v1.Event", _to_core, _from_core),),
    storage="v1",
    stored_with=Resource("", "events"),
    short_names=("ev",),
    view=Event,
    columns=columns(_to_core),
    selectable=_SELECTABLE_EVENTS,
    complete=True,
    create_on_update=True,
)
