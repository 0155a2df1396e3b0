"""The work queue: each key once, never twice at a time, failed ones later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from steersman.reconcile.figures import families
from steersman.reconcile.queue import LAST_RETRY_SECONDS, Queue, QueueFull
from steersman.wire import prometheus
from steersman.world.simulated import SimulatedWorld, simulate


def with_queue(work: Callable[[Queue[str], SimulatedWorld], Coroutine[Any, Any, Any]]) -> Any:
    async def main(world: SimulatedWorld) -> Any:
        queue: Queue[str] = Queue(world)
        async with world.tasks() as tasks:
            tasks.start(queue.keep_time(), name="timers")
            result = await work(queue, world)
            tasks.stop()
        return result

    return simulate(1, main)


def test_a_key_added_twice_is_worked_on_once() -> None:
    async def work(queue: Queue[str], _world: SimulatedWorld) -> None:
        queue.add("a")
        queue.add("b")
        queue.add("a")
        assert [await queue.take(), await queue.take()] == ["a", "b"]
        assert len(queue) == 0

    with_queue(work)


def test_a_queue_is_idle_when_nothing_waits_and_nothing_is_worked_on() -> None:
    async def work(queue: Queue[str], _world: SimulatedWorld) -> None:
        assert queue.idle
        queue.add("a")
        assert not queue.idle  # it waits
        await queue.take()
        assert not queue.idle  # it is worked on
        queue.done("a")
        assert queue.idle
        queue.add_after("a", 60)
        assert queue.idle  # what comes later does not count

    with_queue(work)


def test_a_key_added_while_it_is_worked_on_comes_again_when_it_is_done() -> None:
    async def work(queue: Queue[str], world: SimulatedWorld) -> None:
        queue.add("a")
        await queue.take()
        queue.add("a")
        with pytest.raises(TimeoutError):
            async with world.timeout(10):
                await queue.take()
        queue.done("a")
        assert await queue.take() == "a"
        queue.done("a")
        assert queue.idle

    with_queue(work)


def test_retries_double_from_five_milliseconds_to_a_thousand_seconds() -> None:
    async def work(queue: Queue[str], _world: SimulatedWorld) -> list[float]:
        return [queue.retry("a") for _ in range(80)]

    delays = with_queue(work)
    assert delays[:4] == [0.005, 0.01, 0.02, 0.04]
    assert delays[17] == pytest.approx(655.36)
    assert set(delays[18:]) == {LAST_RETRY_SECONDS}


def test_a_forgotten_key_begins_its_back_off_anew() -> None:
    async def work(queue: Queue[str], _world: SimulatedWorld) -> None:
        queue.retry("a")
        queue.retry("a")
        assert queue.failures("a") == 2
        queue.forget("a")
        assert queue.retry("a") == 0.005

    with_queue(work)


def test_a_delayed_key_comes_at_its_time_and_an_earlier_wish_wins() -> None:
    async def work(queue: Queue[str], world: SimulatedWorld) -> None:
        began = world.now()
        queue.add_after("late", 100)
        queue.add_after("late", 5)
        queue.add_after("late", 50)
        queue.add_after("later", 20)
        assert await queue.take() == "late"
        assert world.now() - began == pytest.approx(5)
        queue.done("late")
        assert await queue.take() == "later"
        assert world.now() - began == pytest.approx(20)
        with pytest.raises(TimeoutError):
            async with world.timeout(200):
                await queue.take()

    with_queue(work)


def test_no_delay_means_now() -> None:
    async def work(queue: Queue[str], world: SimulatedWorld) -> None:
        began = world.now()
        queue.add_after("a", 0)
        assert await queue.take() == "a"
        assert world.now() == began
        queue.done("a")
        await world.sleep(1)
        assert queue.idle  # once, not at once and again

    with_queue(work)


def test_a_full_queue_says_so() -> None:
    async def work(_queue: Queue[str], world: SimulatedWorld) -> None:
        small: Queue[str] = Queue(world, limit=2)
        small.add("a")
        small.add("b")
        small.add("a")
        with pytest.raises(QueueFull):
            small.add("c")
        small.add_after("a", 5)
        small.add_after("b", 5)
        with pytest.raises(QueueFull):
            small.add_after("c", 5)

    with_queue(work)


def test_a_taker_waits_for_the_next_key() -> None:
    async def work(queue: Queue[str], _world: SimulatedWorld) -> None:
        waiting = asyncio.ensure_future(queue.take())
        await asyncio.sleep(1)
        queue.add("a")
        assert await waiting == "a"

    with_queue(work)


def test_keys_that_are_due_together_come_in_the_order_in_which_they_were_asked_for() -> None:
    async def work(queue: Queue[str], _world: SimulatedWorld) -> None:
        for key in ("b", "c", "a"):
            queue.add_after(key, 5)
        first = [await queue.take() for _ in range(3)]
        for key in first:
            queue.done(key)
            queue.add(key)
        assert first == [await queue.take() for _ in range(3)] == ["b", "c", "a"]

    with_queue(work)


def test_a_wish_that_was_overtaken_harms_none_that_is_due_with_it() -> None:
    async def work(queue: Queue[str], world: SimulatedWorld) -> None:
        began = world.now()
        queue.add_after("b", 10)
        queue.add_after("a", 10)
        queue.add_after("a", 5)
        queue.add_after("c", 15)
        taken = [(await queue.take(), round(world.now() - began)) for _ in range(3)]
        assert taken == [("a", 5), ("b", 10), ("c", 15)]

    with_queue(work)


def test_what_is_counted_has_the_names_of_client_gos_queues() -> None:
    async def work(queue: Queue[str], world: SimulatedWorld) -> str:
        for key in ("a", "b", "c", "a"):
            queue.add(key)
        await world.sleep(0.05)
        assert await queue.take() == "a"
        await world.sleep(2.0)
        queue.done("a")
        queue.retry("a")
        assert await queue.take() == "b"
        await world.sleep(3.0)
        queues = {"deployment-controller": queue, "local-path-provisioner": Queue(world)}
        return prometheus.render(families(queues, world.monotonic())).decode()

    lines = with_queue(work).splitlines()
    of = 'name="deployment"'
    for line in (
        f"workqueue_adds_total{{{of}}} 4",  # the retry came due
        f"workqueue_depth{{{of}}} 2",
        f"workqueue_retries_total{{{of}}} 1",
        f"workqueue_longest_running_processor_seconds{{{of}}} 3",
        f"workqueue_unfinished_work_seconds{{{of}}} 3",
        f'workqueue_queue_duration_seconds_bucket{{{of},le="0.01"}} 0',
        f'workqueue_queue_duration_seconds_bucket{{{of},le="0.1"}} 1',
        f"workqueue_queue_duration_seconds_sum{{{of}}} 2.100000",
        f"workqueue_queue_duration_seconds_count{{{of}}} 2",
        f'workqueue_work_duration_seconds_bucket{{{of},le="1"}} 0',
        f"workqueue_work_duration_seconds_count{{{of}}} 1",
        f"workqueue_work_duration_seconds_sum{{{of}}} 2.000000",
        'workqueue_depth{name="local-path-provisioner"} 0',
        'workqueue_longest_running_processor_seconds{name="local-path-provisioner"} 0',
        "# HELP workqueue_depth [BETA] Current depth of workqueue",
        "# TYPE workqueue_queue_duration_seconds histogram",
    ):
        assert line in lines, line
    bounds = [line.partition('le="')[2].partition('"')[0] for line in lines if of in line]
    assert [one for one in bounds if one][:5] == [
        "1e-08",
        "1e-07",
        "1e-06",
        "9.999999999999999e-06",
        "9.999999999999999e-05",
    ]
