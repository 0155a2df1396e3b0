"""The loop on a real API: retries, permanent failures, waiting for the views, identities."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import pytest

from simulation.control_plane import control_plane
from simulation.faults import Weather
from steersman.client.client import APIClient
from steersman.client.errors import Unreachable
from steersman.model.errors import Conflict, InternalError
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.event import EVENT
from steersman.model.ref import Ref
from steersman.reconcile.loop import CALLS_AT_ONCE, REST_FROM, Done, Given, Permanent, rest_after
from steersman.reconcile.noting import Notes, Noting, begin
from steersman.reconcile.rules import Rule, Watch, identity, role, to_self
from steersman.world.simulated import SimulatedWorld, simulate


class Recording:
    """A controller whose deeds are given by a test; it sees ConfigMaps named `mine`."""

    name: ClassVar[str] = "test-controller"
    watches: ClassVar[tuple[Watch, ...]] = (Watch(CONFIGMAP, partial(to_self, kind=CONFIGMAP)),)
    writes: ClassVar[tuple[Rule, ...]] = (Rule("", ("configmaps",), ("create", "patch")),)
    calls: ClassVar[list[float]] = []

    def __init__(self, given: Given) -> None:
        self.given = given
        self.view = given.views.of(CONFIGMAP)
        type(self).calls = []

    async def reconcile(self, ref: Ref) -> Done:
        if ref.name != "mine":
            return Done()
        type(self).calls.append(self.given.world.now())
        return await self.act(ref)

    async def act(self, ref: Ref) -> Done:
        return Done()


def run(controller: type[Recording], seconds: float, weather: Weather | None = None) -> Any:
    """Runs a controller for a while and returns the clients' last sight of things."""

    async def main(world: SimulatedWorld) -> Any:
        async with control_plane(world, weather or Weather(), lambda *_: None) as plane:
            plane.run_controllers((controller,))
            document = {"metadata": {"name": "mine", "namespace": "default"}, "data": {"n": "0"}}
            await plane.admin.create(CONFIGMAP, document)
            await world.sleep(seconds)
            found = await plane.admin.get(CONFIGMAP.ref("default", "mine"))
            events = (await plane.admin.list(EVENT, "default")).items
            return found, list(events)

    return simulate(1, main)


def test_what_fails_is_tried_again_with_back_off_until_it_works() -> None:
    class Failing(Recording):
        async def act(self, ref: Ref) -> Done:
            if len(type(self).calls) < 4:
                raise RuntimeError("not yet")
            return Done()

    run(Failing, 60)
    times = [time - Failing.calls[0] for time in Failing.calls]
    assert [round(time, 3) for time in times] == [0.0, 0.005, 0.015, 0.035]


def test_an_object_comes_again_when_asked_for() -> None:
    class Again(Recording):
        async def act(self, ref: Ref) -> Done:
            return Done(10.0) if len(type(self).calls) < 3 else Done()

    run(Again, 60)
    times = [round(time - Again.calls[0], 3) for time in Again.calls]
    assert times == [0.0, 10.0, 20.0]


def test_an_object_that_rests_is_not_looked_at_before_whatever_changes() -> None:
    class Resting(Recording):
        async def act(self, ref: Ref) -> Done:
            return Done(0.5, rest=3.0) if len(type(self).calls) < 3 else Done()

    run(Resting, 60)
    times = [round(time - Resting.calls[0], 3) for time in Resting.calls]
    assert times == [0.0, 3.0, 6.0]


def test_more_objects_may_rest_than_are_worked_on_at_once() -> None:
    class Resting(Recording):
        async def reconcile(self, ref: Ref) -> Done:
            if ref.name.startswith("n-"):
                type(self).calls.append(self.given.world.now())
            return Done(rest=3.0)

    async def main(world: SimulatedWorld) -> float:
        async with control_plane(world, Weather(), lambda *_: None) as plane:
            plane.run_controllers((Resting,))
            began = world.now()
            for number in range(2 * CALLS_AT_ONCE):
                metadata = {"name": f"n-{number}", "namespace": "default"}
                await plane.admin.create(CONFIGMAP, {"metadata": metadata})
            await world.sleep(1)
            return began

    began = simulate(1, main)
    assert len(Resting.calls) == 2 * CALLS_AT_ONCE
    assert max(Resting.calls) - began < 1


def test_who_looks_at_few_objects_need_not_rest() -> None:
    assert (rest_after(REST_FROM - 1), rest_after(10_000)) == (0.0, pytest.approx(0.25))


def test_a_permanent_failure_is_told_as_an_event_and_not_tried_again() -> None:
    class Hopeless(Recording):
        async def act(self, ref: Ref) -> Done:
            raise Permanent("Unusable", "this can never work")

    _, events = run(Hopeless, 60)
    assert len(Hopeless.calls) == 1
    (event,) = events
    assert (event.type, event.reason) == ("Warning", "Unusable")
    assert event.message == "this can never work"
    assert (event.involved_object.kind, event.involved_object.name) == ("ConfigMap", "mine")
    assert event.source.component == "test-controller"


def test_an_object_is_not_seen_again_before_the_view_has_what_was_written() -> None:
    class Counting(Recording):
        async def act(self, ref: Ref) -> Done:
            seen = int(self.view.get(ref).data["n"])
            if seen < 20:
                patch = {"data": {"n": str(seen + 1)}}
                written = await self.given.client.patch(ref, patch)
                assert int(written.data["n"]) == seen + 1, "the view was stale"
                assert seen == len(type(self).calls) - 1
                return Done(0.0)
            return Done()

    found, _ = run(Counting, 600, Weather(slow_watch=5.0))
    assert found.data["n"] == "20"


def test_a_write_whose_answer_was_lost_is_waited_for_too() -> None:
    class Creating(Recording):
        async def act(self, ref: Ref) -> Done:
            count = sum(1 for it in self.view.list("default") if it.metadata.name != "mine")
            if count < 5:
                document = {"metadata": {"generateName": "child-", "namespace": "default"}}
                await self.given.client.create(CONFIGMAP, document)
                return Done(0.0)
            return Done()

    most = 0

    async def main(world: SimulatedWorld) -> Any:
        weather = Weather(slow_watch=5.0, lose_answer=0.4)
        async with control_plane(world, weather, lambda *_: None) as plane:
            plane.run_controllers((Creating,))
            document = {"metadata": {"name": "mine", "namespace": "default"}}
            await plane.admin.create(CONFIGMAP, document)
            await world.sleep(900)
            found = (await plane.admin.list(CONFIGMAP, "default")).items
            return sum(it.metadata.name.startswith("child-") for it in found)

    for seed in range(5):
        most = max(most, simulate(seed, main))
    assert most == 5


def test_what_may_be_repeated_is_not_waited_for_after_a_lost_answer() -> None:
    async def main(world: SimulatedWorld) -> Any:
        weather = Weather(lose_answer=1.0)
        async with control_plane(world, weather, lambda *_: None) as plane:
            client = APIClient(plane.faulty(identity("test-controller"), None), world)
            document = {"metadata": {"generateName": "x-", "namespace": "default"}}
            noted = []
            for repeatable in (False, True):
                notes = begin()
                with pytest.raises(Unreachable):
                    await Noting(client, repeatable=repeatable).create(CONFIGMAP, document)
                noted.append(set(notes.uncertain))
            return noted

    assert simulate(1, main) == [{CONFIGMAP.resource}, set()]


def test_only_a_refusal_proves_that_nothing_was_written() -> None:
    notes = Notes()
    notes.failed(CONFIGMAP.resource, Conflict("no"))
    assert not notes.uncertain
    notes.failed(CONFIGMAP.resource, InternalError("who knows"))
    assert notes.uncertain == {CONFIGMAP.resource}
    other = Notes()
    other.failed(CONFIGMAP.resource, Unreachable("lost"))
    assert other.uncertain == {CONFIGMAP.resource}


def test_of_several_writes_the_last_revision_counts() -> None:
    notes = Notes()
    for revision in (5, 9, 7):
        notes.wrote(CONFIGMAP.resource, revision)
    assert notes.written == {CONFIGMAP.resource: 9}


def test_a_role_grants_reads_of_what_is_watched_and_the_writes_that_are_named() -> None:
    cluster_role, binding = role("x-controller", Recording.watches, Recording.writes)
    rules = cluster_role["rules"]
    assert cluster_role["metadata"]["name"] == "steersman:controller:x-controller"
    read = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}
    write = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch"]}
    assert rules[:2] == [read, write]
    assert {rule["resources"][0] for rule in rules[2:]} == {"events"}
    (subject,) = binding["subjects"]
    assert (subject["namespace"], subject["name"]) == ("kube-system", "x-controller")
    assert identity("x-controller") == "system:serviceaccount:kube-system:x-controller"


def test_what_worked_once_begins_its_back_off_anew() -> None:
    class Wavering(Recording):
        async def act(self, ref: Ref) -> Done:
            if len(type(self).calls) == 3:
                return Done(10.0)
            if len(type(self).calls) < 6:
                raise RuntimeError("not yet")
            raise Permanent("Unusable", "never")

    run(Wavering, 60)
    times = [round(time - Wavering.calls[0], 3) for time in Wavering.calls]
    assert times == [0.0, 0.005, 0.015, 10.015, 10.02, 10.03]


def test_what_failed_for_good_begins_its_back_off_anew_when_it_has_changed() -> None:
    class Hopeless(Recording):
        async def act(self, ref: Ref) -> Done:
            if len(type(self).calls) == 3:
                raise Permanent("Unusable", "as it is")
            raise RuntimeError("not yet")

    async def main(world: SimulatedWorld) -> list[float]:
        async with control_plane(world, Weather(), lambda *_: None) as plane:
            plane.run_controllers((Hopeless,))
            metadata = {"name": "mine", "namespace": "default"}
            await plane.admin.create(CONFIGMAP, {"metadata": metadata})
            await world.sleep(10)
            await plane.admin.patch(CONFIGMAP.ref("default", "mine"), {"data": {"n": "1"}})
            await world.sleep(0.02)
            return list(Hopeless.calls)

    _, _, _, changed, again, *_ = simulate(1, main)
    assert round(again - changed, 3) == 0.005


def test_a_controller_works_on_a_bounded_number_of_objects_at_once() -> None:
    class Slow(Recording):
        now: ClassVar[int] = 0
        most: ClassVar[int] = 0
        done: ClassVar[int] = 0

        async def reconcile(self, ref: Ref) -> Done:
            kind = type(self)
            kind.now += 1
            kind.most = max(kind.most, kind.now)
            await self.given.world.sleep(1)
            kind.now -= 1
            kind.done += 1
            return Done()

    async def main(world: SimulatedWorld) -> None:
        async with control_plane(world, Weather(), lambda *_: None) as plane:
            for number in range(3 * CALLS_AT_ONCE):
                metadata = {"name": f"n{number}", "namespace": "default"}
                await plane.admin.create(CONFIGMAP, {"metadata": metadata})
            plane.run_controllers((Slow,))
            await world.sleep(30)

    simulate(1, main)
    assert Slow.most == CALLS_AT_ONCE
    assert Slow.done >= 3 * CALLS_AT_ONCE
