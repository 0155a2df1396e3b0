"""The simulated world: virtual time and seeded chance, so that one seed is one run.

Time stands still while any task can run and jumps to the next timer when all of them wait.
Everything runs on one loop without sockets; real I/O never completes here.
"""

from __future__ import annotations

import asyncio
import random
import selectors
import uuid
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from steersman.world.group import Group
from steersman.world.real import SUFFIX_ALPHABET

Result = TypeVar("Result")
START = 1_767_225_600.0  # 2026-01-01T00:00:00Z: a fixed beginning keeps transcripts readable


class Stalled(RuntimeError):
    """Every task waits and no timer is set: nothing can ever happen again."""


class _Jumping(selectors.SelectSelector):
    """A selector that never waits: it moves the loop's clock instead."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            if ready := super().select(0):
                return ready
            raise Stalled("every task waits and no timer is set")
        if timeout > 0:
            self.clock += timeout
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Returns virtual seconds since the loop began."""
        return self._jumping.clock


class SimulatedWorld:
    """See `world.interface.World`; every draw comes from one generator."""

    def __init__(self, seed: int, loop: SimulatedLoop) -> None:
        self.random = random.Random(seed)
        self._loop = loop

    def now(self) -> float:
        """Returns virtual cluster time."""
        return START + self._loop.time()

    def monotonic(self) -> float:
        """Returns virtual time: nothing real happens in a simulation."""
        return self._loop.time()

    def wire_now(self) -> float:
        """Returns virtual time: nothing real happens in a simulation."""
        return self.now()

    async def sleep(self, seconds: float) -> None:
        """Waits in virtual time."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        """Bounds an await in virtual time."""
        return asyncio.timeout(seconds)

    async def wire_sleep(self, seconds: float) -> None:
        """Waits in virtual time."""
        await asyncio.sleep(seconds)

    def wire_timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        """Bounds an await in virtual time."""
        return asyncio.timeout(seconds)

    async def pause(self, seconds: float) -> None:
        """Waits in virtual time."""
        await asyncio.sleep(seconds)

    def uid(self) -> str:
        """Returns a version 4 UUID drawn from the seed."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def suffix(self, length: int = 5) -> str:
        """Returns a name suffix drawn from the seed."""
        return "".join(self.random.choices(SUFFIX_ALPHABET, k=length))

    def draw(self, count: int) -> int:
        """Returns a number below `count`, drawn from the seed."""
        return self.random.randrange(count)

    def jitter(self, seconds: float, factor: float = 0.1) -> float:
        """Returns the duration, lengthened by a draw from the seed."""
        return seconds * (1 + factor * self.random.random())

    def tasks(self) -> Group:
        """Returns a new group of tasks."""
        return Group()


def simulate(seed: int, main: Any) -> Any:
    """Runs `main(world)` to its end in a fresh simulated world and returns its result."""
    loop = SimulatedLoop()
    try:
        work: Coroutine[Any, Any, Any] = main(SimulatedWorld(seed, loop))
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
