"""Admission that is configured in objects: policies and webhooks, in upstream's order.

A request that none of them covers costs a look-up. What changes an object may be asked twice
(reinvocationPolicy); the built-in plugins run again before. Who is asked is loaded (CEL with it)
when the first object configures somebody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from steersman.api.admission.asking.configured import CONFIGURING, GROUP, MOST_KNOWN
from steersman.api.admission.asking.rounds import Rounds, replaced
from steersman.api.admission.chain import Change
from steersman.api.cache import Cache, Event
from steersman.api.call import Call
from steersman.api.form import Form
from steersman.model.builtin import Registry
from steersman.model.kind import Document
from steersman.model.ref import Resource

NOBODY: Final = (False, False)


class Changing(Protocol):
    """Those who change objects."""

    def cover(self, call: Call, operation: str) -> bool:
        """Says whether they may have to be asked."""

    async def admit(self, change: Change, rounds: Rounds) -> Change:
        """Returns a change after all of them; raises an APIError where it is refused."""


class Checking(Protocol):
    """Those who say yes or no."""

    def cover(self, call: Call, operation: str) -> bool:
        """Says whether they may have to be asked."""

    async def validate(self, change: Change) -> None:
        """Raises an APIError where a change is refused."""


class Askers(NamedTuple):
    """Who is asked, in order."""

    changing: Sequence[Changing] = ()
    checking: Sequence[Checking] = ()


class Dynamic:
    """See the module; `load` returns who is asked, and is called once."""

    def __init__(self, cache: Cache, kinds: Registry, load: Callable[[], Askers]) -> None:
        self._tables = [cache.table(Resource(GROUP, plural)) for plural in CONFIGURING]
        self._load = load
        self._loaded: Askers | None = None
        self._known: dict[tuple[Form, str, str], tuple[bool, bool]] = {}
        self._is_open = False
        for table in self._tables:
            table.watch("", self._hear)
        kinds.on_change(self.forget)

    def _hear(self, _event: Event) -> None:
        self.forget()

    def open(self) -> None:
        """Begins. Before, the server writes what it cannot be without, and nobody whom it could
        ask can be there: a webhook that must be asked would keep it from ever starting."""
        self._is_open = True

    def forget(self) -> None:
        """Hears that something is configured otherwise."""
        self._known.clear()

    def changes(self, call: Call, operation: str) -> bool:
        """Says whether something that changes objects may have to be asked."""
        return self._asked(call, operation)[0]

    def checks(self, call: Call, operation: str) -> bool:
        """Says whether something that validates may have to be asked."""
        return self._asked(call, operation)[1]

    def _asked(self, call: Call, operation: str) -> tuple[bool, bool]:
        key = (call.form, call.attributes.subresource, operation)
        if (found := self._known.get(key)) is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            askers = self._askers()
            found = self._known[key] = (
                any(one.cover(call, operation) for one in askers.changing),
                any(one.cover(call, operation) for one in askers.checking),
            )
        return found if self._is_open and not call.direct else NOBODY

    def _askers(self) -> Askers:
        """Returns who is asked: nobody before an object configures somebody."""
        if self._loaded is None:
            if not any(len(table) for table in self._tables):
                return Askers()
            self._loaded = self._load()
        return self._loaded

    async def admit(self, change: Change, built_in: Callable[[Change], Document]) -> Change:
        """Returns a change after all that change objects; `built_in` are the plugins that ran
        before and run again in a second round."""
        asked = [
            (one, Rounds())
            for one in self._askers().changing
            if one.cover(change.call, change.operation)
        ]
        for one, rounds in asked:
            change = await one.admit(change, rounds)
        if change.new is None or not any(rounds.wants_again for _, rounds in asked):
            return change
        change = replaced(change, built_in(change))
        for one, rounds in asked:
            rounds.is_again = True
            change = await one.admit(change, rounds)
        return change

    async def validate(self, change: Change) -> None:
        """Raises the first refusal."""
        for one in self._askers().checking:
            if one.cover(change.call, change.operation):
                await one.validate(change)
