"""The order of admission plugins, and what each is given.

A plugin changes a document (`admit`) or refuses it (`check`, raising an APIError); both are pure
but for what they look up in the cache.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Literal, Protocol

import msgspec

from steersman.api.call import Call
from steersman.model.kind import Document

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


class Change(msgspec.Struct, frozen=True):
    """One write on its way: `old` is None on create, `new` is None on delete."""

    call: Call
    operation: Operation
    new: Document | None
    old: Document | None


class Plugin(Protocol):
    """One admission plugin; it looks at nothing but the changes it names."""

    name: str

    def admit(self, change: Change) -> Document | None:
        """Returns the document to go on with, or None to leave it as it is."""

    def check(self, change: Change) -> None:
        """Raises an APIError where the change is refused."""

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Returns what `admit` and `check` look at when an object is made, beside its own fields
        outside of metadata; None where they look at more than can be named."""


class Chain:
    """Runs plugins in order: all that change, later all that check."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self._plugins = tuple(plugins)

    def admit(self, change: Change) -> Document:
        """Returns the document after every plugin."""
        assert change.new is not None
        document = change.new
        for plugin in self._plugins:
            moved = Change(change.call, change.operation, document, change.old)
            document = plugin.admit(moved) or document
        return document

    def check(self, change: Change) -> None:
        """Raises the first refusal."""
        for plugin in self._plugins:
            plugin.check(change)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Returns what the answers of all plugins about a new object rest on; see `Plugin`."""
        found = [plugin.rests_on(call, meta) for plugin in self._plugins]
        return None if None in found else tuple(found)
