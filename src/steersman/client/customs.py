"""The kinds of custom resources as a client knows them: they come and go with their definitions."""

from __future__ import annotations

from collections.abc import Callable

from steersman.client.interface import View
from steersman.model.kind import Kind
from steersman.model.kinds.customresourcedefinition import CustomResourceDefinition, plain_kind
from steersman.model.ref import Resource

# Hears of a kind that came (True) or went (False)
Hear = Callable[[Kind, bool], None]


class Customs:
    """Follows definitions; `drop` is called with each kind that went, after all have heard of it.

    A kind whose versions changed goes and comes again.
    """

    def __init__(self, definitions: View, drop: Callable[[Kind], None]) -> None:
        self.kinds: dict[Resource, Kind] = {}
        self._drop = drop
        self._listeners: list[Hear] = []
        self._made_of: dict[Resource, tuple[object, ...]] = {}
        definitions.listen(self._hear)
        for found in definitions.list():
            self._hear(None, found)

    def listen(self, hear: Hear) -> None:
        """Calls `hear` with the kinds that are there, and with those that come and go."""
        self._listeners.append(hear)
        for kind in list(self.kinds.values()):
            hear(kind, True)

    def _hear(
        self, old: CustomResourceDefinition | None, new: CustomResourceDefinition | None
    ) -> None:
        before = _resource(old) if old is not None else None
        after = _resource(new) if new is not None else None
        if before is not None and before != after:
            self._end(before)
        if new is None or after is None:
            return
        kind = plain_kind(new)
        made_of = (new.metadata.uid, new.spec, new.status.accepted_names, kind is None)
        if self._made_of.get(after) == made_of:
            return
        self._end(after)
        self._made_of[after] = made_of
        if kind is not None:
            self.kinds[after] = kind
            self._tell(kind, True)

    def _end(self, resource: Resource) -> None:
        self._made_of.pop(resource, None)
        if (kind := self.kinds.pop(resource, None)) is not None:
            self._tell(kind, False)
            self._drop(kind)

    def _tell(self, kind: Kind, came: bool) -> None:
        for hear in list(self._listeners):
            hear(kind, came)


def _resource(definition: CustomResourceDefinition) -> Resource:
    return Resource(definition.spec.group, definition.spec.names.plural)
