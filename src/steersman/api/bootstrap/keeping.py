"""Work that the server does on its own objects: each name waits once, and is worked on in turn.

What failed is tried again with a growing delay; whoever lost a race hears of the change anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from steersman.model.errors import APIError, Conflict, NotFound
from steersman.world.interface import Tasks, World

# The bounds of upstream's queue for availability (5 ms to 30 s)
FIRST_SECONDS: Final = 0.005
MOST_SECONDS: Final = 30.0

Work = Callable[[str], Coroutine[Any, Any, None]]


class Keeping:
    """See the module. The delay begins at `first` seconds and grows to `most`."""

    def __init__(
        self, world: World, work: Work, first: float = FIRST_SECONDS, most: float = MOST_SECONDS
    ) -> None:
        self._world = world
        self._work = work
        self._first, self._most = first, most
        self._waiting: dict[str, None] = {}
        self._delays: dict[str, float] = {}
        self._came = asyncio.Event()
        self._tasks: Tasks | None = None

    def note(self, name: str) -> None:
        """Has a name worked on."""
        self._waiting[name] = None
        self._came.set()

    def settle(self, name: str) -> None:
        """Forgets the failures of a name."""
        self._delays.pop(name, None)

    def again(self, name: str) -> None:
        """Has a name worked on after a delay, which doubles until it is settled."""
        delay = self._delays.get(name, self._first)
        self._delays[name] = min(delay * 2, self._most)
        self.later(name, delay)

    def later(self, name: str, seconds: float) -> None:
        """Has a name worked on when some time has passed."""
        assert self._tasks is not None
        self._tasks.start(self._after(name, seconds), name=f"again {name}")

    async def run(self, tasks: Tasks) -> None:
        """Works for ever."""
        self._tasks = tasks
        while True:
            while self._waiting:
                name = next(iter(self._waiting))
                del self._waiting[name]
                await self._try(name)
            self._came.clear()
            await self._came.wait()

    async def _try(self, name: str) -> None:
        try:
            await self._work(name)
        except (Conflict, NotFound):
            return  # it has changed or gone meanwhile, and that comes here too
        except APIError:  # the store is full, or slow
            self.again(name)

    async def _after(self, name: str, seconds: float) -> None:
        await self._world.wire_sleep(seconds)
        self.note(name)
