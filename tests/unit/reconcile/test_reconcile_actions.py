"""Work on many things at once, within a bound."""

from __future__ import annotations

import asyncio

import pytest

from steersman.reconcile.actions import a_few_at_once
from steersman.world.simulated import SimulatedWorld, simulate


def test_so_many_are_at_work_as_may_be_and_all_have_their_turn() -> None:
    async def main(world: SimulatedWorld) -> tuple[list[int], int, float]:
        done: list[int] = []
        begun = most = 0

        async def work(item: int) -> None:
            nonlocal begun, most
            begun += 1
            most = max(most, begun)
            await world.sleep(1)
            begun -= 1
            done.append(item)

        start = world.now()
        await a_few_at_once(range(10), 4, work)
        return sorted(done), most, world.now() - start

    assert simulate(1, main) == (list(range(10)), 4, pytest.approx(3.0))


def test_a_failure_is_raised_when_the_others_have_done_the_rest() -> None:
    async def main(_world: SimulatedWorld) -> list[int]:
        done: list[int] = []

        async def work(item: int) -> None:
            await asyncio.sleep(0)
            if item == 1:
                raise ValueError(item)
            done.append(item)

        with pytest.raises(ValueError, match="1"):
            await a_few_at_once(range(6), 2, work)
        return done

    assert simulate(1, main) == [0, 2, 3, 4, 5]
