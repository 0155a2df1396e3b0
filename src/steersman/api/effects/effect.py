"""What a write of one kind brings about in the same revision: addresses taken, released.

A kind with an effect registers it in `server.py`; the others cost one look-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from steersman.api.call import Call
from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.store.interface import Conflict, Write


class Outcome(msgspec.Struct, frozen=True):
    """The document to go on with and what else is to be written with it."""

    document: Document
    writes: tuple[Write, ...] = ()


class Taken(Exception):
    """Another write was faster with something that an effect wanted; to be tried again once the
    cache knows of that write, which made `revision`."""

    def __init__(self, conflict: Conflict) -> None:
        super().__init__(f"{conflict.key} was taken meanwhile")
        self.revision = conflict.current.revision if conflict.current else 0


class Effect(Protocol):
    """The effect of writing one kind."""

    def on_write(self, call: Call, new: Document, old: Document | None) -> Outcome:
        """Returns what a create (`old` is None) or update brings about."""

    def on_delete(self, call: Call, old: Document) -> tuple[Write, ...]:
        """Returns what is to be written with a deletion."""


class Effects:
    """The effects of all kinds that have one."""

    def __init__(self, effects: Mapping[Resource, Effect]) -> None:
        self._effects = dict(effects)

    def begin(self, call: Call, new: Document, old: Document | None) -> Outcome:
        """Returns what a create or update brings about."""
        effect = self._effects.get(call.table.resource)
        if effect is None or call.subresource:
            return Outcome(new)
        return effect.on_write(call, new, old)

    def end(self, call: Call, old: Document) -> tuple[Write, ...]:
        """Returns what is to be written with a deletion."""
        effect = self._effects.get(call.table.resource)
        return effect.on_delete(call, old) if effect else ()
