"""The machine's clocks and chance, and the simulated ones in their place: what all rely on."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

from steersman.world.group import Group
from steersman.world.real import DRAWN_BYTES, SUFFIX_ALPHABET, RealWorld
from steersman.world.simulated import START, SimulatedWorld, Stalled, simulate


def test_ids_are_random_uuids_and_none_comes_twice() -> None:
    world, other = RealWorld(), RealWorld()
    count = DRAWN_BYTES // 16 + 10  # more than are drawn at once
    made = [world.uid() for _ in range(count)] + [other.uid() for _ in range(10)]
    assert len(set(made)) == count + 10
    assert all(str(uuid.UUID(text)) == text for text in made)
    assert {uuid.UUID(text).version for text in made} == {4}
    assert {uuid.UUID(text).variant for text in made} == {uuid.RFC_4122}


def test_no_chance_is_given_out_twice() -> None:
    chance = RealWorld()._random
    count = 2 * DRAWN_BYTES
    assert len({chance.randbytes(8) for _ in range(count)}) == count
    assert len(chance.randbytes(3 * DRAWN_BYTES)) == 3 * DRAWN_BYTES
    drawn = [chance.random() for _ in range(count)]
    assert 0 <= min(drawn) < 0.01 < 0.99 < max(drawn) < 1
    assert {chance.getrandbits(3) for _ in range(count)} == set(range(8))
    assert chance.getrandbits(0) == 0


def test_suffixes_draws_and_jitter_keep_their_bounds() -> None:
    world = RealWorld()
    suffixes = {world.suffix() for _ in range(50)}
    assert len(suffixes) > 40
    assert {len(text) for text in suffixes} == {5} and len(world.suffix(3)) == 3
    assert set("".join(suffixes)) <= set(SUFFIX_ALPHABET)
    assert {world.draw(3) for _ in range(200)} == {0, 1, 2}
    lengths = [world.jitter(10.0, 0.5) for _ in range(200)]
    assert 10.0 <= min(lengths) < 11.5 < 13.5 < max(lengths) <= 15.0


def test_the_clocks_of_the_machine_are_told() -> None:
    world = RealWorld()
    before, beaten = time.time(), time.monotonic()
    assert before <= world.now() <= world.wire_now() <= time.time()
    assert beaten <= world.monotonic() <= time.monotonic()


def test_a_bound_on_a_wait_holds_in_the_real_world() -> None:
    async def main() -> None:
        world = RealWorld()
        for bound in (world.timeout, world.wire_timeout):
            with pytest.raises(TimeoutError):
                async with bound(0.01):
                    await asyncio.Event().wait()
        began = time.monotonic()
        for wait in (world.sleep, world.wire_sleep, world.pause):
            await wait(0.01)
        assert time.monotonic() - began >= 0.03

    asyncio.run(main())


def test_a_simulated_hour_passes_at_once_and_one_seed_draws_the_same() -> None:
    async def main(world: SimulatedWorld) -> list[object]:
        began = time.monotonic()
        await world.sleep(3600)
        assert time.monotonic() - began < 60
        assert (world.now(), world.wire_now()) == (START + 3600, START + 3600)
        assert world.monotonic() == 3600
        with pytest.raises(TimeoutError):
            async with world.timeout(5.0):
                await world.pause(10.0)
        assert world.monotonic() == 3605
        return [world.uid(), world.suffix(), world.draw(1000), world.jitter(1.0)]

    assert simulate(1, main) == simulate(1, main)
    assert simulate(1, main) != simulate(2, main)


def test_a_simulation_in_which_nothing_can_ever_happen_ends() -> None:
    async def main(_world: SimulatedWorld) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stalled):
        simulate(1, main)


def test_a_group_that_is_stopped_ends_the_tasks_that_run_in_the_order_of_their_start() -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def main() -> None:
        async with Group() as group:
            tasks = [group.start(work(name), name=name) for name in "abc"]
            await asyncio.sleep(0)
            tasks[0].cancel()
            await asyncio.sleep(0)
            group.stop()

    asyncio.run(main())
    assert ended == ["a", "b", "c"]


def test_a_group_passes_on_what_ends_one_of_its_tasks_and_ends_the_others() -> None:
    async def fail() -> None:
        raise ValueError("a mistake")

    async def main() -> None:
        async with RealWorld().tasks() as group:
            group.start(asyncio.Event().wait(), name="waits")
            group.start(fail(), name="fails")

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(main())
    assert raised.value.subgroup(ValueError) is not None
