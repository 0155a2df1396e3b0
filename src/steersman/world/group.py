"""A group of tasks that live and die together; `asyncio.TaskGroup` with a quiet way to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any


class Group:
    """See `world.interface.Tasks`."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: dict[asyncio.Task[Any], None] = {}  # ordered: they stop in turn

    async def __aenter__(self) -> Group:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._group.__aexit__(kind, error, trace)

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Starts one task in the group."""
        task = self._group.create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    def stop(self) -> None:
        """Cancels every task of the group."""
        for task in list(self._tasks):
            task.cancel()
