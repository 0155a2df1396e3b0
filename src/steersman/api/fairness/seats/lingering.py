"""Seats that are held for a moment after the answer: one task for all of them."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from steersman.world.interface import World


class Lingering:
    """Calls what is to be called once its time has come; sleeps while there is nothing."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._sooner = asyncio.Event()

    def add(self, seconds: float, call: Callable[[], None]) -> None:
        """Has something called after so many seconds."""
        self._count += 1
        heapq.heappush(self._heap, (self._world.monotonic() + seconds, self._count, call))
        if self._heap[0][1] == self._count:
            self._sooner.set()

    async def run(self) -> None:
        """Works for ever."""
        while True:
            self._sooner.clear()
            now = self._world.monotonic()
            while self._heap and self._heap[0][0] <= now:
                heapq.heappop(self._heap)[2]()
            await self._sleep(self._heap[0][0] - now if self._heap else None)

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with self._world.wire_timeout(seconds):
                await self._sooner.wait()
        except TimeoutError:
            return
