"""A clock that is told how fast to go and how far to jump; it never goes back.

It flows at its rate and jumps while an advance is under way, and either way it never passes a
timer that has not had its turn: what was to happen at a time sees that time. It jumps only when
its loop says that every task waits (`idle`) and nothing holds it. Pure but for what it is given.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

# Timers that were cancelled stay until they are due, or until they are more than the others
MOST_CANCELLED: Final = 64
# The year 9999 is the last that RFC 3339 can write
END: Final = 253_402_300_799.0
# How far ahead of the reading is written down: as far as it gets in ten seconds of wire time, up
# to a week, so that a long advance seldom waits for the disk
AHEAD_SECONDS: Final = 10.0
MOST_AHEAD_SECONDS: Final = 7 * 86_400.0

Keep = Callable[[float, float], None]
Call = Callable[[], None]


class Timer:
    """One call that is due at a time."""

    __slots__ = ("_cancelled", "call", "due")

    def __init__(self, due: float, call: Call, cancelled: Call) -> None:
        self.due = due
        self.call: Call | None = call
        self._cancelled = cancelled

    def cancel(self) -> None:
        """Keeps the call from being made; does nothing after it was."""
        if self.call is not None:
            self.call = None
            self._cancelled()


class Reading(NamedTuple):
    """What a clock says of itself; `goal` is where an advance that is under way will end."""

    now: float
    rate: float
    goal: float | None


class Clock:
    """See the module. `rate` is in seconds of the cluster for each second of wire time; 0 is
    frozen. `keep` writes down a reading that will not be passed, and the rate."""

    def __init__(
        self, began: float, monotonic: Callable[[], float], *, rate: float, keep: Keep
    ) -> None:
        self._reading = self._from = began
        self._since = monotonic()
        self._monotonic = monotonic
        self._rate = rate
        self._resumed = rate or 1.0
        self._flows = True  # not while those have their turn who were due before
        self._keep = keep
        self._kept = began
        self._kept_at = (began, self._since)
        self._timers: list[tuple[float, int, Timer]] = []
        self._goals: list[tuple[float, int, Call]] = []
        self._sequence = 0
        self._cancelled = 0
        self._holds = 0
        self.busy: Callable[[], bool] = lambda: False
        # Has what happened until a reading be on disk before the reading is
        self.settle: Call = lambda: None

    def now(self) -> float:
        """Returns the reading, in seconds since 1970-01-01 UTC."""
        if self._flows and self._rate and not self._goals:
            self._move(self._bounded(self._flow()))
        return self._reading

    def read(self) -> Reading:
        """Returns what there is to say of the clock."""
        goal = max((due for due, _, _ in self._goals), default=None)
        return Reading(self.now(), self._rate, goal)

    def call_at(self, due: float, call: Call) -> Timer:
        """Has something called when the clock reads a time; one that was comes with the next."""
        timer = Timer(due, call, self._count_cancelled)
        self._sequence += 1
        heapq.heappush(self._timers, (due, self._sequence, timer))
        return timer

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keeps the clock from jumping for the time of a `with`."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    def check(self, goal: float) -> None:
        """Raises ValueError for a time that has passed or that no object can bear."""
        if goal < self.now():
            raise ValueError("the clock never goes back")
        if goal > END:
            raise ValueError("the clock ends with the year 9999")

    def advance(self, goal: float, arrived: Call) -> None:
        """Jumps, timer by timer, to a time, and says when all that was due has been done; raises
        what `check` does."""
        self.check(goal)
        self._sequence += 1
        heapq.heappush(self._goals, (goal, self._sequence, arrived))

    def advances(self) -> bool:
        """Says whether an advance is under way."""
        return bool(self._goals)

    def furthest(self) -> float:
        """Returns the time to which all advances that are under way lead."""
        return max((due for due, _, _ in self._goals), default=self.now())

    def withdraw(self, arrived: Call) -> None:
        """Ends an advance where it is, and has the clock go on from there."""
        left = [entry for entry in self._goals if entry[2] != arrived]
        if len(left) < len(self._goals):
            self._goals = left
            heapq.heapify(self._goals)
            self._begin(self._reading)
            self.save()

    def freeze(self) -> None:
        """Has the clock stand, also in the middle of an advance, which then is over."""
        goals, self._goals = self._goals, []
        if goals:
            self._begin(self._reading)
        self.set_rate(0.0)
        for _, _, arrived in goals:
            arrived()

    def set_rate(self, rate: float) -> None:
        """Has the clock go at another rate from now on; 0 freezes it."""
        self._begin(self._reading if self._goals else self.now())
        self._rate = rate
        self._resumed = rate or self._resumed
        self.save()

    def resume(self) -> None:
        """Has a frozen clock go on at the rate that it had."""
        self.set_rate(self._resumed)

    def save(self) -> None:
        """Writes the reading down as it is."""
        self._kept = self.now()
        self._write_down()

    def idle(self) -> float | None:
        """To be called when every task waits: gives the next that is due its turn.

        Returns 0 where something has its turn now; else the wire seconds until then, None for as
        long as nothing else happens.
        """
        if self._holds or self.busy():
            return None
        due = self._next()
        limit = self._goals[0][0] if self._goals else self._flow()
        if due is not None and due <= limit:
            self._fire(due)
            return 0.0
        self._flows = True
        self._move(limit)
        if self._goals:
            self._arrive()
            return 0.0
        return (due - limit) / self._rate if due is not None and self._rate else None

    def _fire(self, due: float) -> None:
        """Makes the calls that are due at one time, in the order in which they were asked for."""
        self._flows = False
        self._move(due)
        while self._timers and self._timers[0][0] <= due:
            _, _, timer = heapq.heappop(self._timers)
            if timer.call is None:
                self._cancelled -= 1
                continue
            call, timer.call = timer.call, None
            call()

    def _arrive(self) -> None:
        goal, _, arrived = heapq.heappop(self._goals)
        if not self._goals:
            self._begin(goal)
        self.save()
        arrived()

    def _begin(self, reading: float) -> None:
        """Has the flow begin anew from a reading."""
        self._from, self._since = reading, self._monotonic()

    def _flow(self) -> float:
        return self._from + self._rate * (self._monotonic() - self._since)

    def _bounded(self, wanted: float) -> float:
        due = self._next()
        return wanted if due is None else min(wanted, due)

    def _move(self, reading: float) -> None:
        if reading > self._reading:
            self._reading = min(reading, END)
            if self._reading > self._kept:
                self._keep_ahead()

    def _keep_ahead(self) -> None:
        """Writes down a reading that lies ahead, so that one that was seen is never before the
        one with which the next process begins."""
        (reading, since), now = self._kept_at, self._monotonic()
        pace = (self._reading - reading) / max(now - since, AHEAD_SECONDS / MOST_AHEAD_SECONDS)
        ahead = AHEAD_SECONDS * max(pace, self._rate, 1.0)
        self._kept_at = (self._reading, now)
        self._kept = self._reading + min(ahead, MOST_AHEAD_SECONDS)
        self._write_down()

    def _write_down(self) -> None:
        self.settle()
        self._keep(self._kept, self._rate)

    def _next(self) -> float | None:
        """Returns when the next timer is due."""
        while self._timers:
            due, _, timer = self._timers[0]
            if timer.call is not None:
                return due
            heapq.heappop(self._timers)
            self._cancelled -= 1
        return None

    def _count_cancelled(self) -> None:
        self._cancelled += 1
        if self._cancelled > MOST_CANCELLED and 2 * self._cancelled > len(self._timers):
            self._timers = [entry for entry in self._timers if entry[2].call is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0
