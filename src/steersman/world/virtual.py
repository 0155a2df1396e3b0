"""The world of a served cluster whose time is virtual: wire time is real, cluster time a `Clock`.

Its loop is asyncio's, and tells the clock whenever it would wait for the machine: then every task
of the process waits too.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from steersman.world.clock import Clock, Timer
from steersman.world.real import RealWorld

# A pause before a second attempt is part of what goes on; who has paused longer has given up for
# a while, and time is not to wait for them
HELD_SECONDS = 1.0


class VirtualWorld(RealWorld):
    """See `world.interface.World`; chance, ids and tasks are the real ones."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def now(self) -> float:
        """Returns the clock's reading."""
        return self.clock.now()

    async def sleep(self, seconds: float) -> None:
        """Waits until the clock has gone on so far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        over = asyncio.get_running_loop().create_future()
        timer = self.clock.call_at(self.clock.now() + seconds, lambda: _end(over))
        try:
            await over
        finally:
            timer.cancel()

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        """Bounds an await in the clock's time."""
        if seconds is None or seconds <= 0:
            return asyncio.timeout(seconds)
        return _Timeout(self.clock, seconds)

    async def pause(self, seconds: float) -> None:
        """Waits; the clock does not jump meanwhile."""
        if seconds > HELD_SECONDS:
            await asyncio.sleep(seconds)
            return
        with self.clock.hold():
            await asyncio.sleep(seconds)


def _end(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


class _Timeout:
    """`asyncio.timeout`, whose moment comes when the clock says so."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._inner = asyncio.timeout(None)
        self._timer: Timer | None = None

    async def __aenter__(self) -> _Timeout:
        await self._inner.__aenter__()
        self._timer = self._clock.call_at(self._clock.now() + self._seconds, self._expire)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._timer is not None
        self._timer.cancel()
        await self._inner.__aexit__(kind, error, trace)

    def _expire(self) -> None:
        self._inner.reschedule(asyncio.get_running_loop().time())


class _Telling(selectors.DefaultSelector):
    """A selector that tells a clock before it waits."""

    def __init__(self, idle: Callable[[], float | None]) -> None:
        super().__init__()
        self._idle = idle

    def select(self, timeout: float | None = None) -> list[Any]:
        """Returns what is ready; waits only where the clock has nothing to do before."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        wait = self._idle()
        if wait == 0:
            return ready
        if wait is not None and (timeout is None or wait < timeout):
            timeout = wait
        return super().select(timeout)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that gives a clock its turn when nothing else is to be done."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(_Telling(clock.idle))
