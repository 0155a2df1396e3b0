"""The order of admission plugins, and what each is given.

A plugin changes a document (`admit`) or refuses it (`check`, raising an APIError); both are pure
but for what they look up in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from steersman.api.admission.figures import Timed
from steersman.api.call import Call
from steersman.model.kind import Document

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


class Change(msgspec.Struct, frozen=True):
    """One write on its way: `old` is None on create, `new` is None on delete.

    options: of a deletion, as they were given
    head:    group, version and kind of the object where it is not one of the resource (a Binding)
    """

    call: Call
    operation: Operation
    new: Document | None
    old: Document | None
    options: Document | None = None
    head: tuple[str, str, str] | None = None
    dry_run: bool = False

    @property
    def subresource(self) -> str:
        """The subresource that is written."""
        return self.call.subresource

    @property
    def name(self) -> str:
        """The object's name; empty where many are deleted."""
        given = self.call.name
        if not given and self.operation == "CREATE" and self.new is not None:
            given = (self.new.get("metadata") or {}).get("name") or ""
        return given

    @property
    def namespace(self) -> str:
        """The object's namespace; that of a namespace is itself."""
        kind = self.call.kind
        if kind.name == "Namespace" and not kind.group:
            return self.name
        return self.call.namespace


class Plugin(Protocol):
    """One admission plugin; it looks at nothing but the changes it names. What one takes over from
    here says nothing, and is not called: there are some thirty at each write."""

    name: str

    @property
    def about(self) -> frozenset[str] | None:
        """The kinds that it looks at, by their names in any group; None for all."""
        return None

    def admit(self, change: Change) -> Document | None:
        """Returns the document to go on with, or None to leave it as it is."""
        return None

    def check(self, change: Change) -> None:
        """Raises an APIError where the change is refused."""
        return

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Returns what `admit` and `check` look at when an object is made, beside its own fields
        outside of metadata; None where they look at more than can be named."""
        return ()


class _Asked(NamedTuple):
    """What is asked about a kind: the methods of plugins that are their own."""

    admit: tuple[Callable[[Change], Document | None], ...]
    check: tuple[Callable[[Change], None], ...]
    rests_on: tuple[Callable[[Call, Document], Hashable | None], ...]


def _asked(plugins: Sequence[Plugin]) -> _Asked:
    return _Asked(
        tuple(it.admit for it in plugins if type(it).admit is not Plugin.admit),
        tuple(it.check for it in plugins if type(it).check is not Plugin.check),
        tuple(it.rests_on for it in plugins if type(it).rests_on is not Plugin.rests_on),
    )


class Outside(Protocol):
    """Those who are asked after the plugins, and who may have to be waited for (`dynamic.py`)."""

    def changes(self, call: Call, operation: Operation) -> bool:
        """Says whether one may have to be asked who changes objects."""

    def checks(self, call: Call, operation: Operation) -> bool:
        """Says whether one may have to be asked who validates."""

    async def admit(self, change: Change, built_in: Callable[[Change], Document]) -> Change:
        """Returns a change after all of them; `built_in` are the plugins, which may run again."""

    async def validate(self, change: Change) -> None:
        """Raises an APIError where the change is refused."""


class Quotas(Plugin, Protocol):
    """The plugin that comes after all others: there must be room for what they let pass."""

    def charged(self, change: Change, stored: bytes = b"") -> AbstractContextManager[None]:
        """Returns the context in which a change is to be committed; raises Forbidden. `stored` is
        the new object where the change has only its metadata."""


class Chain:
    """Runs plugins in order: all that change, later all that check. After them others are asked,
    where there are any: see whether with `changes` and `checks`, before anything is awaited. A
    commit is made within `charged`. `families` tells what was counted."""

    def __init__(
        self,
        plugins: Iterable[Plugin],
        quotas: Quotas,
        timed: Timed,
        outside: Outside | None = None,
    ) -> None:
        every = (*plugins, quotas)
        named = {kind for one in every for kind in one.about or ()}
        self._about = {
            kind: _asked([one for one in every if one.about is None or kind in one.about])
            for kind in named
        }
        self._general = _asked([one for one in every if one.about is None])
        self._timed = timed.step
        self.families = timed.figures.families
        self.charged = quotas.charged
        self.outside = outside

    def changes(self, call: Call, operation: Operation) -> bool:
        """Says whether `admit_outside` is to be awaited."""
        outside = self.outside
        return outside is not None and outside.changes(call, operation) and _is_own(call)

    def checks(self, call: Call, operation: Operation) -> bool:
        """Says whether `check_outside` is to be awaited."""
        outside = self.outside
        return outside is not None and outside.checks(call, operation) and _is_own(call)

    def hears(self, call: Call, operation: Operation) -> bool:
        """Says whether `pass_outside` is to be awaited for what is no object of the resource."""
        outside = self.outside
        return outside is not None and (
            outside.changes(call, operation) or outside.checks(call, operation)
        )

    async def pass_outside(self, change: Change) -> Change:
        """Returns what is no object of the resource (a Binding, options of a stream) after all
        who are asked; raises the first refusal."""
        assert self.outside is not None
        if self.outside.changes(change.call, change.operation):
            change = await self.outside.admit(change, lambda one: one.new or {})
        if self.outside.checks(change.call, change.operation):
            await self.outside.validate(change)
        return change

    async def admit_outside(self, change: Change) -> Change:
        """Returns a change after those who change objects."""
        assert self.outside is not None
        with self._timed("admit", change.operation):
            return await self.outside.admit(change, self._admit)

    async def validate_outside(self, change: Change) -> None:
        """Raises the first refusal of those who validate."""
        assert self.outside is not None
        with self._timed("validate", change.operation):
            await self.outside.validate(change)

    def admit(self, change: Change) -> Document:
        """Returns the document after every plugin."""
        with self._timed("admit", change.operation):
            return self._admit(change)

    def _admit(self, change: Change) -> Document:
        for admit in self._of(change.call).admit:
            if (document := admit(change)) is not None and document is not change.new:
                change = replace(change, new=document)
        assert change.new is not None
        return change.new

    def check(self, change: Change) -> None:
        """Raises the first refusal."""
        with self._timed("validate", change.operation):
            for check in self._of(change.call).check:
                check(change)

    def _of(self, call: Call) -> _Asked:
        """Returns what is asked about a kind: of some thirty plugins a handful, for most kinds."""
        return self._about.get(call.kind.name, self._general)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Returns what the answers of all plugins about a new object rest on; see `Plugin`.
        What those outside say is not foreseen."""
        if self.changes(call, "CREATE") or self.checks(call, "CREATE"):
            return None
        found = [rests_on(call, meta) for rests_on in self._of(call).rests_on]
        return None if None in found else tuple(found)


def _is_own(call: Call) -> bool:
    """Says whether what is written is the object: a Binding or a Scale was admitted before."""
    if not call.subresource:
        return True
    found = call.kind.subresource(call.subresource)
    return found is None or not found.document
