"""Admission that is configured in objects: policies and webhooks, in upstream's order.

A request that none of them covers costs a look-up. What changes an object may be asked twice
(reinvocationPolicy); the built-in plugins run again before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from steersman.api.admission.asking.rounds import Rounds, replaced
from steersman.api.admission.chain import Change
from steersman.api.call import Call
from steersman.model.kind import Document


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


class Dynamic:
    """See the module."""

    def __init__(self, changing: Sequence[Changing], checking: Sequence[Checking]) -> None:
        self._changing = changing
        self._checking = checking
        self._is_open = False

    def open(self) -> None:
        """Begins. Before, the server writes what it cannot be without, and nobody whom it could
        ask can be there: a webhook that must be asked would keep it from ever starting."""
        self._is_open = True

    def changes(self, call: Call, operation: str) -> bool:
        """Says whether something that changes objects may have to be asked."""
        return self._hears(call) and any(one.cover(call, operation) for one in self._changing)

    def checks(self, call: Call, operation: str) -> bool:
        """Says whether something that validates may have to be asked."""
        return self._hears(call) and any(one.cover(call, operation) for one in self._checking)

    def _hears(self, call: Call) -> bool:
        return self._is_open and not call.direct

    async def admit(self, change: Change, built_in: Callable[[Change], Document]) -> Change:
        """Returns a change after all that change objects; `built_in` are the plugins that ran
        before and run again in a second round."""
        asked = [
            (one, Rounds()) for one in self._changing if one.cover(change.call, change.operation)
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
        for one in self._checking:
            if one.cover(change.call, change.operation):
                await one.validate(change)
