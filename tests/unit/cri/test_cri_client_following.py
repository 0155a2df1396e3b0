"""How the ends of containers and sandboxes come to be known: told, or looked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from steersman.cri.client.following import UNKNOWN_EXIT, Following
from steersman.cri.client.known import Known, Listing, Run
from steersman.cri.messages import containers as c
from steersman.cri.messages import sandboxes as s
from steersman.runtime.engine import EngineError, Event, ExitStatus
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.world.interface import World
from steersman.world.simulated import simulate
from unit.cri.scripted_runtime import Scripted, stopped

PLACE = ("uid", "app.0")


def listing(*, ready: bool = True, state: int | None = c.RUNNING) -> Listing:
    """Returns what a runtime lists: one sandbox, and its container in a state or not at all."""
    labels = {"io.kubernetes.pod.uid": "uid", "io.kubernetes.container.name": "app"}
    box = s.PodSandbox("box", state=s.READY if ready else s.NOT_READY, labels=labels)
    one = c.Container("one", metadata=c.ContainerMetadata("app"), state=state or 0, labels=labels)
    return Listing((box,), () if state is None else (one,))


class Stage:
    """What is followed, with one pod that runs."""

    def __init__(self, world: World, *, told: bool) -> None:
        self.world = world
        self.runtime = Scripted(told=told)
        self.known = Known()
        self.known.sandboxes["uid"] = "box"
        self.known.runs[PLACE] = Run("one", "/log")
        self.found: Listing | EngineError = listing()
        self.listed = 0
        self.following = Following(cast(Any, self.runtime), self.known, self._list, world)
        self.following.begin()

    async def _list(self) -> Listing:
        self.listed += 1
        if isinstance(self.found, EngineError):
            raise self.found
        return self.found


def follow(
    told: bool, happens: Callable[[Stage], Any], count: int = 1
) -> tuple[Stage, list[Event]]:
    """Follows a pod to which something happens; returns the first event."""

    async def main(world: World) -> tuple[Stage, list[Event]]:
        stage, found = Stage(world, told=told), []
        async with world.tasks() as tasks:
            tasks.start(happens(stage), name="what happens")
            tasks.start(stage.following.run(), name="following")
            async with world.timeout(1000.0):
                found.append(await anext(stage.following.events()))
            tasks.stop()
        return stage, found

    result: tuple[Stage, list[Event]] = simulate(1, main)
    return result


EXIT = Event("exit", *PLACE, ExitStatus(3, 0, 5, 9, False))


def test_an_end_that_the_runtime_tells_is_passed_on_with_how_it_ended() -> None:
    async def happens(stage: Stage) -> None:
        status = stage.runtime.ends("one", 3)
        assert stage.runtime.events is not None
        stage.runtime.events.put_nowait(stopped("one", status))

    stage, found = follow(True, happens)
    assert found == [EXIT]
    assert stage.runtime.asked == []  # the event has said all


def test_how_it_ended_is_asked_where_the_event_does_not_say() -> None:
    async def happens(stage: Stage) -> None:
        stage.runtime.ends("one", 137, "OOMKilled")
        assert stage.runtime.events is not None
        stage.runtime.events.put_nowait(stopped("one"))

    _, (event,) = follow(True, happens)
    assert event.exit is not None and event.exit.oom_killed and event.exit.code == 137


def test_a_sandbox_that_has_ended_is_lost() -> None:
    async def happens(stage: Stage) -> None:
        assert stage.runtime.events is not None
        stage.runtime.events.put_nowait(stopped("other", sandbox=s.NOT_READY))
        stage.runtime.events.put_nowait(stopped("box", sandbox=s.READY))
        stage.runtime.events.put_nowait(stopped("box", sandbox=s.NOT_READY))

    stage, found = follow(True, happens)
    assert found == [Event("lost", "uid", "", None)]
    assert stage.known.sandboxes == {}


def test_a_stream_of_events_that_breaks_off_is_begun_anew_and_nothing_is_missed() -> None:
    async def happens(stage: Stage) -> None:
        assert stage.runtime.events is not None
        await stage.world.sleep(5)
        stage.runtime.ends("one", 3)
        stage.found = listing(state=c.EXITED)
        stage.runtime.events.put_nowait(Failed(grpc.UNAVAILABLE, "gone"))

    stage, found = follow(True, happens)
    assert found == [EXIT]
    assert stage.listed == 2  # once for each stream


def test_a_runtime_without_events_is_listed_every_second() -> None:
    async def happens(stage: Stage) -> None:
        await stage.world.sleep(10.5)
        stage.runtime.ends("one", 3)
        stage.found = listing(state=c.EXITED)

    stage, found = follow(False, happens)
    assert found == [EXIT]
    assert stage.listed == 11


def test_nothing_is_listed_while_there_is_no_pod() -> None:
    async def happens(stage: Stage) -> None:
        stage.known.forget("uid")
        await stage.world.sleep(100)
        assert stage.listed <= 1
        stage.known.sandboxes["uid"], stage.known.runs[PLACE] = "box", Run("one", "/log")
        stage.found = listing(state=None)
        stage.following.begin()

    _, (event,) = follow(False, happens)
    assert event.exit is not None and event.exit.code == UNKNOWN_EXIT


def test_a_runtime_that_does_not_answer_loses_nothing() -> None:
    async def happens(stage: Stage) -> None:
        stage.found = EngineError("unavailable", "down")
        await stage.world.sleep(10.5)
        stage.found = listing(ready=False)

    stage, found = follow(False, happens)
    assert found == [Event("lost", "uid", "", None)]
    assert stage.listed == 11


def test_what_is_taken_away_by_the_agent_itself_is_not_told_as_lost() -> None:
    async def main(world: World) -> list[str]:
        stage = Stage(world, told=False)

        async def removes() -> Listing:
            stage.known.forget("uid")
            return listing(ready=False, state=None)

        stage.following._list_all = removes  # type: ignore[method-assign]
        await stage.following._relist()
        return [it.kind for it in _waiting(stage)]

    assert simulate(1, main) == []


def _waiting(stage: Stage) -> list[Event]:
    found = []
    while not stage.following._events.empty():
        found.append(stage.following._events.get_nowait())
    return found


def test_who_waits_for_an_end_hears_of_it_once_it_is_known() -> None:
    async def main(world: World) -> None:
        del world
        known = Known()
        with pytest.raises(EngineError):
            await known.wait(*PLACE)
        known.runs[PLACE] = Run("one", "/log")
        first = asyncio.ensure_future(known.wait(*PLACE))
        await asyncio.sleep(0)
        exit = ExitStatus(3, 0, 5, 9, False)
        assert known.ended(PLACE, exit)
        assert not known.ended(PLACE, ExitStatus(4, 0, 0, 0, False))
        assert await first == await known.wait(*PLACE) == exit
        known.runs["uid", "app.1"] = Run("two", "/log")
        second = asyncio.ensure_future(known.wait("uid", "app.1"))
        await asyncio.sleep(0)
        known.forget("uid")
        with pytest.raises(EngineError) as gone:
            await second
        assert gone.value.kind == "not-found"

    simulate(1, main)
