"""The definitions of custom resources as the server follows them: kinds come and go with them.

It changes nothing but the registry; what is written of a definition is the keeper's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from steersman.api.cache import Cache, Entry, Event, Table
from steersman.api.custom.kinds import kinds_of
from steersman.model.builtin import Registry
from steersman.model.kind import Document, Kind
from steersman.model.kinds.customresourcedefinition import CUSTOMRESOURCEDEFINITION
from steersman.model.ref import Resource
from steersman.model.structural.shape import Converter

# Gives what converts objects of a definition, None where only their apiVersion changes
Converters = Callable[[Document], Converter | None]


@dataclass(frozen=True, slots=True)
class _Served:
    """What of a definition its kinds were made of."""

    definition: Document
    terminating: bool

    def made_of(self) -> tuple[object, ...]:
        """Returns what must change for the kinds to change."""
        status = self.definition.get("status") or {}
        served = [
            (one.get("type"), one.get("status"))
            for one in status.get("conditions") or ()
            if one.get("type") in ("NamesAccepted", "Established")
        ]
        uid = self.definition["metadata"].get("uid")
        spec = self.definition["spec"]
        return (uid, spec, status.get("acceptedNames"), served, self.ends_unserved)

    @property
    def ends_unserved(self) -> bool:
        """Whether the definition goes and no version of it is served."""
        versions = self.definition["spec"]["versions"]
        return self.terminating and not any(version.get("served") for version in versions)


class Definitions:
    """See the module. `changed` hears of each resource whose kinds were replaced or went."""

    def __init__(self, cache: Cache, kinds: Registry, converters: Converters) -> None:
        self._kinds = kinds
        self._converters = converters
        self.table: Table = cache.table(CUSTOMRESOURCEDEFINITION.resource)
        self._served: dict[Resource, _Served] = {}
        self.changed: Callable[[Resource], None] = lambda _resource: None

    def follow(self) -> None:
        """Serves what is there and follows what comes."""
        for entry in self.table.ordered():
            self._take(entry)
        self.table.watch("", self._hear)

    def is_terminating(self, resource: Resource) -> bool:
        """Says whether no objects may be created any more, since their definition goes."""
        found = self._served.get(resource)
        return found is not None and found.terminating

    def others(self, resource: Resource) -> list[Document]:
        """Returns the other definitions of a resource's group."""
        return [
            served.definition
            for other, served in self._served.items()
            if other.group == resource.group and other != resource
        ]

    def kind(self, resource: Resource) -> Kind | None:
        """Returns the preferred kind of a custom resource, None where none is served."""
        return self._kinds.of(resource)

    def _hear(self, event: Event) -> None:
        if event.new is not None:
            self._take(event.new)
        elif event.old is not None:
            resource = resource_of(event.old.name)
            self._served.pop(resource, None)
            self._kinds.serve(resource, ())
            self.changed(resource)

    def _take(self, entry: Entry) -> None:
        definition = entry.document()
        resource = resource_of(entry.name)
        terminating = bool(definition["metadata"].get("deletionTimestamp"))
        served = _Served(definition, terminating)
        before = self._served.get(resource)
        self._served[resource] = served
        if before is not None and before.made_of() == served.made_of():
            return
        kinds = kinds_of(definition, entry.revision, self._converters(definition))
        if before is None and not kinds:
            return
        self._kinds.serve(resource, kinds)
        if before is not None:
            self.changed(resource)


def resource_of(name: str) -> Resource:
    """Returns the resource that a definition is named after."""
    plural, _, group = name.partition(".")
    return Resource(group, plural)
