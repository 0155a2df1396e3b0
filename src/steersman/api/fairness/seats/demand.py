"""How many seats a level could have used, over a time: average, deviation, most.

Follows apiserver's fairqueuing/integrator.go.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Observed(NamedTuple):
    """What was seen in some seconds."""

    average: float = 0.0
    deviation: float = 0.0
    most: int = 0


class Demand:
    """Seats in use and asked for, as they change."""

    __slots__ = ("_at", "_began", "_most", "_seats", "_sum", "_sum_of_squares")

    def __init__(self, now: float) -> None:
        self._seats = 0
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._began = self._at = now
        self._most = self._seats
        self._sum = self._sum_of_squares = 0.0

    def note(self, seats: int, now: float) -> None:
        """Notes how many seats there is a use for from now on."""
        before, seconds = self._seats, now - self._at
        self._sum += before * seconds
        self._sum_of_squares += before * before * seconds
        self._at, self._seats = now, seats
        if seats > self._most:
            self._most = seats

    def reset(self, now: float) -> Observed:
        """Returns what was seen since the last reset, and begins anew."""
        self.note(self._seats, now)
        seconds, most = now - self._began, self._most
        average = self._sum / seconds if seconds > 0 else float(self._seats)
        variance = self._sum_of_squares / seconds - average * average if seconds > 0 else 0.0
        self._begin(now)
        return Observed(average, math.sqrt(max(variance, 0.0)), most)
