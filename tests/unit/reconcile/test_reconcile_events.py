"""Events as clients read them: equal ones counted, floods held back, both forms."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from simulation.control_plane import ControlPlane, control_plane
from simulation.faults import Weather
from steersman.client.client import APIClient
from steersman.model.errors import TooManyRequests
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.namespace import NAMESPACE
from steersman.reconcile import events
from steersman.reconcile.events import BURST, MAX_TRIES, RETRY_SECONDS, Form, Recorder, Said
from steersman.world.simulated import SimulatedWorld, simulate

Work = Callable[[Recorder, Any, SimulatedWorld, ControlPlane], Coroutine[Any, Any, Any]]


def recorded(
    work: Work,
    form: Form = "count",
    weather: Weather | None = None,
    after: Callable[[], Awaitable[None]] | None = None,
) -> list[Any]:
    """Runs work with a recorder about a ConfigMap and returns the events at the end."""

    async def main(world: SimulatedWorld) -> list[Any]:
        async with control_plane(world, weather or Weather(), lambda *_: None) as plane:
            document = {"metadata": {"name": "mine", "namespace": "default"}}
            found = await plane.admin.create(CONFIGMAP, document)
            transport = plane.faulty("system:serviceaccount:kube-system:test-controller", None)
            recorder = Recorder(APIClient(transport, world), world, "x", form=form)
            async with world.tasks() as tasks:
                tasks.start(recorder.run(after), name="events")
                await work(recorder, found, world, plane)
                await world.sleep(600)
                tasks.stop()
            return list((await plane.admin.list(EVENT, "default")).items)

    return simulate(1, main)


def test_equal_events_become_one_with_a_count_and_two_times() -> None:
    async def work(recorder: Recorder, found: Any, world: SimulatedWorld, _: Any) -> None:
        for _number in range(3):
            recorder.normal(found, "Done", "it is done")
            await world.sleep(10)
        recorder.warning(found, "Done", "it is done")

    found = sorted(recorded(work), key=lambda it: it.type)
    assert [(it.type, it.count) for it in found] == [("Normal", 3), ("Warning", 1)]
    first = found[0]
    assert (first.last_timestamp - first.first_timestamp).total_seconds() == 20
    assert (first.source.component, first.reporting_component) == ("x", "x")
    assert first.involved_object.uid
    assert first.involved_object.api_version == "v1"
    assert first.metadata.name.startswith("mine.")


def test_the_series_form_has_micro_times_an_action_and_a_series() -> None:
    async def work(recorder: Recorder, found: Any, world: SimulatedWorld, _: Any) -> None:
        recorder.normal(found, "Scheduled", "to there", "Binding")
        await world.sleep(10)
        recorder.normal(found, "Scheduled", "to there", "Binding")

    (event,) = recorded(work, "series")
    assert event.action == "Binding"
    assert event.reporting_component == "x"
    assert event.event_time is not None
    assert event.series.count == 2
    assert (event.series.last_observed_time - event.event_time).total_seconds() == 10


def test_one_object_gets_a_burst_and_then_one_event_in_five_minutes() -> None:
    async def work(recorder: Recorder, found: Any, world: SimulatedWorld, _: Any) -> None:
        for number in range(BURST + 10):
            recorder.normal(found, "Many", f"number {number}")
        assert recorder.dropped == 10
        await world.sleep(301)
        recorder.normal(found, "Many", "later")
        recorder.normal(found, "Many", "too much")
        assert recorder.dropped == 11

    assert len(recorded(work)) == BURST + 1


def test_an_event_that_was_removed_is_written_anew() -> None:
    async def work(
        recorder: Recorder, found: Any, world: SimulatedWorld, plane: ControlPlane
    ) -> None:
        recorder.normal(found, "Done", "it is done")
        await world.sleep(1)
        await plane.admin.delete_collection(EVENT, "default")
        recorder.normal(found, "Done", "it is done")

    (event,) = recorded(work)
    assert event.count == 1


def test_events_survive_an_api_that_is_away_for_a_while() -> None:
    weather = Weather(lose_request=1.0)

    async def work(recorder: Recorder, found: Any, world: SimulatedWorld, _: Any) -> None:
        recorder.normal(found, "Done", "it is done")
        await world.sleep(45)
        weather.calm()

    assert len(recorded(work, weather=weather)) == 1


def test_events_survive_a_server_that_is_too_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    create, refused = APIClient.create, []

    async def busy(self: APIClient, *given: Any, **more: Any) -> Any:
        if not refused:
            refused.append(given)
            raise TooManyRequests("later")
        return await create(self, *given, **more)

    async def work(recorder: Recorder, found: Any, world: SimulatedWorld, _: Any) -> None:
        monkeypatch.setattr(APIClient, "create", busy)
        recorder.normal(found, "Done", "it is done")
        await world.sleep(2 * RETRY_SECONDS)
        assert (len(refused), recorder.dropped) == (1, 0)

    assert len(recorded(work)) == 1


def test_events_that_wait_for_the_server_are_written_the_moment_that_it_answers() -> None:
    weather, answers = Weather(lose_request=1.0), asyncio.Event()
    written = []

    async def after() -> None:
        await answers.wait()

    async def work(
        recorder: Recorder, found: Any, world: SimulatedWorld, plane: ControlPlane
    ) -> None:
        recorder.normal(found, "Early", "no server yet")
        await world.sleep(RETRY_SECONDS / 4)
        recorder.normal(found, "Later", "one behind it")
        weather.calm()
        answers.set()
        await world.sleep(RETRY_SECONDS / 4)
        written.extend(it.reason for it in (await plane.admin.list(EVENT, "default")).items)

    recorded(work, weather=weather, after=after)
    assert sorted(written) == ["Early", "Later"]


def test_events_about_cluster_wide_objects_are_in_default() -> None:
    async def work(
        recorder: Recorder, found: Any, world: SimulatedWorld, plane: ControlPlane
    ) -> None:
        namespace = await plane.admin.get(NAMESPACE.ref("", "default"))
        recorder.normal(namespace, "Seen", "x" * 2000)

    (event,) = recorded(work)
    assert event.involved_object.kind == "Namespace"
    assert len(event.message) == 1024


def test_an_event_that_is_refused_is_dropped_at_once_and_the_next_is_written() -> None:
    async def work(recorder: Recorder, found: Any, world: SimulatedWorld, _: Any) -> None:
        nowhere = ("v1", "ConfigMap", "no-such-namespace", "mine", "uid", "")
        recorder.say(Said(nowhere, "Normal", "Done", "it is done"))
        recorder.normal(found, "Done", "it is done")
        await world.sleep(1)
        assert recorder.dropped == 1

    (event,) = recorded(work)
    assert event.involved_object.namespace == "default"


def test_an_event_that_cannot_be_written_for_long_is_dropped_and_later_ones_are_not() -> None:
    weather = Weather(lose_request=1.0)

    async def work(recorder: Recorder, found: Any, world: SimulatedWorld, _: Any) -> None:
        recorder.normal(found, "Lost", "nobody hears it")
        await world.sleep((MAX_TRIES - 1) * RETRY_SECONDS - 5)
        assert recorder.dropped == 0
        await world.sleep(10)
        assert recorder.dropped == 1
        weather.calm()
        recorder.normal(found, "Heard", "it is away no more")

    assert [it.reason for it in recorded(work, weather=weather)] == ["Heard"]


def test_events_that_find_no_room_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_WAITING", 5)

    async def work(recorder: Recorder, _found: Any, _world: SimulatedWorld, _: Any) -> None:
        for number in range(8):
            about = ("v1", "ConfigMap", "default", f"map-{number}", "uid", "")
            recorder.say(Said(about, "Normal", "Done", "it is done"))
        assert recorder.dropped == 3

    assert len(recorded(work)) == 5


def test_an_event_names_who_else_had_a_part_and_the_node_that_says_it() -> None:
    async def work(recorder: Recorder, found: Any, world: SimulatedWorld, _: Any) -> None:
        recorder.warning(found, "Refused", "no", related=("a.example.com/v1", "Extender", "e"))
        about = ("v1", "ConfigMap", "default", "mine", "", "spec.x")
        recorder.say(Said(about, "Normal", "Seen", "there", host="node-1"))

    refused, seen = sorted(recorded(work), key=lambda it: it.reason)
    assert (refused.related.api_version, refused.related.kind) == ("a.example.com/v1", "Extender")
    assert refused.related.name == "e"
    assert refused.source.host == ""
    assert (seen.source.host, seen.reporting_instance) == ("node-1", "node-1")
    assert seen.involved_object.field_path == "spec.x"
