"""A world whose clock stands until it is told to go on, on a real loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from steersman.world.clock import Clock
from steersman.world.virtual import VirtualLoop, VirtualWorld

START = 2_000_000_000.0


def virtually(main: Callable[[VirtualWorld], Coroutine[Any, Any, Any]], rate: float = 0) -> Any:
    """Runs a coroutine in a world with a clock of its own."""
    clock = Clock(START, time.monotonic, rate=rate, keep=lambda *_: None)
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        return runner.run(main(VirtualWorld(clock)))


async def advance(world: VirtualWorld, seconds: float) -> None:
    """Has the clock go on and returns when it has."""
    arrived = asyncio.Event()
    world.clock.advance(world.now() + seconds, arrived.set)
    await arrived.wait()
