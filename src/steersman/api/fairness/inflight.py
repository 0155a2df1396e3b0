"""Without fairness: so many requests at once that change something, so many that read.

Follows apiserver's maxinflight.go (--enable-priority-and-fairness=false).
"""

from __future__ import annotations

from steersman.api.access.authorization import MASTERS, Attributes
from steersman.api.fairness.configuration import is_long
from steersman.api.fairness.estimate import ONE, Estimate
from steersman.api.fairness.seats.figures import Figures
from steersman.api.fairness.seats.level import Level
from steersman.api.fairness.seats.queues import Flow
from steersman.wire.message import Request, User

_READS = ("get", "list", "watch")


class InFlight:
    """See the module, and `serving.Rules`; a limit of 0 is none."""

    def __init__(self, reads: int, writes: int, now: float) -> None:
        self._reads = _flow("readOnly", reads, now)
        self._writes = _flow("mutating", writes, now)

    def flow(self, user: User, asked: Attributes) -> Flow | None:
        """Returns what a request counts to; when all seats are taken, administrators are still
        answered, and watches are not counted."""
        found = self._reads if asked.verb in _READS else self._writes
        if found is None or asked.verb == "watch" or is_long(asked):
            return None
        return None if not found.level.open and MASTERS in user.groups else found

    def estimate(self, flow: Flow, request: Request, asked: Attributes) -> Estimate:
        """Returns one seat."""
        return ONE

    def refuse(self, level: Level) -> int:
        """Returns a second."""
        return 1

    def ended(self, level: Level) -> None:
        """Never happens: these two levels stay."""


def _flow(name: str, limit: int, now: float) -> Flow | None:
    if not limit:
        return None
    level = Level(name, now)
    level.set_limit(limit, now)
    return Flow(level, name, "", (), {}, Figures())
