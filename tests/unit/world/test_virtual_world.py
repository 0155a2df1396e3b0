"""Tasks in virtual time on a real loop: order, timeouts, what holds the clock."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

from steersman.client.post import post
from steersman.wire.message import Request, Response
from steersman.world.virtual import VirtualWorld
from virtual_time import START, advance, virtually

DAY = 86400.0


def test_who_sleeps_wakes_in_order_and_sees_the_time_it_asked_for() -> None:
    async def main(world: VirtualWorld) -> list[tuple[str, float]]:
        seen = []

        async def every(seconds: float, name: str) -> None:
            while True:
                await world.sleep(seconds)
                seen.append((name, world.now() - START))

        async with world.tasks() as tasks:
            tasks.start(every(DAY, "day"), name="day")
            tasks.start(every(DAY / 2, "half"), name="half")
            await asyncio.sleep(0)
            await advance(world, 1.5 * DAY)
            tasks.stop()
        return seen

    began = time.monotonic()
    assert virtually(main) == [("half", DAY / 2), ("day", DAY), ("half", DAY), ("half", 1.5 * DAY)]
    assert time.monotonic() - began < 5


def test_a_chain_of_tasks_is_finished_before_time_goes_on() -> None:
    async def main(world: VirtualWorld) -> list[float]:
        seen: list[float] = []

        async def work(depth: int) -> None:
            for _ in range(depth):
                await asyncio.sleep(0)
            seen.append(world.now() - START)

        async def begin() -> None:
            await world.sleep(10)
            await asyncio.gather(*(work(depth) for depth in (1, 50, 100)))

        async with world.tasks() as tasks:
            tasks.start(begin(), name="begin")
            await advance(world, DAY)
        return seen

    assert virtually(main) == [10, 10, 10]


def test_a_timeout_is_in_virtual_time_and_none_is_none() -> None:
    async def main(world: VirtualWorld) -> list[Any]:
        seen: list[Any] = []

        async def bounded(seconds: float | None) -> None:
            try:
                async with world.timeout(seconds):
                    await asyncio.Event().wait()
            except TimeoutError:
                seen.append((seconds, world.now() - START))

        async with world.tasks() as tasks:
            for seconds in (30.0, 10.0, 0.0, None, 5 * DAY):
                tasks.start(bounded(seconds), name=f"{seconds}")
            await advance(world, 60)
            tasks.stop()
        return seen

    assert virtually(main) == [(0.0, 0), (10.0, 10), (30.0, 30)]


def test_a_timeout_that_is_left_in_time_does_nothing_later() -> None:
    async def main(world: VirtualWorld) -> None:
        async with world.timeout(10):
            await asyncio.sleep(0)
        await advance(world, 60)

    virtually(main)


def test_a_sleep_that_is_cancelled_wakes_nobody() -> None:
    async def main(world: VirtualWorld) -> None:
        sleeping = asyncio.ensure_future(world.sleep(10))
        await asyncio.sleep(0)
        sleeping.cancel()
        await advance(world, 60)
        with pytest.raises(asyncio.CancelledError):
            await sleeping

    virtually(main)


def test_wire_time_goes_on_while_the_clock_is_frozen() -> None:
    async def main(world: VirtualWorld) -> float:
        before = world.wire_now()
        await world.wire_sleep(0.01)
        with pytest.raises(TimeoutError):
            async with world.wire_timeout(0.01):
                await asyncio.Event().wait()
        assert world.wire_now() - before >= 0.02
        return world.now() - START

    assert virtually(main) == 0


class Peer:
    """A transport to somebody who answers when they are told to."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()

    async def send(self, _request: Request) -> Response:
        await self.may_answer.wait()
        return Response(b"well")

    async def close(self) -> None:
        """Leaves nothing behind."""


def test_who_is_asked_outside_has_its_time_though_the_clock_advances() -> None:
    async def main(world: VirtualWorld) -> tuple[int, bytes]:
        peer = Peer()
        asked = asyncio.ensure_future(post(peer, world, "/", b"{}", seconds=30, most=100))
        await asyncio.sleep(0)
        await advance(world, DAY)
        peer.may_answer.set()
        return await asked

    assert virtually(main) == (200, b"well")


def test_who_is_asked_outside_is_given_up_though_the_clock_stands() -> None:
    async def main(world: VirtualWorld) -> None:
        with pytest.raises(TimeoutError):
            await post(Peer(), world, "/", b"{}", seconds=0.01, most=100)

    virtually(lambda world: asyncio.wait_for(main(world), 10))


def test_a_clock_waits_for_who_pauses_briefly_and_not_for_who_pauses_long() -> None:
    async def main(world: VirtualWorld) -> list[str]:
        seen = []

        async def pausing(seconds: float) -> None:
            await world.pause(seconds)
            seen.append(f"{seconds} at {world.now() - START:.0f}")

        async with world.tasks() as tasks:
            tasks.start(pausing(0.05), name="briefly")
            tasks.start(pausing(3600), name="long")
            await asyncio.sleep(0)
            await advance(world, 60)
            seen.append("arrived")
            tasks.stop()
        return seen

    assert virtually(main) == ["0.05 at 0", "arrived"]


def test_a_clock_at_a_rate_wakes_who_sleeps_without_being_told() -> None:
    async def main(world: VirtualWorld) -> tuple[float, float]:
        began, before = time.monotonic(), world.now()
        await world.sleep(36)
        return world.now() - before, time.monotonic() - began

    passed, took = virtually(main, rate=360)
    assert passed == pytest.approx(36, abs=2)
    assert took >= 0.1


def test_who_comes_from_outside_is_heard_in_the_middle_of_an_advance() -> None:
    async def main(world: VirtualWorld) -> float:
        left, right = socket.socketpair()
        here, other = await asyncio.open_connection(sock=left)
        _silent, there = await asyncio.open_connection(sock=right)

        async def beat() -> None:
            while True:
                await world.sleep(1)

        async with world.tasks() as tasks:
            tasks.start(beat(), name="beat")
            far = asyncio.ensure_future(advance(world, 1000 * DAY))
            there.write(b"!")
            await here.readexactly(1)
            passed = world.now() - START
            far.cancel()
            there.close()
            other.close()
            tasks.stop()
        return passed

    assert virtually(main) < 1000 * DAY
