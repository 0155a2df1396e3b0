"""The scheduling queue: order, back-off, and waiting for what helps."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from steersman.model.kinds.node import Node
from steersman.model.kinds.pod import Pod
from steersman.scheduler.following import differs, waits
from steersman.scheduler.measure.figures import Figures
from steersman.scheduler.queue import MAX_UNSCHEDULABLE_SECONDS, PodQueue
from steersman.scheduler.service import plan_condition
from steersman.wire import prometheus
from steersman.world.simulated import SimulatedWorld, simulate

NAMES = ("default-scheduler",)


def pod(name: str, **spec: Any) -> Pod:
    document = {"metadata": {"name": name, "uid": name, "namespace": "d"}, "spec": spec}
    return msgspec.convert(document, Pod)


def with_queue(work: Callable[[PodQueue, SimulatedWorld], Coroutine[Any, Any, Any]]) -> Any:
    async def main(world: SimulatedWorld) -> Any:
        queue = PodQueue(world)
        async with world.tasks() as tasks:
            tasks.start(queue.keep_time(), name="timers")
            result = await work(queue, world)
            tasks.stop()
        return result

    return simulate(1, main)


async def taken(queue: PodQueue, world: SimulatedWorld, within: float = 1000.0) -> str:
    """Returns the next pod's name, empty where none comes in time."""
    try:
        async with world.timeout(within):
            return (await queue.take()).metadata.name
    except TimeoutError:
        return ""


def test_priority_goes_first_then_who_waited_longest() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> list[str]:
        for name, priority in (("a", 0), ("b", 10), ("c", 0), ("d", 10)):
            queue.put(pod(name, priority=priority))
        return [await taken(queue, world) for _ in range(4)]

    assert with_queue(work) == ["b", "d", "a", "c"]


def test_a_pod_that_fits_nowhere_waits_for_what_helps_after_its_back_off() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> None:
        queue.put(pod("a"))
        began = world.now()
        await taken(queue, world)
        queue.failed("a")
        assert [it.metadata.name for it in queue.pods("unschedulable")] == ["a"]
        queue.helped(lambda _: False)
        assert await taken(queue, world, 50) == ""
        queue.helped(lambda _: True)
        assert await taken(queue, world, 0.1) == "a"
        queue.failed("a")
        again = world.now()
        queue.helped(lambda _: True)
        assert await taken(queue, world) == "a"
        assert world.now() - again == pytest.approx(2.0)  # the second failure: two seconds
        assert world.now() > began

    with_queue(work)


def test_back_off_grows_to_ten_seconds() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> list[float]:
        queue.put(pod("a"))
        waits = []
        await taken(queue, world)
        for _ in range(6):
            began = world.now()
            queue.retry("a")
            assert await taken(queue, world) == "a"
            waits.append(round(world.now() - began, 3))
        return waits

    assert with_queue(work) == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize("group", [None, "small"])
def test_help_that_came_during_the_decision_is_not_lost(group: str | None) -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> None:
        queue.put(pod("a"))
        await taken(queue, world)
        queue.helped(lambda _: True)
        queue.failed("a", group)
        assert await taken(queue, world, 5) == "a"

    with_queue(work)


def test_help_counts_for_one_decision_only() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> None:
        queue.put(pod("a"))
        await taken(queue, world)
        queue.helped(lambda _: True)
        queue.failed("a")
        assert await taken(queue, world, 5) == "a"
        queue.failed("a")
        assert await taken(queue, world, 50) == ""

    with_queue(work)


def test_pods_that_wait_for_the_same_are_asked_about_once_and_wake_together() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> None:
        for name, group in (("a", "small"), ("b", "small"), ("c", "large")):
            queue.put(pod(name))
            await taken(queue, world)
            queue.failed(name, group)
        await world.sleep(5)
        asked: list[Any] = []

        def small(group: Any) -> bool:
            asked.append(group)
            return bool(group == "small")

        queue.helped(small)
        assert asked == ["small", "large"]
        assert {await taken(queue, world, 1), await taken(queue, world, 1)} == {"a", "b"}
        queue.remove("c")
        queue.helped(small)
        assert asked == ["small", "large"]

    with_queue(work)


def test_a_pod_is_tried_at_once_when_it_is_told_to() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> None:
        queue.put(pod("a"))
        await taken(queue, world)
        queue.failed("a")
        await world.sleep(5)
        queue.activate("a")
        assert await taken(queue, world, 0.1) == "a"

    with_queue(work)


def test_nobody_waits_longer_than_five_minutes() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> None:
        queue.put(pod("a"))
        await taken(queue, world)
        began = world.now()
        queue.failed("a")
        assert await taken(queue, world) == "a"
        assert world.now() - began == pytest.approx(MAX_UNSCHEDULABLE_SECONDS)

    with_queue(work)


def test_the_end_of_an_earlier_wait_does_not_wake_who_fits_nowhere() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> None:
        queue.put(pod("a"))
        await taken(queue, world)
        queue.failed("a", "room")
        await world.sleep(200)
        queue.helped(lambda _group: True)
        assert await taken(queue, world, within=1) == "a"
        again = world.now()
        queue.failed("a", "room")  # the five minutes begin anew
        assert await taken(queue, world) == "a"
        assert world.now() - again == pytest.approx(MAX_UNSCHEDULABLE_SECONDS)

    with_queue(work)


def test_a_changed_pod_is_tried_again_and_a_removed_one_is_not() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> None:
        queue.put(pod("a"))
        queue.put(pod("b"))
        await taken(queue, world)
        queue.failed("a")
        queue.put(pod("a"))
        queue.remove("b")
        assert await taken(queue, world, 100) == ""
        queue.put(pod("a", nodeSelector={"x": "y"}))
        async with world.timeout(1):
            assert (await queue.take()).spec.node_selector == {"x": "y"}
        assert len(queue) == 1

    with_queue(work)


def test_a_pod_that_changed_or_went_during_the_decision_is_treated_so() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> None:
        queue.put(pod("a"))
        await taken(queue, world)
        queue.put(pod("a", nodeSelector={"x": "y"}))
        queue.failed("a")
        assert await taken(queue, world, 5) == "a"
        queue.remove("a")
        queue.failed("a")
        queue.retry("a")
        queue.activate("a")
        assert (await taken(queue, world), len(queue)) == ("", 0)

    with_queue(work)


def test_other_labels_are_a_reason_to_try_again() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> None:
        queue.put(pod("a"))
        await taken(queue, world)
        queue.failed("a")
        metadata = {"name": "a", "uid": "a", "labels": {"app": "web"}}
        queue.put(msgspec.convert({"metadata": metadata}, Pod))
        assert await taken(queue, world, 5) == "a"

    with_queue(work)


def test_a_pod_that_came_back_is_tried_once_and_keeps_its_place_among_equals() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> None:
        queue.put(pod("a"))
        await taken(queue, world)
        queue.failed("a")
        await world.sleep(5)
        queue.put(pod("b"))
        queue.activate("a")
        assert [await taken(queue, world), await taken(queue, world)] == ["a", "b"]
        queue.put(pod("c"))
        queue.remove("c")
        queue.put(pod("c"))
        assert [await taken(queue, world), await taken(queue, world)] == ["c", ""]

    with_queue(work)


def test_what_went_wrong_waits_its_back_off_whatever_helps() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> None:
        queue.put(pod("a"))
        await taken(queue, world)
        queue.retry("a")
        queue.helped(lambda _: True)
        queue.activate("a")
        assert await taken(queue, world, 0.9) == ""
        assert await taken(queue, world, 0.2) == "a"

    with_queue(work)


def test_the_end_of_an_earlier_wait_does_not_shorten_a_back_off() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> None:
        queue.put(pod("a"))
        began = world.now()
        await taken(queue, world)
        queue.failed("a")
        await world.sleep(MAX_UNSCHEDULABLE_SECONDS - 0.5)
        queue.helped(lambda _: True)
        await taken(queue, world)
        queue.failed("a")
        queue.helped(lambda _: True)
        assert await taken(queue, world) == "a"
        assert world.now() - began == pytest.approx(MAX_UNSCHEDULABLE_SECONDS + 1.5)

    with_queue(work)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"nodeName": "n"}, False),
        ({"schedulerName": "mine"}, False),
        ({"schedulingGates": [{"name": "g"}]}, False),
    ],
)
def test_the_scheduler_waits_for_its_own_unbound_ungated_pods(change: Any, expected: bool) -> None:
    assert waits(pod("a", **change), NAMES) is expected


def test_ended_and_deleted_pods_are_nobodys() -> None:
    ended = msgspec.convert({"metadata": {"name": "a"}, "status": {"phase": "Failed"}}, Pod)
    assert not waits(ended, NAMES)
    time = "2026-01-01T00:00:00Z"
    deleted = msgspec.convert({"metadata": {"name": "a", "deletionTimestamp": time}}, Pod)
    assert not waits(deleted, NAMES)


def test_a_condition_is_written_once_and_its_time_moves_with_its_status() -> None:
    first = plan_condition(pod("a"), "no room", 1_767_225_600.0)
    assert first is not None
    (made,) = first["status"]["conditions"]
    assert made["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert (made["type"], made["status"], made["reason"]) == (
        "PodScheduled",
        "False",
        "Unschedulable",
    )
    told = msgspec.convert({"metadata": {"name": "a"}, "status": {"conditions": [made]}}, Pod)
    assert plan_condition(told, "no room", 1_767_225_700.0) is None
    other = plan_condition(told, "still no room", 1_767_225_700.0)
    assert other is not None
    assert "lastTransitionTime" not in other["status"]["conditions"][0]


def test_heartbeats_of_nodes_do_not_matter() -> None:
    def node(**fields: Any) -> Node:
        return msgspec.convert({"metadata": {"name": "n", "uid": "u"}, **fields}, Node)

    beat = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert not differs(node(), node(status=beat))
    assert differs(node(), node(spec={"unschedulable": True}))
    assert differs(node(), node(status={"allocatable": {"cpu": "1"}}))
    assert differs(node(), node(status={"images": [{"names": ["i:1"], "sizeBytes": 1}]}))
    again = msgspec.convert({"metadata": {"name": "n", "uid": "other"}}, Node)
    assert differs(node(), again)
    assert differs(None, node())
    assert differs(node(), None)


def test_a_nomination_is_told_beside_the_condition_and_taken_back() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    status = {"nominatedNodeName": "n", "conditions": [{**condition, "message": "no room"}]}
    told = msgspec.convert({"metadata": {"name": "a"}, "status": status}, Pod)
    assert plan_condition(told, "no room", 0.0, "n") is None
    assert plan_condition(told, "no room", 0.0, None) is None
    assert plan_condition(told, "no room", 0.0, "") == {"status": {"nominatedNodeName": None}}
    assert plan_condition(told, "no room", 0.0, "m") == {"status": {"nominatedNodeName": "m"}}


def told(queue: PodQueue) -> list[str]:
    return prometheus.render(queue.figures.families(queue.pending())).decode().splitlines()


def test_what_is_counted_has_upstreams_names() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> list[str]:
        for name in ("a", "b", "c", "d"):
            queue.put(pod(name))
        for name in ("a", "b", "c"):
            assert await taken(queue, world) == name
        await world.sleep(0.003)
        placed = queue.waiting("a")
        assert placed is not None
        queue.remove("a")  # the view may be faster than the answer
        queue.placed(placed)
        queue.failed("b", "room")
        queue.retry("c")
        queue.retry("c")  # of what is not tried nothing is counted
        queue.figures.preempting()
        queue.figures.preempted(3)
        return told(queue)

    lines = with_queue(work)
    of = 'profile="default-scheduler"'
    for line in (
        'scheduler_pending_pods{queue="active"} 1',
        'scheduler_pending_pods{queue="backoff"} 1',
        'scheduler_pending_pods{queue="unschedulable"} 1',
        f'scheduler_schedule_attempts_total{{{of},result="scheduled"}} 1',
        f'scheduler_schedule_attempts_total{{{of},result="unschedulable"}} 1',
        f'scheduler_schedule_attempts_total{{{of},result="error"}} 1',
        f'scheduler_scheduling_attempt_duration_seconds_bucket{{{of},result="error",le="0.002"}} 0',
        f'scheduler_scheduling_attempt_duration_seconds_bucket{{{of},result="error",le="0.004"}} 1',
        'scheduler_pod_scheduling_sli_duration_seconds_count{attempts="1"} 1',
        "scheduler_pod_scheduling_attempts_sum 1.000000",
        "scheduler_preemption_attempts_total 1",
        'scheduler_preemption_victims_bucket{le="2"} 0',
        'scheduler_preemption_victims_bucket{le="4"} 1',
        'scheduler_queue_incoming_pods_total{event="PodAdd",queue="active"} 4',
        'scheduler_queue_incoming_pods_total{event="ScheduleAttemptFailure",queue="backoff"} 1',
        'scheduler_queue_incoming_pods_total{event="ScheduleAttemptFailure",queue="unschedulable"} '
        "1",
    ):
        assert line in lines, line


def test_a_pod_comes_back_by_what_happened() -> None:
    async def work(queue: PodQueue, world: SimulatedWorld) -> list[str]:
        for name in ("a", "b", "c", "d"):
            queue.put(pod(name))
            await taken(queue, world)
        queue.retry("a")
        for name in ("b", "c", "d"):
            queue.failed(name, name)
        queue.helped(lambda group: group == "b", "NodeAdd")  # while its back-off lasts
        await world.sleep(30.0)
        queue.helped(lambda group: group == "c", "AssignedPodDelete")
        await world.sleep(MAX_UNSCHEDULABLE_SECONDS)
        return told(queue)

    lines = with_queue(work)
    counted = [line for line in lines if line.startswith("scheduler_queue_incoming")]
    name = "scheduler_queue_incoming_pods_total"
    assert sorted(line.removeprefix(name) for line in counted) == [
        '{event="AssignedPodDelete",queue="active"} 1',
        '{event="BackoffComplete",queue="active"} 2',
        '{event="NodeAdd",queue="backoff"} 1',
        '{event="PodAdd",queue="active"} 4',
        '{event="ScheduleAttemptFailure",queue="backoff"} 1',
        '{event="ScheduleAttemptFailure",queue="unschedulable"} 3',
        '{event="UnschedulableTimeout",queue="active"} 1',
    ]


def test_pods_tried_often_are_told_apart_no_more() -> None:
    queue = Figures()
    for attempts in (1, 14, 15, 40):
        queue.placed(attempts, 0.02)
    text = prometheus.render(queue.families({})).decode()
    for label, count in (("1", 1), ("14", 1), ("15+", 2)):
        name = "scheduler_pod_scheduling_sli_duration_seconds_count"
        assert f'{name}{{attempts="{label}"}} {count}\n' in text
