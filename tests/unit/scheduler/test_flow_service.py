"""The shell of the scheduler `flow`: how a batch is gathered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from scheduler_cluster import Held, pod
from steersman.model.kinds.pod import Pod
from steersman.scheduler.flow import solver
from steersman.scheduler.flow.service import Flow
from steersman.scheduler.queue import PodQueue
from steersman.world.virtual import VirtualWorld
from virtual_time import virtually


class Views:
    def of(self, _kind: object) -> Any:
        return Held()


class Refusing:
    """The part of a scheduler that hears what is said of pods."""

    def __init__(self, world: VirtualWorld) -> None:
        self.queue = PodQueue(world)
        self.refused: asyncio.Queue[str] = asyncio.Queue()

    async def refuse(self, found: Pod, _text: str) -> None:
        await self.refused.put(found.metadata.name)


def test_a_batch_is_gathered_though_the_clock_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "MODULE", "ortools_is_not_here")  # so that all pods are told so

    async def main(world: VirtualWorld) -> list[str]:
        scheduler = Refusing(world)
        flow = Flow(scheduler, Views(), None, world, "")  # type: ignore[arg-type]
        async with world.tasks() as tasks:
            tasks.start(flow.run(tasks), name="flow")
            for name in "ab":
                scheduler.queue.put(pod(name))
            told = [await asyncio.wait_for(scheduler.refused.get(), 10) for _ in range(2)]
            tasks.stop()
        return told

    assert virtually(main) == ["a", "b"]
