"""Objects as documents for the parts of the server that decide by them: roles, accounts, nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from steersman.api.cache import Cache, Event
from steersman.model.kind import Document
from steersman.model.ref import Ref, Resource
from steersman.model.view import Meta, Object

_DECODER = msgspec.json.Decoder(Object)


class Objects:
    """Reads the cache; never waits, never writes."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def each(self, group: str, plural: str) -> Iterable[Document]:
        """Returns every object of a resource type."""
        return [entry.document() for entry in self._cache.table(Resource(group, plural)).ordered()]

    def find(self, ref: Ref) -> Document | None:
        """Returns one object, None where it does not exist."""
        entry = self._cache.table(ref.kind).get(ref.namespace, ref.name)
        return entry.document() if entry else None

    def metadata(self, ref: Ref) -> Meta | None:
        """Returns one object's metadata, None where it does not exist."""
        entry = self._cache.table(ref.kind).get(ref.namespace, ref.name)
        if entry is None:
            return None
        found: Object = _DECODER.decode(entry.value)
        return found.metadata

    def on_change(self, resource: Resource, hear: Callable[[Event], None]) -> None:
        """Calls `hear` with every change of a resource type from now on."""
        self._cache.table(resource).watch("", hear)
