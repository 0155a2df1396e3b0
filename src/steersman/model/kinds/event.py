"""Event: one stored kind that two groups serve, core/v1 and events.k8s.io/v1.

The stored form is core/v1; the other is converted field by field (pkg/apis/events/v1/conversion).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from steersman.model import names
from steersman.model.causes import each, invalid, required
from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.event_columns import COLUMNS
from steersman.model.ref import Resource
from steersman.model.types.metadata import check_metadata
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


_MOST_REPORTING_CHARACTERS = 128
_MOST_MESSAGE_BYTES = 1024


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    namespace = (new.get("metadata") or {}).get("namespace", "")
    involved = (new.get("involvedObject") or {}).get("namespace", "")
    path = "involvedObject.namespace"
    if not involved:
        # what is about a cluster-scoped object stands in the default namespace
        if namespace not in ("", "default"):
            yield invalid(path, involved, "does not match event.namespace")
    elif involved != namespace:
        yield invalid(path, involved, "does not match event.namespace")
    if old is None and new.get("eventTime"):
        yield from _check_new_form(new)


def _check_new_form(new: Document) -> Iterator[Cause]:
    """Checks what an event with an eventTime must have beside (the events.k8s.io form)."""
    controller = new.get("reportingComponent", "")
    if not controller:
        yield required("reportingController")
    yield from each("reportingController", controller, names.qualified_name(controller))
    for name, field in (("reportingInstance", "reportingInstance"), ("action", "action")):
        yield from _check_short(new.get(field, ""), name, _MOST_REPORTING_CHARACTERS)
    yield from _check_short(new.get("reason", ""), "reason", _MOST_REPORTING_CHARACTERS)
    if len(new.get("message", "").encode()) > _MOST_MESSAGE_BYTES:
        yield invalid("message", "", f"can have at most {_MOST_MESSAGE_BYTES} characters")
    if new.get("type") not in ("Normal", "Warning"):
        yield invalid("type", "", "has invalid value: " + new.get("type", ""))


def _check_short(value: str, path: str, most: int) -> Iterator[Cause]:
    if not value:
        yield required(path)
    if len(value) > most:
        yield invalid(path, "", f"can have at most {most} characters")


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
# They are read from what is stored: the core form
_SELECTABLE_EVENTS = {
    **{f"regarding.{name}": _at("involvedObject", name) for name in _REFERENCE},
    "reason": _at("reason"),
    "reportingController": _at("reportingComponent"),
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
    check=_check,
    columns=COLUMNS,
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
    check=_check,
    columns=COLUMNS,
    selectable=_SELECTABLE_EVENTS,
    complete=True,
    create_on_update=True,
)
