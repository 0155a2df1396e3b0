"""The worker of a pod: what comes early, late or not at all stops nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from node_documents import UID, deleted, exited, observed, pod, running
from shim_script import RUNNING, Stage, begin, container, ended, has_ended, is_up, refuse, state_of

from steersman.client.interface import Change
from steersman.model.errors import Conflict, NotFound, ServiceUnavailable
from steersman.model.kinds.configmap import ConfigMap
from steersman.node import record
from steersman.node import worker as workers
from steersman.node.acting import telling
from steersman.node.objects import BadConfiguration
from steersman.node.observed import UNKNOWN, Seen, Trouble
from steersman.node.volumes.mounting import Prepared
from steersman.node.worker import Worker
from steersman.runtime.engine import ExitStatus

PULLED = Seen(pulled=True)


def exit_of(**fields: Any) -> ExitStatus:
    return ExitStatus(**ended(**fields))


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
    monkeypatch.setattr(telling, "RETRY_SECONDS", 0.0)
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


def test_the_end_of_a_run_before_the_present_one_ends_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tells(container("app.1", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": running(1)})
            worker = await begin(stage, tools, tasks, seen)
            await stage.api.until(is_up)
            worker.exited("app", 0, exit_of(code=2))
            worker.exited("app", 1, exit_of(code=3))
            worker.exited("app", 1, exit_of(code=4))  # told twice
            status = await stage.api.until(has_ended)
            assert state_of(status)["terminated"]["exitCode"] == 3

    asyncio.run(scenario())


def test_an_older_version_of_the_pod_is_not_listened_to(tmp_path: Path) -> None:
    stage = Stage(tmp_path, pod(metadata={"resourceVersion": "5"}))

    async def scenario() -> None:
        async with stage.open() as (tools, _):
            worker = Worker(tools, stage.pod, observed(), lambda _: None)
            worker.hear(pod(metadata={"resourceVersion": "4", **deleted()}))
            assert worker.pod is stage.pod
            newer = pod(metadata={"resourceVersion": "6"})
            worker.hear(newer)
            assert worker.pod is newer

    asyncio.run(scenario())


def test_what_ran_in_a_shim_that_died_begins_anew_from_the_ground(tmp_path: Path) -> None:
    """Volumes too: with the shim went what was mounted."""
    room = {"volumes": [{"name": "room", "emptyDir": {}}]}
    stage = Stage(tmp_path, pod(spec=room, command=["true"]))
    stage.makes_sandboxes()
    place = stage.paths.volume(UID, "room")

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            worker = Worker(tools, stage.pod, observed(), lambda _: None)
            tasks.start(worker.run(), name="worker")
            await stage.api.until(is_up)
            stage.warm.verbs["pod"] = lambda _: refuse("lost")
            await stage.engine.remove_sandbox(UID)
            place.rmdir()
            worker.lost()
            status = await stage.api.until(
                lambda told: told["containerStatuses"][0]["restartCount"] == 1 and is_up(told)
            )
            last = status["containerStatuses"][0]["lastState"]["terminated"]
            assert (last["reason"], last["exitCode"]) == (UNKNOWN, 137)
            assert place.is_dir()

    asyncio.run(scenario())


def test_what_an_agent_before_has_prepared_is_prepared_again_before_anything_starts(
    tmp_path: Path,
) -> None:
    room = {"volumes": [{"name": "room", "emptyDir": {}}], "restartPolicy": "Never"}
    stage = Stage(tmp_path, pod(spec=room, command=["true"]))
    stage.tells()
    stage.runs()
    stage.hosts()
    create, there = stage.shim.verbs["create"], list[bool]()

    def look(request: dict[str, Any]) -> dict[str, Any]:
        there.append(stage.paths.volume(UID, "room").is_dir())
        return create(request)

    stage.shim.verbs["create"] = look

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            await begin(stage, tools, tasks, observed(ready=True))
            await stage.api.until(is_up)
            assert there == [True]

    asyncio.run(scenario())


def test_a_pod_over_its_deadline_is_ended_and_says_why(tmp_path: Path) -> None:
    stage = Stage(tmp_path, pod(spec={"activeDeadlineSeconds": 5}))
    stage.tells(container("app.0", **RUNNING))
    stage.shim.verbs["wait"] = lambda _: {"result": {"exit": ended(143)}}

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": running()})
            await begin(stage, tools, tasks, seen)
            await stage.shim.until("remove")
            status = await stage.api.until(has_ended)
            assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
            text = "Pod was active on the node longer than the specified deadline"
            assert stage.events.told[0] == f"Normal DeadlineExceeded: {text}"
            assert sum("DeadlineExceeded" in it for it in stage.events.told) == 1

    asyncio.run(scenario())


def test_a_pod_that_was_done_before_its_deadline_has_not_missed_it(tmp_path: Path) -> None:
    spec = {"activeDeadlineSeconds": 5, "restartPolicy": "Never"}
    stage = Stage(tmp_path, pod(spec=spec))
    stage.tells()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": exited()})
            await begin(stage, tools, tasks, seen)
            await stage.shim.until("remove")
            status = await stage.api.until(has_ended)
            assert (status["phase"], "reason" in status) == ("Succeeded", False)
            assert stage.events.told == []

    asyncio.run(scenario())


def test_a_deleted_pod_leaves_its_status_and_then_neither_files_nor_object(tmp_path: Path) -> None:
    stage = Stage(tmp_path, pod(metadata=deleted()))
    logs = stage.paths.pod_logs("default", "web", UID)
    logs.mkdir(parents=True)
    over: list[str] = []

    async def scenario() -> None:
        async with stage.open() as (tools, _):
            seen = observed(containers={"app": exited(3)})
            stage.left(seen)
            worker = Worker(tools, stage.pod, seen, over.append)
            await worker.run()
            assert (await stage.api.until(has_ended))["phase"] == "Failed"
            assert await stage.api.deleted.get() == {"uid": UID, "grace_seconds": 0}
            assert over == [UID]
            assert not logs.exists() and not stage.paths.pod(UID).exists()

    asyncio.run(scenario())


def test_a_deleted_pod_with_finalizers_keeps_its_logs_until_it_is_gone(tmp_path: Path) -> None:
    stage = Stage(tmp_path, pod(metadata={**deleted(), "finalizers": ["example.org/hold"]}))
    logs = stage.paths.pod_logs("default", "web", UID)
    logs.mkdir(parents=True)

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            gone = asyncio.Event()
            worker = Worker(
                tools, stage.pod, observed(containers={"app": exited()}), lambda _: gone.set()
            )
            tasks.start(worker.run(), name="worker")
            await stage.api.until(has_ended)
            assert await stage.api.deleted.get() == {"uid": UID, "grace_seconds": 0}
            assert logs.is_dir()
            worker.vanish()
            await gone.wait()
            assert not logs.exists() and not stage.paths.pod(UID).exists()
            assert stage.api.deleted.empty()

    asyncio.run(scenario())


def test_nothing_is_told_of_a_pod_that_the_api_has_no_more(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async def scenario() -> None:
        async with stage.open() as (tools, _):
            seen = observed(gone=True, containers={"app": exited()})
            await Worker(tools, stage.pod, seen, lambda _: None).run()
            assert stage.api.statuses.empty()
            assert stage.api.deleted.empty()

    asyncio.run(scenario())


def config_map() -> ConfigMap:
    metadata = {"name": "wanted", "namespace": "default", "resourceVersion": "2"}
    return msgspec.convert({"metadata": metadata, "data": {"key": "value"}}, ConfigMap)


@pytest.mark.parametrize("use", ["variable", "volume"])
def test_what_waits_for_a_config_map_goes_on_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    """Without waiting for the next try, which is far away."""
    monkeypatch.setattr(workers, "FIRST_RETRY_SECONDS", 1000.0)
    monkeypatch.setattr(workers, "LAST_RETRY_SECONDS", 1000.0)
    asked: dict[str, Any] = {"envFrom": [{"configMapRef": {"name": "wanted"}}]}
    spec: dict[str, Any] = {}
    if use == "volume":
        asked, spec = {}, {"volumes": [{"name": "v", "configMap": {"name": "wanted"}}]}
    stage = Stage(tmp_path, pod(spec=spec, command=["true"], **asked))
    stage.tells()
    stage.runs()
    stage.hosts()
    reason = "ContainerCreating" if use == "volume" else "CreateContainerConfigError"

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True)
            if use == "volume":
                seen = msgspec.structs.replace(seen, volumes_ready=False)
            await begin(stage, tools, tasks, seen)
            await stage.api.until(
                lambda told: state_of(told).get("waiting", {}).get("reason") == reason
            )
            await stage.events.until("not found")
            stage.api.changes.put_nowait(Change("ADDED", config_map(), 2))
            await stage.api.until(is_up)
            start = 'Warning FailedMount: MountVolume.SetUp failed for volume "v" : '
            if use == "variable":
                start = "Warning Failed: Error: "
            assert f'{start}configmap "wanted" not found' in stage.events.told

    asyncio.run(scenario())


def test_a_kill_that_fails_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "FIRST_RETRY_SECONDS", 0.0)
    stage = Stage(tmp_path, pod(metadata=deleted()))
    stage.tells(container("app.0", **RUNNING))
    answers = [{"result": {"exit": ended(143)}}, refuse("failed", "no")]
    stage.shim.verbs["wait"] = lambda _: answers.pop()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": running()})
            await begin(stage, tools, tasks, seen)
            status = await stage.api.until(has_ended)
            assert state_of(status)["terminated"]["exitCode"] == 143
            assert "Warning FailedKillPod: error killing pod: no" in stage.events.told

    asyncio.run(scenario())


def test_a_sandbox_that_fails_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "FIRST_RETRY_SECONDS", 0.0)
    stage = Stage(tmp_path)
    stage.makes_sandboxes()
    refusals, make = [refuse("failed", "no room")], stage.warm.verbs["sandbox"]
    stage.warm.verbs["sandbox"] = lambda request: refusals.pop() if refusals else make(request)

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            tasks.start(Worker(tools, stage.pod, observed(), lambda _: None).run(), name="worker")
            status = await stage.api.until(lambda told: "podIP" in told)
            assert status["podIP"] == "10.0.0.5"
            text = "Warning FailedCreatePodSandBox: Failed to create pod sandbox: no room"
            assert text in stage.events.told

    asyncio.run(scenario())


class Renewed:
    """Volumes of which a test says what comes of preparing them: when they are due, or an error."""

    def __init__(self, *answers: float | Exception) -> None:
        self.prepared: asyncio.Queue[int] = asyncio.Queue()
        self._answers = list(answers)

    def unmounted_images(self, _pod: Any) -> list[Any]:
        return []

    async def prepare(self, _pod: Any, _objects: Any, _changed: Any, layers: Any) -> Prepared:
        assert layers == {}
        answer = self._answers.pop(0)
        self.prepared.put_nowait(len(self._answers))
        if isinstance(answer, Exception):
            raise answer
        return Prepared(answer)


def test_volumes_are_prepared_again_when_they_are_due_and_after_that_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "FIRST_RETRY_SECONDS", 0.0)
    stage = Stage(tmp_path)
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            volumes = Renewed(1.0, BadConfiguration("no token"), 1.0, 0.0)
            changed = msgspec.structs.replace(tools, volumes=cast(Any, volumes))
            seen = observed(ready=True, containers={"app": running()})
            await begin(stage, changed, tasks, seen)
            assert [await volumes.prepared.get() for _ in range(4)] == [3, 2, 1, 0]
            for _ in range(20):
                await asyncio.sleep(0)
            assert volumes.prepared.empty()  # nothing of the last ones is ever due
            assert stage.events.told == ["Warning FailedMount: no token"]
            assert is_up(await stage.api.until(lambda _: True))

    asyncio.run(scenario())


def test_a_deleted_pod_that_runs_goes_step_by_step_until_its_object_is_gone(
    tmp_path: Path,
) -> None:
    spec = {"volumes": [{"name": "room", "emptyDir": {}}], "restartPolicy": "Never"}
    stage = Stage(tmp_path, pod(spec=spec, metadata=deleted()))
    stage.tells(container("app.0", **RUNNING))
    stage.shim.verbs["wait"] = lambda _: {"result": {"exit": ended(143)}}
    place = stage.paths.volume(UID, "room")
    place.mkdir(parents=True)
    released: list[str] = []

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            tools.objects.release = released.append  # type: ignore[method-assign]
            seen = observed(ready=True, containers={"app": running()})
            over = asyncio.Event()
            worker = await begin(stage, tools, tasks, seen, lambda _: over.set())
            stage.shim.verbs["pod"] = lambda _: refuse("lost")  # no process that could be awaited
            await stage.shim.until("kill", "app.0")
            await stage.shim.until("wait", "app.0")
            await stage.warm.until("clean")
            assert await stage.network.deleted.get() == UID
            assert await stage.api.deleted.get() == {"uid": UID, "grace_seconds": 0}
            await over.wait()
            assert (worker.seen.sandbox, worker.seen.volumes_ready) == (None, False)
            assert released == [UID]
            assert not place.exists()

    asyncio.run(scenario())


def test_the_image_of_a_container_known_from_an_agent_before_is_looked_for_again(
    tmp_path: Path,
) -> None:
    """Its layers are not on record, and it may have been removed meanwhile."""
    stage = Stage(tmp_path)
    stage.tells()
    stage.runs()
    stage.hosts()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            await begin(stage, tools, tasks, observed(ready=True, containers={"app": PULLED}))
            status = await stage.api.until(is_up)
            assert status["containerStatuses"][0]["restartCount"] == 0
            assert stage.events.told[0].startswith("Normal Pulled: ")

    asyncio.run(scenario())


def test_an_error_that_nobody_foresaw_is_told_as_the_containers_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "FIRST_RETRY_SECONDS", 0.2)
    stage = Stage(tmp_path)
    stage.tells()
    stage.runs()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            await begin(stage, tools, tasks, observed(ready=True))
            status = await stage.api.until(lambda told: "message" in state_of(told)["waiting"])
            waiting = state_of(status)["waiting"]
            assert waiting["reason"] == "CreateContainerError"
            assert "hostname" in waiting["message"]
            assert f"Warning FailedSync: {waiting['message']}" in stage.events.told
            stage.hosts()
            await stage.api.until(is_up)

    asyncio.run(scenario())


def test_what_the_api_answers_to_a_status_is_the_pod_from_then_on_unless_it_is_older(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, pod(metadata={"resourceVersion": "5"}))
    stage.tells(container("app.0", **RUNNING))
    newer = pod(metadata={"resourceVersion": "6"})

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            stage.api.pods = [newer]
            seen = observed(ready=True, containers={"app": running()})
            worker = await begin(stage, tools, tasks, seen)
            await stage.api.until(is_up)
            for _ in range(5):
                await asyncio.sleep(0)
            assert worker.pod is newer
            stage.api.pods = [stage.pod]
            worker.update("app", running(ready=False))
            await stage.api.until(lambda told: not told["containerStatuses"][0]["ready"])
            for _ in range(5):
                await asyncio.sleep(0)
            assert worker.pod is newer

    asyncio.run(scenario())


def test_each_failure_in_a_row_waits_twice_as_long_up_to_two_minutes(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async def scenario() -> None:
        async with stage.open() as (tools, _):
            worker = Worker(tools, stage.pod, observed(), lambda _: None)
            waits = [worker._count_failure("sandbox") for _ in range(20)]
            assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
            assert waits[7:] == [64.0, *[122.0] * 12]
            assert worker._count_failure("volumes") == 0.5  # each for itself

    asyncio.run(scenario())


def test_what_is_observed_is_on_disk_before_anybody_is_told_and_goes_with_the_pod(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": running()})
            worker = await begin(stage, tools, tasks, seen)
            await stage.api.until(is_up)
            worker.exited("app", 0, exit_of(code=3))
            (kept,) = record.load_all(stage.paths)
            assert kept == worker.seen
            run = kept.of("app").exited
            assert run is not None and run.exit_code == 3
            await worker._remove_files()
            worker.vanish()
            assert list(record.load_all(stage.paths)) == []

    asyncio.run(scenario())


def test_a_change_of_what_a_volume_shows_reaches_the_volume_at_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            far = tools.world.now() + 10_000
            volumes = Renewed(far, far)
            changed = msgspec.structs.replace(tools, volumes=cast(Any, volumes))
            seen = observed(ready=True, containers={"app": running()})
            worker = await begin(stage, changed, tasks, seen)
            assert await volumes.prepared.get() == 1
            await stage.api.until(is_up)
            worker.objects_changed()
            assert await volumes.prepared.get() == 0

    asyncio.run(scenario())


def test_a_pod_that_comes_up_is_told_when_it_is_up_and_not_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "SETTLE_SECONDS", 1000.0)
    stage = Stage(tmp_path)
    stage.makes_sandboxes()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            tasks.start(Worker(tools, stage.pod, observed(), lambda _: None).run(), name="worker")
            assert is_up(await stage.api.statuses.get())

    asyncio.run(scenario())


def test_what_stands_in_the_way_of_a_pod_is_told_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "SETTLE_SECONDS", 1000.0)
    stage = Stage(tmp_path, pod(image="127.0.0.1:1/nothing", imagePullPolicy="Never"))
    stage.tells()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            await begin(stage, tools, tasks, observed(ready=True))
            status = await stage.api.statuses.get()
            assert state_of(status)["waiting"]["reason"] == "ErrImageNeverPull"

    asyncio.run(scenario())


def test_a_container_that_its_probe_finds_dead_is_ended(tmp_path: Path) -> None:
    probe = {"tcpSocket": {"host": "127.0.0.1", "port": 1}, "failureThreshold": 1}
    stage = Stage(tmp_path, pod(livenessProbe=probe))
    stage.tells(container("app.0", **RUNNING))
    stage.shim.verbs["wait"] = lambda _: {}  # it stays open

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": running()})
            await begin(stage, tools, tasks, seen)
            await stage.shim.until("kill", "app.0")
            refused = "dial tcp 127.0.0.1:1: connect: connection refused"
            assert stage.events.told == [
                f"Warning Unhealthy: Liveness probe failed: {refused}",
                "Normal Killing: Container app failed liveness probe, will be restarted",
            ]

    asyncio.run(scenario())


def test_what_has_failed_is_not_tried_again_before_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "FIRST_RETRY_SECONDS", 100.0)
    stage = Stage(tmp_path, pod(metadata=deleted()))
    stage.tells(container("app.0", **RUNNING))
    stage.shim.verbs["wait"] = lambda _: refuse("failed", "no")
    stage.shim.verbs["state"] = lambda _: {"result": container("other")}

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": running()})
            worker = await begin(stage, tools, tasks, seen)
            await stage.events.until("FailedKillPod")
            worker.hear(stage.pod)
            for _ in range(3):  # what was asked before is answered before these
                await stage.engine.state(UID, "other")
            assert sum("FailedKillPod" in it for it in stage.events.told) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("reason", "stays"),
    [("CreateContainerError", True), ("CreateContainerConfigError", True), ("ErrImagePull", False)],
)
def test_an_image_that_is_here_ends_the_trouble_of_its_pull_and_no_other(
    tmp_path: Path, reason: str, stays: bool
) -> None:
    stage = Stage(tmp_path)
    trouble = Trouble(reason, "no", 0.0)

    async def scenario() -> None:
        async with stage.open() as (tools, _):
            seen = observed(containers={"app": Seen(trouble=trouble, pull_backoff=40.0)})
            worker = Worker(tools, stage.pod, seen, lambda _: None)
            await worker._pull("app")
            known = worker.seen.of("app")
            assert (known.pulled, known.pull_backoff) == (True, 0.0)
            assert known.trouble == (trouble if stays else None)

    asyncio.run(scenario())
