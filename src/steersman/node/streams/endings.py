"""Who wants to know that a container has ended; the engine is asked once for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from steersman.node.streams.pods import Waits
from steersman.runtime.engine import EngineError
from steersman.world.interface import Tasks


class Endings:
    """Waits for containers on behalf of many; one request to a shim however many listen."""

    def __init__(self, engine: Waits, tasks: Tasks) -> None:
        self._engine = engine
        self._tasks = tasks
        self._waits: dict[tuple[str, str], asyncio.Task[None]] = {}

    @contextmanager
    def watch(self, sandbox: str, container: str, hear: Callable[[], None]) -> Iterator[Ending]:
        """Calls `hear` when a container has ended, at the next turn of the loop if it has."""
        key = (sandbox, container)
        if (wait := self._waits.get(key)) is None:
            wait = self._tasks.start(self._wait(sandbox, container), name="container's end")
            self._waits[key] = wait

        def ended(_: object) -> None:
            hear()

        wait.add_done_callback(ended)
        try:
            yield Ending(wait)
        finally:
            wait.remove_done_callback(ended)

    async def _wait(self, sandbox: str, container: str) -> None:
        try:
            await self._engine.wait(sandbox, container)
        except EngineError:
            pass  # not there any more, or its shim is dead: either way nothing more comes
        finally:
            del self._waits[(sandbox, container)]


class Ending:
    """Tells whether a container has ended."""

    def __init__(self, wait: asyncio.Task[None]) -> None:
        self._wait = wait

    def __bool__(self) -> bool:
        return self._wait.done()
