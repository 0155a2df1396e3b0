"""How much begins in one turn of the event loop: who comes meanwhile is to have their turn too.

One loop does all the work, so that seats alone do not keep a flood from holding up the others:
hundreds of requests that all have seats would still run one after the other, in the order in which
they came. What comes when a turn has lasted long waits in its queue, and of those who wait so many
begin in each turn, in the order of fair queuing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

# From its first request on a turn may begin others for so long: some dozen writes
TURN_SECONDS: Final = 0.005
# A turn of so few is never late: what took so long was another process, or one of them alone
FEW: Final = 8
# Of those who wait at a level so many begin in a turn: as many as share a commit well
STARTS: Final = 16


class Waiting(Protocol):
    """A level at which requests wait."""

    def resume(self, now: float) -> None:
        """Has some of them begin."""


class Pace:
    """See the module. `call_soon` calls something in the next turn of the loop."""

    def __init__(
        self, call_soon: Callable[[Callable[[], None]], Any], monotonic: Callable[[], float]
    ) -> None:
        self._call_soon = call_soon
        self._monotonic = monotonic
        self._since: float | None = None  # when the turn's first request came
        self._asked = 0  # requests of this turn
        self._begun: dict[Waiting, int] = {}

    def is_late(self, now: float) -> bool:
        """Says whether a turn has lasted so long that no more is to begin in it."""
        if self._since is None:
            self._since, self._asked = now, 1
            self._call_soon(self._turned)
            return False
        self._asked += 1
        return self._asked > FEW and now - self._since > TURN_SECONDS

    def take(self, level: Waiting, now: float) -> bool:
        """Says whether one of those who wait may begin in this turn; where none may any more the
        level is resumed in the next."""
        self.is_late(now)
        begun = self._begun.get(level, 0)
        self._begun[level] = begun + 1
        return begun < STARTS

    def _turned(self) -> None:
        self._since = None
        begun, self._begun = self._begun, {}
        for level in begun:
            level.resume(self._monotonic())
