"""The real world: the machine's clocks and its source of chance."""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

from steersman.world.group import Group

# apimachinery/pkg/util/rand: no vowels and no digits that look like letters
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
# One call of the kernel for 256 ids: the call costs more than all the rest of making one
DRAWN_BYTES = 4096


class _Drawn(random.SystemRandom):
    """Chance from the kernel, asked for in large pieces; each byte is given out once."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes, self._used = b"", 0

    def randbytes(self, n: int) -> bytes:
        """Returns `n` bytes."""
        if self._used + n > len(self._bytes):
            self._bytes, self._used = os.urandom(max(n, DRAWN_BYTES)), 0
        self._used += n
        return self._bytes[self._used - n : self._used]

    def random(self) -> float:
        """Returns a number from 0 to 1, of the 53 bits that a float has."""
        return (int.from_bytes(self.randbytes(7), "big") >> 3) * 2.0**-53

    def getrandbits(self, k: int) -> int:
        """Returns a number of `k` bits."""
        size = (k + 7) // 8
        return int.from_bytes(self.randbytes(size), "big") >> (size * 8 - k)


class RealWorld:
    """See `world.interface.World`."""

    def __init__(self) -> None:
        self._random = _Drawn()

    def now(self) -> float:
        """Returns the wall clock."""
        return time.time()

    def monotonic(self) -> float:
        """Returns the monotonic clock."""
        return time.monotonic()

    def wire_now(self) -> float:
        """Returns the wall clock."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        """Bounds an await."""
        return asyncio.timeout(seconds)

    async def wire_sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)

    def wire_timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        """Bounds an await."""
        return asyncio.timeout(seconds)

    async def pause(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)

    def uid(self) -> str:
        """Returns a new version 4 UUID."""
        raw = self._random.randbytes(16)
        text = raw.hex()
        variant = "89ab"[raw[8] & 3]  # RFC 9562 section 5.4
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"

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
