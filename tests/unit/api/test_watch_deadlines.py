"""The one task that ends watches when their time is over."""

from __future__ import annotations

import gc
import weakref

from steersman.api.watch import Deadlines
from steersman.world.simulated import SimulatedWorld, simulate


class Watch:
    def __init__(self) -> None:
        self.ended = 0

    def end(self) -> None:
        self.ended += 1


def test_a_watch_ends_at_its_time_and_one_that_is_gone_is_not_kept() -> None:
    async def main(world: SimulatedWorld) -> None:
        deadlines = Deadlines(world)
        kept, gone = Watch(), Watch()
        there = weakref.ref(gone)
        async with world.tasks() as tasks:
            tasks.start(deadlines.run(), name="deadlines")
            deadlines.add(10.0, gone.end)
            deadlines.add(20.0, kept.end)
            del gone
            gc.collect()
            assert there() is None
            await world.sleep(19.0)
            assert kept.ended == 0
            await world.sleep(2.0)
            assert kept.ended == 1
            tasks.stop()

    simulate(1, main)
