"""After how many seconds one who was turned away may try again.

Follows apiserver's dropped_requests_tracker.go: twice as long where many were turned away lately,
a second less where few were.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MOST_SECONDS: Final = 32
# Turned away in as many seconds, times this, and the wait grows
MANY: Final = 3


class Retry:
    """What is known of one level."""

    def __init__(self) -> None:
        self.seconds = 1
        self._grown = 0  # when, in seconds
        self._second = 0
        self._count = 0
        self._history: deque[tuple[int, int]] = deque()

    def refuse(self, now: float) -> int:
        """Counts one who is turned away; returns when they may try again."""
        second = int(now)
        if second == self._second:
            self._count += 1
            return self.seconds
        self._history.append((self._second, self._count))
        kept = min(2 * self.seconds, MOST_SECONDS)
        while self._history and self._second - self._history[0][0] > kept:
            self._history.popleft()
        self._second, self._count = second, 1
        self._decide(second)
        return self.seconds

    def _decide(self, now: int) -> None:
        wait = self.seconds
        refused = sum(count for second, count in self._history if now - second <= wait)
        if now - self._grown >= wait and refused >= MANY * wait:
            self.seconds, self._grown = min(2 * wait, MOST_SECONDS), now
        elif refused < wait and wait > 1:
            self.seconds = wait - 1
