"""The keyed work queue of one controller: a key waits at most once and is never worked on twice
at the same time.

Failed keys come back after 5 ms, doubling up to 1,000 s, as in client-go's rate limiter; delays
pass through `World`. Follows client-go util/workqueue.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from steersman.reconcile.figures import Figures
from steersman.world.interface import World

Key = TypeVar("Key", bound=Hashable)

FIRST_RETRY_SECONDS = 0.005  # client-go DefaultTypedControllerRateLimiter
LAST_RETRY_SECONDS = 1000.0  # the same
MAX_KEYS = 1_000_000  # a key is an object: far beyond what one cluster's store holds


class QueueFull(RuntimeError):
    """More distinct keys wait than a cluster can have objects: something invents keys."""


class Queue(Generic[Key]):
    """Keys to be worked on, in the order in which they came."""

    def __init__(self, world: World, limit: int = MAX_KEYS) -> None:
        self._world = world
        self._limit = limit
        self._ready: deque[Key] = deque()
        # in _ready, or to be put there once it is done; and since when
        self._waiting: dict[Key, float] = {}
        self.working: dict[Key, float] = {}  # and since when
        self.figures = Figures()
        self._failures: dict[Key, int] = {}
        self._due: dict[Key, float] = {}  # the earliest time asked for
        self._timers: list[tuple[float, int, Key]] = []
        self._sequence = 0
        self._some = asyncio.Event()
        self._sooner = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def depth(self) -> int:
        """How many keys could be taken now."""
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is being worked on; delayed keys do not count."""
        return not self._waiting and not self.working

    def add(self, key: Key) -> None:
        """Makes a key due now; a key that is being worked on comes again when it is done."""
        if key in self._waiting:
            return
        if len(self._waiting) >= self._limit:
            raise QueueFull(f"{self._limit} keys wait")
        self._waiting[key] = self._world.monotonic()
        self.figures.adds += 1
        if key not in self.working:
            self._ready.append(key)
            self._some.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Makes a key due after a time; of several such wishes the earliest counts."""
        self.figures.retries += 1  # client-go counts every wish as one
        if seconds <= 0:
            self.add(key)
            return
        due = self._world.now() + seconds
        if self._due.get(key, due + 1) <= due:
            return
        if len(self._due) >= self._limit:
            raise QueueFull(f"{self._limit} keys are delayed")
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._timers, (due, self._sequence, key))
        self._sooner.set()

    def retry(self, key: Key) -> float:
        """Makes a failed key due after its back-off and returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = LAST_RETRY_SECONDS
        if failures < 64:  # beyond this the power is above any bound anyway
            delay = min(FIRST_RETRY_SECONDS * 2**failures, LAST_RETRY_SECONDS)
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """Ends a key's back-off: its next failure counts as the first."""
        self._failures.pop(key, None)

    def failures(self, key: Key) -> int:
        """Returns how often a key failed in a row."""
        return self._failures.get(key, 0)

    async def take(self) -> Key:
        """Returns the next key, which is then being worked on until `done`."""
        while not self._ready:
            self._some.clear()
            await self._some.wait()
        key = self._ready.popleft()
        now = self._world.monotonic()
        self.figures.waited.observe(now - self._waiting.pop(key))
        self.working[key] = now
        return key

    def done(self, key: Key) -> None:
        """Ends the work on a key; where it was added meanwhile, it is due again."""
        now = self._world.monotonic()
        self.figures.worked.observe(now - self.working.pop(key))
        if key in self._waiting:
            self._ready.append(key)
            self._some.set()

    async def keep_time(self) -> None:
        """Moves delayed keys to the due ones, for ever; run as one task per queue."""
        while True:
            self._sooner.clear()
            wait = self._move()
            try:
                async with self._world.timeout(wait):
                    await self._sooner.wait()
            except TimeoutError:
                continue

    def _move(self) -> float | None:
        """Adds what is due and returns the seconds until the next, None where nothing waits."""
        now = self._world.now()
        while self._timers:
            due, _, key = self._timers[0]
            if self._due.get(key) != due:  # superseded by an earlier wish
                heapq.heappop(self._timers)
                continue
            if due > now:
                return due - now
            heapq.heappop(self._timers)
            del self._due[key]
            self.add(key)
        return None
