"""A watch whose objects a webhook converts: what it is to be told waits until that is done.

Events keep their order. Everything else of a watch is `api.watch`'s.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from steersman.api.cache import Entry, Event
from steersman.api.call import Call
from steersman.api.custom import conversion
from steersman.model.errors import APIError

# Events that wait for a webhook; a watch with more of them is ended, and its client begins anew
MOST_WAITING: Final = 1000
# How often the state may change while it is converted for a watch that begins
MOST_TRIES: Final = 16


class Told(Protocol):
    """The watch that is told."""

    def hear(self, event: Event) -> None:
        """Hears an event whose objects can be read."""

    def fail(self, error: APIError) -> None:
        """Ends with an error."""

    def end(self) -> None:
        """Ends."""


class Relay:
    """One such watch. `begin` tells the present state and has `hear` called from then on; it
    returns the way out."""

    def __init__(self, call: Call, watcher: Told, revision: int) -> None:
        self._call = call
        self._watcher = watcher
        self._revision = revision
        self._waiting: deque[Event] = deque()
        self._came = asyncio.Event()
        self._closed = False
        self.begin: Callable[[], Callable[[], None]] = lambda: lambda: None
        self._leave: Callable[[], None] = lambda: None

    def hear(self, event: Event) -> None:
        """Takes an event that is to be told."""
        if len(self._waiting) >= MOST_WAITING:
            self._watcher.end()
            return
        self._waiting.append(event)
        self._came.set()

    def close(self) -> None:
        """Ends the work; the watch has ended."""
        self._closed = True
        self._came.set()

    def leave(self) -> None:
        """Goes away, as its client did."""
        self.close()
        self._leave()

    async def run(self) -> None:
        """Tells the state and what comes, until the watch ends."""
        try:
            if not await self._is_readable():
                self._watcher.end()
                return
            self._leave = self.begin()
            while not self._closed:
                while self._waiting:
                    await self._tell(self._waiting.popleft())
                self._came.clear()
                await self._came.wait()
        except APIError as error:
            self._watcher.fail(error)

    async def _tell(self, event: Event) -> None:
        held = [entry for entry in (event.old, event.new) if entry is not None]
        await conversion.ready(self._call.form, held)
        self._watcher.hear(event)

    async def _is_readable(self) -> bool:
        """Has the present state converted; says whether it stood still for so long."""
        table = self._call.table
        for _ in range(MOST_TRIES):
            seen = table.revision
            await conversion.ready(self._call.form, list(self._entries()))
            if table.revision == seen:
                return True
        return False

    def _entries(self) -> Iterator[Entry]:
        table, namespace = self._call.table, self._call.namespace
        yield from table.ordered(namespace)
        if not self._revision or self._revision < table.dropped:
            return
        for event in table.after(self._revision, namespace):
            yield from (entry for entry in (event.old, event.new) if entry is not None)
