"""What was read of a cluster, and questions to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from steersman.client.interface import View
from steersman.model.kind import Document, Kind
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.printing import at
from steersman.model.ref import Ref, Resource


def name_of(document: Document) -> str:
    """Returns an object's name."""
    return str(at(document, "metadata", "name") or "")


def namespace_of(document: Document) -> str:
    """Returns an object's namespace, empty for one without."""
    return str(at(document, "metadata", "namespace") or "")


def about(kind: Kind, name: str) -> str:
    """Returns an object's name with its kind, as kubectl prints it."""
    plain = kind.name.lower()
    return f"{plain}.{kind.group}/{name}" if kind.group else f"{plain}/{name}"


def condition(document: Document, type: str) -> Document:
    """Returns a condition of an object's status, an empty one where it is not there."""
    for found in at(document, "status", "conditions") or ():
        if found.get("type") == type:
            return dict(found)
    return {}


class Objects:
    """Documents by kind. `unread` names the kinds that could not be read, and why; of `meta` kinds
    only the metadata was read."""

    def __init__(
        self,
        found: Mapping[Resource, Sequence[Document]],
        *,
        now: float,
        unread: Mapping[Resource, str] | None = None,
    ) -> None:
        self.now = now
        self.unread = dict(unread or {})
        self._found: dict[Resource, dict[tuple[str, str], Document]] = {
            resource: {(namespace_of(it), name_of(it)): it for it in documents}
            for resource, documents in found.items()
        }
        self._events: dict[Any, list[Document]] = {}
        for event in found.get(EVENT.resource, ()):
            self._events.setdefault(at(event, "involvedObject", "uid"), []).append(event)

    def get(self, kind: Kind, namespace: str, name: str) -> Document | None:
        """Returns an object, None where there is none."""
        place = namespace if kind.namespaced else ""
        return self._found.get(kind.resource, {}).get((place, name))

    def all(self, kind: Kind, namespace: str = "") -> list[Document]:
        """Returns the objects of a namespace, or all, by name."""
        found = self._found.get(kind.resource, {})
        return [found[key] for key in sorted(found) if namespace in ("", key[0])]

    def owned(self, kind: Kind, owner: Document) -> list[Document]:
        """Returns the objects that an owner manages."""
        uid = at(owner, "metadata", "uid")
        return [it for it in self.all(kind, namespace_of(owner)) if manager(it).get("uid") == uid]

    def events(self, about: Document, *reasons: str) -> list[Document]:
        """Returns the events about an object, the latest first; of these reasons alone where some
        are named."""
        found = self._events.get(at(about, "metadata", "uid"), ())
        chosen = [event for event in found if not reasons or event.get("reason") in reasons]
        return sorted(chosen, key=_moment, reverse=True)

    def told(self, about: Document, *reasons: str) -> tuple[str, ...]:
        """Returns the latest of these events in words, nothing where there is none."""
        latest = self.events(about, *reasons)[:1]
        return tuple(f"{event.get('reason')}: {event.get('message')}" for event in latest)

    def knows(self, kind: Kind) -> bool:
        """Says whether a kind was read: an object of it that is not here does not exist."""
        return kind.resource in self._found


def manager(document: Document) -> Document:
    """Returns the owner reference of who manages an object, an empty one where nobody does."""
    for owner in at(document, "metadata", "ownerReferences") or ():
        if owner.get("controller"):
            return dict(owner)
    return {}


def _moment(event: Document) -> str:
    series = at(event, "series", "lastObservedTime")
    latest = series or event.get("lastTimestamp") or event.get("eventTime")
    return str(latest or at(event, "metadata", "creationTimestamp") or "")


class Copies:
    """See `client.interface.Views`; copies that nobody follows."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._views: dict[Resource, Copy] = {}

    def of(self, kind: Kind) -> View:
        """Returns the copy of a kind."""
        if (view := self._views.get(kind.resource)) is None:
            assert kind.view is not None
            # through JSON, for parts of some views stay as they were sent
            text = msgspec.json.encode(self._objects.all(kind))
            made = msgspec.json.decode(text, type=tuple[kind.view, ...])  # type: ignore[name-defined]
            view = self._views[kind.resource] = Copy(made)
        return view

    def metadata_of(self, kind: Kind) -> View:
        """Returns the copy of a kind."""
        return self.of(kind)

    def custom(self) -> Mapping[Resource, Kind]:
        """Knows no custom kinds."""
        return {}

    def on_custom(self, hear: Callable[[Kind, bool], None]) -> None:
        """Tells of none."""

    async def synced(self) -> None:
        """Has all there is."""


class Copy:
    """See `client.interface.View`; it never changes."""

    revision = 0

    def __init__(self, objects: Iterable[Any]) -> None:
        self._objects = {found.key: found for found in objects}

    def get(self, ref: Ref) -> Any | None:
        """Returns the object, None where there is none."""
        return self._objects.get((ref.namespace, ref.name))

    def list(self, namespace: str = "") -> Iterable[Any]:
        """Returns the objects of a namespace, or all."""
        return tuple(it for key, it in self._objects.items() if namespace in ("", key[0]))

    def by(self, index: str, value: str) -> Iterable[Any]:
        """Has no indexes."""
        raise KeyError(index)

    def index(self, name: str, values: Callable[[Any], Iterable[str]]) -> None:
        """Keeps no indexes."""

    async def reached(self, revision: int) -> None:
        """Has all there is."""

    def listen(self, hear: Callable[[Any | None, Any | None], None]) -> Callable[[], None]:
        """Tells nothing, for nothing changes."""
        return lambda: None
