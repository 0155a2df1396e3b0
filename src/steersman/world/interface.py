"""The interface of the door to time, chance, identity and tasks.

Cluster time is what fields of objects speak of; wire time is for sockets, fsync and certificates.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol


class Tasks(AbstractAsyncContextManager["Tasks", None], Protocol):
    """Tasks that live and die together: one failure cancels the rest and is raised at the end."""

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Starts one task in the group."""

    def stop(self) -> None:
        """Cancels every task of the group; the group then ends without an error."""


class World(Protocol):
    """Passed to every part; nobody imports a clock or a source of chance."""

    def now(self) -> float:
        """Returns cluster time in seconds since 1970-01-01 UTC."""

    def monotonic(self) -> float:
        """Returns wire time in seconds; real in a served cluster."""

    def wire_now(self) -> float:
        """Returns wire time in seconds since 1970-01-01 UTC; that of certificates and tokens."""

    async def sleep(self, seconds: float) -> None:
        """Waits for cluster time to pass."""

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        """Bounds an await in cluster time; raises TimeoutError."""

    async def wire_sleep(self, seconds: float) -> None:
        """Waits for wire time to pass; cluster time goes on meanwhile."""

    def wire_timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        """Bounds an await in wire time; raises TimeoutError."""

    async def pause(self, seconds: float) -> None:
        """Waits for wire time to pass in the middle of something, as before a second attempt; for
        what is tried a few times, or ever less often: cluster time may wait for it."""

    def uid(self) -> str:
        """Returns a new version 4 UUID as text."""

    def suffix(self, length: int = 5) -> str:
        """Returns a random name suffix in Kubernetes' alphabet (apimachinery's rand.String)."""

    def draw(self, count: int) -> int:
        """Returns a number from 0 to `count` - 1."""

    def jitter(self, seconds: float, factor: float = 0.1) -> float:
        """Returns between `seconds` and `seconds * (1 + factor)`."""

    def tasks(self) -> Tasks:
        """Returns a group to be entered with `async with`."""
