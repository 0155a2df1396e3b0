"""The worker of a pod: what comes early, late or not at all stops nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from node_documents import UID, deleted, observed, pod, running
from shim_script import RUNNING, Stage, container, ended, refuse

from steersman.model.errors import Conflict, NotFound, ServiceUnavailable
from steersman.node import worker as workers
from steersman.node.observed import Observed
from steersman.node.worker import Worker
from steersman.runtime.engine import ExitStatus


def has_ended(status: dict[str, Any]) -> bool:
    return bool(status["phase"] in ("Succeeded", "Failed"))


def is_up(status: dict[str, Any]) -> bool:
    return bool(status["phase"] == "Running")


def exit_of(**fields: Any) -> ExitStatus:
    return ExitStatus(**ended(**fields))


async def begin(stage: Stage, tools: Any, tasks: Any, seen: Observed) -> Worker:
    """Starts a worker for the pod of a stage."""
    await stage.engine.connect()
    made = Worker(tools, stage.pod, seen, lambda _: None)
    made.hear(stage.pod)
    tasks.start(made.run(), name="worker")
    return made


def test_a_container_that_cannot_be_removed_does_not_end_the_node(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tells(container("app.0", **RUNNING))
    stage.shim.verbs["delete"] = lambda _: refuse("failed", "Device or resource busy")

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": running()})
            worker = await begin(stage, tools, tasks, seen)
            await stage.api.until(is_up)
            worker.exited("app", 0, exit_of())
            status = await stage.api.until(has_ended)
            assert status["phase"] == "Succeeded"
            await stage.shim.until("delete", "app.0")
            await stage.shim.until("remove")  # it goes on to the end of the sandbox

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [Conflict("faster"), NotFound("gone"), ServiceUnavailable("up")])
def test_a_status_that_was_refused_is_told_again(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "TELL_RETRY_SECONDS", 0.0)
    stage = Stage(tmp_path)
    stage.tells(container("app.0", **RUNNING))
    stage.api.refuses = [error, error]  # type: ignore[list-item]

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": running()})
            await begin(stage, tools, tasks, seen)
            status = await stage.api.until(lambda _: True)
            assert is_up(status)
            assert stage.api.refuses == []

    asyncio.run(scenario())


def test_a_run_that_ends_before_its_start_is_answered_has_ended(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tells()
    stage.runs()
    stage.hosts()
    start = stage.shim.verbs["start"]

    def start_and_end(request: dict[str, Any]) -> dict[str, Any]:
        stage.shim.tell({"kind": "exit", "container": request["container"], "exit": ended()})
        return start(request)

    stage.shim.verbs["start"] = start_and_end

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            worker = await begin(stage, tools, tasks, observed(ready=True))
            tasks.start(route(stage, worker), name="events")
            status = await stage.api.until(has_ended)
            assert status["phase"] == "Succeeded"

    asyncio.run(scenario())


async def route(stage: Stage, worker: Worker) -> None:
    """Hands the ends of runs on, as the agent does."""
    async for event in stage.engine.events():
        if event.exit is not None:
            worker.exited("app", int(event.container.rpartition(".")[2]), event.exit)


def test_the_ground_stays_until_what_is_under_way_on_it_is_over(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tells()
    stage.hosts()
    stage.shim.verbs["create"] = lambda _: {}  # it stays open
    stage.shim.verbs["state"] = lambda _: {"result": container("other")}

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            worker = await begin(stage, tools, tasks, observed(ready=True))
            await stage.shim.until("create", "app.0")
            worker.vanish()
            for _ in range(3):  # what was asked before is there before these
                await stage.engine.state(UID, "other")
                assert await stage.shim.asked.get() == ("state", "other")
            stage.shim.answer("create", refuse("failed"))
            await stage.shim.until("remove")

    asyncio.run(scenario())


def test_a_pod_that_ends_slowly_is_hastened_by_a_deletion_that_gives_less_time(
    tmp_path: Path,
) -> None:
    """Its first kill waits ten minutes, and the second begins without it."""
    slow = {"spec": {"restartPolicy": "Never"}, "command": ["true"]}
    stage = Stage(tmp_path, pod(**slow, metadata=deleted(600)))
    stage.tells(container("app.0", **RUNNING))
    stage.shim.verbs["wait"] = lambda _: {}  # it stays open

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": running()})
            worker = await begin(stage, tools, tasks, seen)
            await stage.shim.until("kill", "app.0")
            await stage.shim.until("wait", "app.0")
            worker.hear(pod(**slow, metadata=deleted(599)))
            worker.hear(pod(**slow, metadata=deleted(0)))
            await stage.shim.until("kill", "app.0")

    asyncio.run(scenario())


def test_the_end_of_an_earlier_start_is_not_taken_for_that_of_this_one(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tells()
    stage.runs(started_at=70)
    stage.hosts()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            worker = await begin(stage, tools, tasks, observed(ready=True))
            worker.exited("app", 0, exit_of(started_at=50))
            await stage.api.until(is_up)
            worker.exited("app", 0, exit_of(started_at=70, code=3))
            status = await stage.api.until(has_ended)
            assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("verb", "kind"),
    [("create", "unavailable"), ("create", "conflict"), ("start", "unavailable")],
)
def test_what_a_try_without_an_answer_has_left_is_removed_before_the_next(
    tmp_path: Path, verb: str, kind: str
) -> None:
    if (verb, kind) == ("start", "conflict"):
        return
    stage = Stage(tmp_path)
    stage.tells()
    stage.runs()
    stage.hosts()
    answers = stage.shim.verbs[verb]
    refusals = [refuse(kind)]
    stage.shim.verbs[verb] = lambda request: refusals.pop() if refusals else answers(request)
    forced: list[bool] = []

    def delete(request: dict[str, Any]) -> dict[str, Any]:
        forced.append(request["force"])
        return {"result": {}}

    stage.shim.verbs["delete"] = delete

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            await begin(stage, tools, tasks, observed(ready=True))
            status = await stage.api.until(is_up)
            assert status["containerStatuses"][0]["restartCount"] == 0
            assert forced == [True]

    asyncio.run(scenario())
