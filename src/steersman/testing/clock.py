"""The hands on a test's clock: called from the test's thread, done in the cluster's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from steersman.model.duration import parse_duration
from steersman.world.clock import Clock

Result = TypeVar("Result")


class VirtualClock:
    """A cluster's clock. Every call returns when it is done: `advance` when everything that was
    due has happened, and all that followed from it."""

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._clock = clock
        self._loop = loop

    def now(self) -> datetime:
        """Returns what the clock reads."""
        return datetime.fromtimestamp(self._do(self._clock.now), UTC)

    def advance(self, by: str | float | timedelta) -> None:
        """Lets time pass: "3d", "12h30m", a number of seconds, or a timedelta."""
        if isinstance(by, str):
            seconds = parse_duration(by)
        else:
            seconds = by.total_seconds() if isinstance(by, timedelta) else float(by)
        self._advance(lambda: self._clock.furthest() + seconds)

    def advance_to(self, moment: datetime) -> None:
        """Lets time pass until a moment; raises ValueError for one that has passed."""
        if moment.tzinfo is None:
            raise ValueError(f"{moment} has no time zone")
        self._advance(moment.timestamp)

    def freeze(self) -> None:
        """Has the clock stand."""
        self._do(self._clock.freeze)

    def resume(self) -> None:
        """Has a frozen clock go on at the rate that it had."""
        self._do(self._clock.resume)

    def set_rate(self, rate: float) -> None:
        """Has the clock go so many times as fast as the machine's."""
        if not 0 < rate < float("inf"):
            raise ValueError("a rate is a number greater than 0")
        self._do(lambda: self._clock.set_rate(rate))

    def _advance(self, goal: Callable[[], float]) -> None:
        arrived: Future[None] = Future()

        def begin() -> None:
            try:
                self._clock.advance(goal(), lambda: arrived.set_result(None))
            except ValueError as error:
                arrived.set_exception(error)

        self._loop.call_soon_threadsafe(begin)
        arrived.result()

    def _do(self, call: Callable[[], Result]) -> Result:
        done: Future[Result] = Future()
        self._loop.call_soon_threadsafe(lambda: done.set_result(call()))
        return done.result()
