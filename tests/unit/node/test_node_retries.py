"""The worker of a pod over its troubles: when it tries again, and what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from node_documents import deleted, exited, observed, pod, running
from shim_script import RUNNING, Stage, begin, container, ended, has_ended, is_up, refuse, state_of

from steersman.node import agent as agents
from steersman.node import worker as workers
from steersman.node.objects import BadConfiguration
from steersman.node.observed import Seen, Trouble
from steersman.node.volumes.mounting import Prepared
from steersman.node.worker import Worker
from steersman.runtime.engine import ExitStatus

Answer = float | Exception


class Scripted:
    """Volumes that do what a test says each time they are prepared; the last goes for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.prepared: asyncio.Queue[int] = asyncio.Queue()
        self.free = asyncio.Event()
        self.free.set()
        self.meanwhile: Callable[[], None] = lambda: None
        self._answers = list(answers)

    def unmounted_images(self, _pod: Any) -> Iterable[Any]:
        """Has no images for volumes."""
        return ()

    async def prepare(self, _pod: Any, _objects: Any, _changed: Any, _layers: Any) -> Prepared:
        """Prepares, or fails."""
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        self.prepared.put_nowait(1)
        self.meanwhile()
        await self.free.wait()
        if isinstance(answer, Exception):
            raise answer
        return Prepared(answer)


def with_volumes(tools: Any, volumes: Scripted) -> Any:
    return msgspec.structs.replace(tools, volumes=cast(Any, volumes))


async def settle() -> None:
    """Lets every task have its turn."""
    for _ in range(20):
        await asyncio.sleep(0)


def ready_stage(tmp_path: Path, **given: Any) -> Stage:
    """A pod whose containers can be made and started."""
    stage = Stage(tmp_path, pod(command=["true"], **given))
    stage.tells()
    stage.runs()
    stage.hosts()
    return stage


def test_a_success_ends_a_row_of_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "FIRST_RETRY_SECONDS", 0.01)
    stage = Stage(tmp_path)
    stage.makes_sandboxes()
    failing = {"sandbox": [refuse("failed", "no room")] * 2, "create": [refuse("failed", "no")] * 2}
    for verb, refusals in failing.items():
        answers = stage.warm.verbs[verb]
        stage.warm.verbs[verb] = lambda request, answers=answers, refusals=refusals: (
            refusals.pop() if refusals else answers(request)
        )

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            worker = Worker(tools, stage.pod, observed(), lambda _: None)
            tasks.start(worker.run(), name="worker")
            await stage.api.until(is_up)
            assert worker._count_failure("sandbox") == 0.01
            assert worker._count_failure("start of app") == 0.01

    asyncio.run(scenario())


@pytest.mark.parametrize("verb", ["sandbox", "create"])
def test_a_trouble_says_when_it_is_tried_again_and_is_not_tried_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(workers, "FIRST_RETRY_SECONDS", 100.0)
    stage = Stage(tmp_path)
    stage.makes_sandboxes()
    asked: list[str] = []

    def refusing(_request: Any) -> dict[str, Any]:
        asked.append(verb)
        return refuse("failed", "no room")

    stage.warm.verbs[verb] = refusing

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            worker = Worker(tools, stage.pod, observed(), lambda _: None)
            tasks.start(worker.run(), name="worker")
            status = await stage.api.until(
                lambda told: (
                    "no room" in state_of(told).get("waiting", {}).get("message", "")
                    or (verb == "sandbox" and worker.seen.trouble is not None)
                )
            )
            assert status["phase"] == "Pending"
            trouble = worker.seen.trouble or worker.seen.of("app").trouble
            assert trouble is not None and "no room" in trouble.message
            assert trouble.again_at == pytest.approx(tools.world.now() + 100, abs=5)
            worker.hear(stage.pod)
            await settle()
            assert asked == [verb]

    asyncio.run(scenario())


def test_the_same_status_is_told_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": running()})
            worker = await begin(stage, tools, tasks, seen)
            await stage.api.until(is_up)
            await settle()
            while not stage.api.statuses.empty():
                stage.api.statuses.get_nowait()
            worker.hear(stage.pod)
            await settle()
            assert stage.api.statuses.empty()

    asyncio.run(scenario())


def test_a_restart_that_ends_before_it_is_answered_has_ended(tmp_path: Path) -> None:
    stage = ready_stage(tmp_path, spec={"restartPolicy": "OnFailure"})

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": exited(1)})
            worker = await begin(stage, tools, tasks, seen)
            start = stage.shim.verbs["start"]

            def start_and_end(request: dict[str, Any]) -> dict[str, Any]:
                worker.exited("app", 1, ExitStatus(**ended()))
                return start(request)

            stage.shim.verbs["start"] = start_and_end
            status = await stage.api.until(has_ended)
            told = status["containerStatuses"][0]
            assert (status["phase"], told["restartCount"]) == ("Succeeded", 1)

    asyncio.run(scenario())


def test_no_back_off_is_told_of_a_container_that_is_done(tmp_path: Path) -> None:
    stage = Stage(tmp_path, pod(spec={"restartPolicy": "OnFailure"}))
    stage.tells(container("app.1", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            now = tools.world.now()
            known = running(1, backoff=10.0, backoff_at=now)
            worker = await begin(
                stage, tools, tasks, observed(ready=True, containers={"app": known})
            )
            await stage.api.until(is_up)
            finished = round(now * workers.NANO)
            worker.exited("app", 1, ExitStatus(**{**ended(0), "finished_at": finished}))
            await stage.api.until(has_ended)
            assert stage.events.told == []

    asyncio.run(scenario())


def test_a_program_that_again_cannot_be_executed_backs_off(tmp_path: Path) -> None:
    stage = ready_stage(tmp_path)
    stage.shim.verbs["start"] = lambda _: refuse("failed", "no such file")

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            worker = await begin(stage, tools, tasks, observed(ready=True))
            await stage.events.until("Back-off restarting failed container app")
            known = worker.seen.of("app")
            assert (known.run is not None and known.run.attempt, known.backoff) == (1, 10.0)
            assert (known.started, known.ready) == (False, False)

    asyncio.run(scenario())


def test_volumes_that_are_due_later_are_prepared_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "FIRST_RETRY_SECONDS", 0.0)
    stage = Stage(tmp_path)
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            volumes = Scripted(tools.world.now() + 0.3, 0.0)
            seen = observed(ready=True, containers={"app": running()})
            await begin(stage, with_volumes(tools, volumes), tasks, seen)
            await volumes.prepared.get()
            began = tools.world.monotonic()
            await volumes.prepared.get()
            assert tools.world.monotonic() - began > 0.1  # and not at once

    asyncio.run(scenario())


@pytest.mark.parametrize("why", ["deleted", "finished"])
def test_volumes_of_a_pod_that_ends_are_not_prepared_again(tmp_path: Path, why: str) -> None:
    given = {"spec": {"restartPolicy": "Never"}}
    stage = Stage(tmp_path, pod(**given, metadata=deleted() if why == "deleted" else None))
    stage.tells(container("app.0", **RUNNING))
    stage.shim.verbs["wait"] = lambda _: {}  # it stays open
    known = running() if why == "deleted" else exited()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            volumes = Scripted(0.0)
            seen = observed(ready=True, containers={"app": known})
            await begin(stage, with_volumes(tools, volumes), tasks, seen)
            await stage.shim.until(*(("wait", "app.0") if why == "deleted" else ("remove", "")))
            assert volumes.prepared.empty()

    asyncio.run(scenario())


def test_a_change_while_volumes_are_prepared_has_them_prepared_once_more(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            volumes = Scripted(tools.world.now() + 10_000)
            seen = observed(ready=True, containers={"app": running()})
            worker = Worker(with_volumes(tools, volumes), stage.pod, seen, lambda _: None)
            changes = [worker.objects_changed]
            volumes.meanwhile = lambda: changes.pop()() if changes else None
            await stage.engine.connect()
            tasks.start(worker.run(), name="worker")
            for _ in range(2):
                await volumes.prepared.get()
            await settle()
            assert volumes.prepared.empty()

    asyncio.run(scenario())


def test_volumes_that_are_well_again_are_a_trouble_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "FIRST_RETRY_SECONDS", 0.01)
    stage = Stage(tmp_path)
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            volumes = Scripted(BadConfiguration("no token"), 0.0)
            seen = observed(ready=True, containers={"app": running()})
            worker = await begin(stage, with_volumes(tools, volumes), tasks, seen)
            for _ in range(2):
                await volumes.prepared.get()
            await settle()
            assert worker.seen.trouble is None
            assert worker._count_failure("volumes") == 0.01

    asyncio.run(scenario())


def test_nothing_starts_before_the_volumes_of_an_agent_before_are_prepared(tmp_path: Path) -> None:
    stage = ready_stage(tmp_path)
    made: list[str] = []
    create = stage.shim.verbs["create"]

    def note(request: dict[str, Any]) -> dict[str, Any]:
        made.append(request["container"])
        return create(request)

    stage.shim.verbs["create"] = note

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            volumes = Scripted(0.0)
            volumes.free.clear()
            volumes.places = lambda _pod: {}  # type: ignore[attr-defined]
            worker = await begin(stage, with_volumes(tools, volumes), tasks, observed(ready=True))
            pulled, update = asyncio.Event(), worker.update

            def heed(name: str, seen: Seen) -> None:
                update(name, seen)
                pulled.set()

            worker.update = heed  # type: ignore[method-assign]
            await pulled.wait()
            assert worker.seen.of("app").pulled
            await settle()
            assert made == []
            volumes.free.set()
            await stage.api.until(is_up)
            assert made == ["app.0"]

    asyncio.run(scenario())


def test_a_deletion_that_comes_with_the_answer_to_a_status_is_acted_upon(tmp_path: Path) -> None:
    stage = Stage(tmp_path, pod(metadata={"resourceVersion": "5"}))
    stage.tells(container("app.0", **RUNNING))
    stage.shim.verbs["wait"] = lambda _: {}  # it stays open
    going = pod(metadata={"resourceVersion": "6", **deleted()})

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            stage.api.pods = [going]
            seen = observed(ready=True, containers={"app": running()})
            await begin(stage, tools, tasks, seen)
            await stage.shim.until("kill", "app.0")

    asyncio.run(scenario())


def test_a_change_of_objects_hastens_what_waits_for_objects_and_nothing_else(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)

    async def scenario() -> None:
        async with stage.open() as (tools, _):
            far = tools.world.now() + 10_000
            known = {
                "waits": Seen(trouble=Trouble("CreateContainerConfigError", "no", far)),
                "pulls": Seen(trouble=Trouble("ImagePullBackOff", "no", far)),
                "runs": running(),
            }
            seen = observed(containers=known, trouble=Trouble("ContainerCreating", "no", far))
            worker = Worker(tools, stage.pod, seen, lambda _: None)
            worker.objects_changed()
            found = {name: it.trouble for name, it in worker.seen.containers.items()}
            assert found["waits"] is not None and found["waits"].again_at < far
            assert found["pulls"] == known["pulls"].trouble
            assert found["runs"] is None
            assert worker.seen.trouble is not None and worker.seen.trouble.again_at < far

    asyncio.run(scenario())


def test_tries_are_further_and_further_apart() -> None:
    waits = [workers.retry_seconds(failures, 0.5) for failures in (0, 1, 2, 7, 8, 400)]
    assert waits == [0.5, 1.0, 2.0, 64.0, 122.0, 122.0]
    assert workers.retry_seconds(3, agents.CLEAR_RETRY_SECONDS) == 8.0
