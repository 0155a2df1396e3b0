"""Event: one stored kind that two groups serve, core/v1 and events.k8s.io/v1.

The stored form is core/v1; the other is converted field by field (pkg/apis/events/v1/conversion).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from steersman.model import names
from steersman.model.causes import IMMUTABLE, each, invalid, required
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


_MOST_REPORTING_BYTES = 128
_MOST_MESSAGE_BYTES = 1024
_LEAST_SERIES = 2
_TYPES = ("Normal", "Warning")
_UNSET = "needs to be unset"
_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_SOURCE = ("component", "host")
# in which order upstream compares; the series may change
_KEPT = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "reason",  # said twice, as upstream does
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)
_ZERO = dict.fromkeys(("reason", "message", "type", "action", "reportingComponent"), "")


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, name=names.path_segment)
    yield from _check_form(new, "reportingComponent")


def _check_strictly(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    """Checks what is written by events.k8s.io, where an event must have the new form and only its
    series changes."""
    yield from check_metadata(new, old)
    yield from _check_form(new, "reportingController")
    if old is None or new.get("series") != old.get("series"):
        yield from _check_series(new.get("series"))
    if old is not None:
        yield from _check_kept(new, old)
        return
    if not new.get("eventTime"):
        yield required("eventTime")
    if new.get("type") not in _TYPES:
        yield invalid("type", "", "has invalid value: " + new.get("type", ""))
    for name in ("firstTimestamp", "lastTimestamp", "count"):
        if new.get(name):
            yield invalid(name, "", _UNSET)
    if any((new.get("source") or {}).values()):
        yield invalid("source", "", _UNSET)


def _check_form(new: Document, controller_path: str) -> Iterator[Cause]:
    """Checks what holds for either way of writing (legacyValidateEvent)."""
    namespace = (new.get("metadata") or {}).get("namespace", "")
    involved = (new.get("involvedObject") or {}).get("namespace", "")
    # what is about a cluster-scoped object stands in the default namespace
    if new.get("eventTime"):
        agree = bool(involved) or namespace in ("default", "kube-system")
    else:
        agree = involved == namespace if involved else namespace in ("", "default")
    if not agree:
        yield invalid("involvedObject.namespace", involved, "does not match event.namespace")
    if new.get("eventTime"):
        yield from _check_new_form(new, controller_path)


def _check_new_form(new: Document, controller_path: str) -> Iterator[Cause]:
    """Checks what an event with an eventTime must have beside."""
    controller = new.get("reportingComponent", "")
    if not controller:
        yield required(controller_path)
    yield from each(controller_path, controller, names.qualified_name(controller))
    for name in ("reportingInstance", "action", "reason"):
        yield from _check_short(new.get(name, ""), name, _MOST_REPORTING_BYTES)
    if len(new.get("message", "").encode()) > _MOST_MESSAGE_BYTES:
        yield invalid("message", "", f"can have at most {_MOST_MESSAGE_BYTES} characters")


def _check_series(series: Document | None) -> Iterator[Cause]:
    if series is None:
        return
    if series.get("count", 0) < _LEAST_SERIES:
        yield invalid("series.count", "", f"should be at least {_LEAST_SERIES}")
    if not series.get("lastObservedTime"):
        yield required("series.lastObservedTime")


def _check_kept(new: Document, old: Document) -> Iterator[Cause]:
    for name in _KEPT:
        path = "reportingController" if name == "reportingComponent" else name
        if (new.get(name) or None) != (old.get(name) or None):
            yield invalid(path, _internal(name, new.get(name)), IMMUTABLE)


def _internal(name: str, value: object) -> object:
    """Returns a field as Go's internal type of it prints."""
    if not isinstance(value, dict):
        return _ZERO.get(name) if value is None else value
    fields = _SOURCE if name == "source" else _REFERENCE
    return {_go_name(field): value.get(field, "") for field in fields}


def _go_name(field: str) -> str:
    return {"uid": "UID", "apiVersion": "APIVersion"}.get(field) or field[0].upper() + field[1:]


def _check_short(value: str, path: str, most: int) -> Iterator[Cause]:
    if not value:
        yield required(path)
    if len(value.encode()) > most:
        yield invalid(path, "", f"can have at most {most} characters")


def _at(*path: str) -> Callable[[Document], str]:
    def select(document: Document) -> str:
        value: object = document
        for name in path:
            value = value.get(name, "") if isinstance(value, dict) else ""
        return str(value or "")

    return select


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
    name_check=names.path_segment,
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
    check=_check_strictly,
    columns=COLUMNS,
    selectable=_SELECTABLE_EVENTS,
    complete=True,
    create_on_update=True,
)
