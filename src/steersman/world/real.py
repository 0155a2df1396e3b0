"""The real world: the machine's clocks and its source of chance."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from contextlib import AbstractAsyncContextManager
from typing import Any

from steersman.world.group import Group

# apimachinery/pkg/util/rand: no vowels and no digits that look like letters
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class RealWorld:
    """See `world.interface.World`."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def now(self) -> float:
        """Returns the wall clock."""
        return time.time()

    def monotonic(self) -> float:
        """Returns the monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        """Bounds an await."""
        return asyncio.timeout(seconds)

    def uid(self) -> str:
        """Returns a new version 4 UUID."""
        return str(uuid.uuid4())

    def suffix(self, length: int = 5) -> str:
        """Returns a random name suffix."""
        return "".join(self._random.choices(SUFFIX_ALPHABET, k=length))

    def draw(self, count: int) -> int:
        """Returns a number below `count`."""
        return self._random.randrange(count)

    def jitter(self, seconds: float, factor: float = 0.1) -> float:
        """Returns the duration, lengthened by chance."""
        return seconds * (1 + factor * self._random.random())

    def tasks(self) -> Group:
        """Returns a new group of tasks."""
        return Group()
