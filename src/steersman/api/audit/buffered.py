"""Events that wait for being handed on together: upstream's `batch` mode
(apiserver/plugin/pkg/audit/buffered).

A request never waits here. What comes while the buffer is full is lost, and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from steersman.api.audit.settings import Batching
from steersman.world.interface import World

# What waits when the server ends is handed on within this time, or lost
FAREWELL_SECONDS: Final = 2.0


class Buffered:
    """See the module and `auditor.Log`."""

    name = "buffered"
    strict = False

    def __init__(
        self,
        batching: Batching,
        send: Callable[[Sequence[bytes]], Awaitable[None]],
        world: World,
    ) -> None:
        self._batching = batching
        self._send = send
        self._world = world
        self._waiting: deque[bytes] = deque()
        self._came = asyncio.Event()
        self._credit = float(batching.burst)
        self._counted = world.monotonic()

    def write(self, line: bytes) -> bool:
        """Takes an event; says whether there was room for it."""
        if len(self._waiting) >= self._batching.buffer:
            return False
        self._waiting.append(line)
        self._came.set()
        return True

    async def run(self) -> None:
        """Hands batches on until cancelled, and then what waits still."""
        try:
            while True:
                await self._gather()
                await self._take_turn()
                await self._send(self._batch())
        finally:
            with suppress(TimeoutError):
                async with self._world.wire_timeout(FAREWELL_SECONDS):
                    while self._waiting:
                        await self._send(self._batch())

    async def _gather(self) -> None:
        """Waits for an event, and then a while for as many as make a batch."""
        while not self._waiting:
            await self._signal()
        with suppress(TimeoutError):
            async with self._world.wire_timeout(self._batching.wait_seconds):
                while len(self._waiting) < self._batching.size:
                    await self._signal()

    async def _signal(self) -> None:
        self._came.clear()
        await self._came.wait()

    async def _take_turn(self) -> None:
        """Waits until there is credit for one more batch; `burst` of it may be saved up."""
        if not (rate := self._batching.rate):
            return
        now = self._world.monotonic()
        earned = (now - self._counted) * rate
        self._credit = min(self._batching.burst, self._credit + earned) - 1
        self._counted = now
        if self._credit < 0:
            await self._world.wire_sleep(-self._credit / rate)

    def _batch(self) -> list[bytes]:
        count = min(self._batching.size, len(self._waiting))
        return [self._waiting.popleft() for _ in range(count)]
