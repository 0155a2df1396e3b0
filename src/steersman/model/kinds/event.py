"""Event: one stored kind that two groups serve, core/v1 and events.k8s.io/v1.

The stored form is core/v1; the other is converted field by field (pkg/apis/events/v1/conversion).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from steersman.model import names
from steersman.model.causes import each, immutable, invalid, required
from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.event_columns import COLUMNS
from steersman.model.ref import Resource
from steersman.model.types.metadata import check_around, check_metadata
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
    """Checks an event of core/v1, as ever (legacyValidateEvent); its name is any path segment."""
    return check_around(new, old, _check_any(new))


def _check_any(new: Document) -> Iterator[Cause]:
    namespace = (new.get("metadata") or {}).get("namespace", "")
    involved = (new.get("involvedObject") or {}).get("namespace", "")
    timed = bool(new.get("eventTime"))
    # what is about a cluster-scoped object stands in the default namespace
    homes = ("default", "kube-system") if timed else ("", "default")
    strays = not timed and involved != namespace if involved else namespace not in homes
    if strays:
        yield invalid("involvedObject.namespace", involved, "does not match event.namespace")
    if timed:
        yield from _check_new_form(new)


def _check_new_form(new: Document) -> Iterator[Cause]:
    """Checks what an event with an eventTime must have beside (the events.k8s.io form)."""
    controller = new.get("reportingComponent", "")
    if not controller:
        yield required("reportingController")
    yield from each("reportingController", controller, names.qualified_name(controller))
    for name in ("reportingInstance", "action", "reason"):
        yield from _check_short(new.get(name, ""), name, _MOST_REPORTING_CHARACTERS)
    if len(new.get("message", "").encode()) > _MOST_MESSAGE_BYTES:
        yield invalid("message", "", f"can have at most {_MOST_MESSAGE_BYTES} characters")


# Of the older form, which one of events.k8s.io leaves unset
_DEPRECATED = ("firstTimestamp", "lastTimestamp", "count", "source")
# (field as it is stored, as it is called where it may not change)
_FIXED = tuple(
    (name, {"reportingComponent": "reportingController"}.get(name, name))
    for name in (
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "reason",
        "type",
        "eventTime",
        "action",
        "related",
        "reportingComponent",
        "reportingInstance",
    )
)


def _check_strictly(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    """Checks an event of events.k8s.io/v1 (ValidateEventCreate, ValidateEventUpdate); upstream
    names its fields as they are stored, and `reason` twice."""
    yield from _check_any(new)
    yield from check_metadata(new, old)
    if old is None or new.get("series") != old.get("series"):
        yield from _check_series(new.get("series"))
    if old is not None:
        for name, shown in _FIXED:
            yield from immutable(shown, new.get(name), old.get(name))
        return
    if not new.get("eventTime"):
        yield required("eventTime")
    if new.get("type") not in ("Normal", "Warning"):
        yield invalid("type", "", "has invalid value: " + new.get("type", ""))
    for name in _DEPRECATED:
        if new.get(name):
            yield invalid(name, "", "needs to be unset")


def _check_series(series: Document | None) -> Iterator[Cause]:
    if series is None:
        return
    if (series.get("count") or 0) < 2:
        yield invalid("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        yield required("series.lastObservedTime")


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
    check=_check_strictly,
    columns=COLUMNS,
    selectable=_SELECTABLE_EVENTS,
    complete=True,
    create_on_update=True,
)
