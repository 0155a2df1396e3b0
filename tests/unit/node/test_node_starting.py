"""How a container begins and begins again: its image, its making, its first hook, its back-off."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest
from node_documents import UID, deleted, observed, pod, running
from shim_script import RUNNING, Stage, begin, container, ended, has_ended, is_up, refuse, state_of

from steersman.node import worker as workers
from steersman.node.acting import pulling
from steersman.node.observed import UNKNOWN
from steersman.runtime.engine import ExitStatus


def test_a_container_that_ends_again_and_again_is_restarted_at_once_and_then_waits(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, pod(command=["false"]))
    stage.tells()
    stage.runs()
    stage.hosts()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            worker = await begin(stage, tools, tasks, observed(ready=True))
            now = round(tools.world.now() * workers.NANO)
            end = ExitStatus(**{**ended(3), "finished_at": now})
            await stage.api.until(is_up)
            worker.exited("app", 0, end)
            status = await stage.api.until(
                lambda told: told["containerStatuses"][0]["restartCount"] == 1
            )
            told = status["containerStatuses"][0]
            assert told["lastState"]["terminated"]["exitCode"] == 3
            assert (told["image"], told["imageID"] != "") == ("busybox:1", True)
            assert not any("BackOff" in it for it in stage.events.told)
            worker.exited("app", 1, end)
            status = await stage.api.until(lambda told: "waiting" in state_of(told))
            assert state_of(status)["waiting"]["reason"] == "CrashLoopBackOff"
            assert status["containerStatuses"][0]["restartCount"] == 1
            text = f"Back-off restarting failed container app in pod web_default({UID})"
            assert stage.events.told[-1] == f"Warning BackOff: {text}"

    asyncio.run(scenario())


def test_no_back_off_is_told_of_a_pod_that_is_being_deleted(tmp_path: Path) -> None:
    stage = Stage(tmp_path, pod(metadata=deleted()))
    stage.tells(container("app.1", **RUNNING))
    stage.shim.verbs["wait"] = lambda _: {}  # it stays open

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            now = tools.world.now()
            known = running(1, backoff=10.0, backoff_at=now)
            worker = await begin(
                stage, tools, tasks, observed(ready=True, containers={"app": known})
            )
            await stage.shim.until("wait", "app.1")
            finished = round(now * workers.NANO)
            worker.exited("app", 1, ExitStatus(**{**ended(3), "finished_at": finished}))
            await stage.api.until(has_ended)
            assert stage.events.told == ["Normal Killing: Stopping container app"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("probe", "started", "ready"), [("startupProbe", False, False), ("readinessProbe", True, False)]
)
def test_what_a_probe_has_not_yet_seen_does_not_hold_when_a_container_begins(
    tmp_path: Path, probe: str, started: bool, ready: bool
) -> None:
    late = {"tcpSocket": {"port": 9}, "initialDelaySeconds": 1000}
    stage = Stage(tmp_path, pod(command=["true"], **{probe: late}))
    stage.tells()
    stage.runs()
    stage.hosts()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            await begin(stage, tools, tasks, observed(ready=True))
            status = await stage.api.until(is_up)
            told = status["containerStatuses"][0]
            assert (told["started"], told["ready"]) == (started, ready)

    asyncio.run(scenario())


def test_a_start_is_told_step_by_step(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tells()
    stage.runs()
    stage.hosts()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            await begin(stage, tools, tasks, observed(ready=True))
            await stage.api.until(is_up)
            here = 'Container image "busybox:1" already present on machine'
            assert stage.events.told == [
                f"Normal Pulled: {here} and can be accessed by the pod",
                "Normal Created: Container created",
                "Normal Started: Container started",
            ]
            assert stage.paths.termination_log(UID, "app", 0).stat().st_mode & 0o777 == 0o666

    asyncio.run(scenario())


def test_a_program_that_cannot_be_executed_counts_as_a_run_that_failed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tells()
    stage.runs()
    stage.hosts()
    stage.shim.verbs["start"] = lambda _: refuse("failed", "no such file")

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            await begin(stage, tools, tasks, observed(ready=True))
            status = await stage.api.until(has_ended)
            terminated = state_of(status)["terminated"]
            assert (status["phase"], terminated["exitCode"]) == ("Failed", 128)
            assert terminated["reason"] == "StartError"
            assert terminated["message"].endswith("no such file")
            assert stage.events.told[-1] == f"Warning Failed: Error: {terminated['message']}"
            await stage.shim.until("delete", "app.0")

    asyncio.run(scenario())


def test_a_container_whose_first_hook_fails_is_killed_and_says_so(tmp_path: Path) -> None:
    hook = {"postStart": {"httpGet": {"port": 1, "host": "127.0.0.1"}}}
    stage = Stage(tmp_path, pod(command=["true"], lifecycle=hook))
    stage.tells()
    stage.runs()
    stage.hosts()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            await begin(stage, tools, tasks, observed(ready=True))
            await stage.shim.until("kill", "app.0")
            await stage.api.until(is_up)
            assert stage.events.told[-2:] == [
                "Warning FailedPostStartHook: PostStartHook failed",
                "Normal Killing: FailedPostStartHook",
            ]

    asyncio.run(scenario())


def test_a_container_that_is_lost_while_its_first_hook_runs_does_not_run_on_for_ever(
    tmp_path: Path,
) -> None:
    asked, answers = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asked.set()
        await answers.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        hook = {"postStart": {"httpGet": {"port": port, "host": "127.0.0.1"}}}
        given = pod(spec={"restartPolicy": "Never"}, command=["true"], lifecycle=hook)
        stage = Stage(tmp_path, given)
        stage.tells()
        stage.runs()
        stage.hosts()
        async with server, stage.open() as (tools, tasks):
            worker = await begin(stage, tools, tasks, observed(ready=True))
            await asked.wait()
            worker.lost()
            answers.set()
            status = await stage.api.until(has_ended)
            assert state_of(status)["terminated"]["reason"] == UNKNOWN

    asyncio.run(scenario())


def test_a_container_that_cannot_be_made_says_why_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "FIRST_RETRY_SECONDS", 0.2)
    stage = Stage(tmp_path)
    stage.tells()
    stage.runs()
    stage.hosts()
    create, refusals = stage.shim.verbs["create"], [refuse("failed", "no loop device")]
    stage.shim.verbs["create"] = lambda request: refusals.pop() if refusals else create(request)

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            await begin(stage, tools, tasks, observed(ready=True))
            status = await stage.api.until(lambda told: "message" in state_of(told)["waiting"])
            waiting = {"reason": "CreateContainerError", "message": "no loop device"}
            assert state_of(status)["waiting"] == waiting
            status = await stage.api.until(is_up)
            assert status["containerStatuses"][0]["restartCount"] == 0
            assert "Warning Failed: Error: no loop device" in stage.events.told

    asyncio.run(scenario())


def test_an_image_that_cannot_be_had_is_told_twice_and_then_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "LOOK_SECONDS", 0.2)
    stage = Stage(tmp_path, pod(image="127.0.0.1:1/nothing"))
    stage.tells()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            worker = await begin(stage, tools, tasks, observed(ready=True))
            for reason in ("ErrImagePull", "ImagePullBackOff"):
                await stage.api.until(
                    lambda told, reason=reason: state_of(told)["waiting"]["reason"] == reason
                )
            known = worker.seen.of("app")
            assert known.pull_backoff == pulling.FIRST_BACKOFF_SECONDS
            assert stage.events.told[-2:] == [
                'Normal BackOff: Back-off pulling image "127.0.0.1:1/nothing"',
                "Warning Failed: Error: ImagePullBackOff",
            ]

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["not-found", "lost"])
def test_a_run_that_the_runtime_has_lost_ends_a_deleted_pod_all_the_same(
    tmp_path: Path, kind: str
) -> None:
    stage = Stage(tmp_path, pod(metadata=deleted()))
    stage.tells(container("app.0", **RUNNING))
    stage.shim.verbs["wait"] = lambda _: refuse(kind)

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": running()})
            await begin(stage, tools, tasks, seen)
            status = await stage.api.until(has_ended)
            assert state_of(status)["terminated"]["reason"] == UNKNOWN
            await stage.shim.until("remove")

    asyncio.run(scenario())


def test_a_container_is_among_the_processes_only_of_a_target_that_runs(tmp_path: Path) -> None:
    debug = {"name": "debug", "image": "busybox:1", "command": ["sh"]}
    debug["targetContainerName"] = "app"
    spec = {"ephemeralContainers": [debug], "restartPolicy": "Never"}
    stage = Stage(tmp_path, pod(spec=spec))
    stage.tells(container("app.0", **RUNNING))
    stage.runs()
    stage.hosts()
    shared: list[list[str]] = []
    create = stage.shim.verbs["create"]

    def note(request: dict[str, Any]) -> dict[str, Any]:
        spaces = request["bundle"]["linux"]["namespaces"]
        shared.append([it["path"] for it in spaces if it["type"] == "pid"])
        return create(request)

    stage.shim.verbs["create"] = note
    stage.shim.verbs["state"] = lambda _: {"result": container("app.0", **RUNNING)}

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": running()})
            await begin(stage, tools, tasks, seen)
            await stage.api.until(
                lambda told: "running" in told["ephemeralContainerStatuses"][0]["state"]
            )
            assert shared == [["/proc/9/ns/pid"]]

    asyncio.run(scenario())


def test_a_container_is_not_put_among_the_processes_of_one_that_does_not_run(
    tmp_path: Path,
) -> None:
    debug = {"name": "debug", "image": "busybox:1", "command": ["sh"], "targetContainerName": "app"}
    stage = Stage(tmp_path, pod(spec={"ephemeralContainers": [debug]}, image="127.0.0.1:1/no"))
    stage.tells()
    stage.runs()
    stage.hosts()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            await begin(stage, tools, tasks, observed(ready=True))
            await stage.events.until("Error: target container app does not run")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("lifecycle", "signal"), [({"stopSignal": "SIGUSR1"}, "SIGUSR1"), ({}, ""), (None, "")]
)
def test_a_run_is_ended_with_the_signal_that_its_container_wants(
    tmp_path: Path, lifecycle: dict[str, Any] | None, signal: str
) -> None:
    given = {} if lifecycle is None else {"lifecycle": lifecycle}
    stage = Stage(tmp_path, pod(command=["true"], **given))
    stage.tells()
    stage.runs()
    stage.hosts()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            worker = await begin(stage, tools, tasks, observed(ready=True))
            await stage.api.until(is_up)
            run = worker.seen.of("app").run
            assert run is not None and run.stop_signal == signal

    asyncio.run(scenario())


def test_the_directory_that_a_subpath_names_is_made_in_the_volume_and_kept(tmp_path: Path) -> None:
    room = {"volumes": [{"name": "room", "emptyDir": {}}]}
    mounts = [
        {"name": "room", "mountPath": "/x", "subPath": "deep/new"},
        {"name": "room", "mountPath": "/y", "subPath": "file"},
    ]
    stage = Stage(tmp_path, pod(spec=room, command=["true"], volumeMounts=mounts))
    stage.tells()
    stage.runs()
    stage.hosts()
    place = stage.paths.volume(UID, "room")
    place.mkdir(parents=True)
    (place / "file").write_text("kept")

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            await begin(stage, tools, tasks, observed(ready=True))
            await stage.api.until(is_up)
            # Who may write to the volume may write there, whoever they are
            assert stat.S_IMODE((place / "deep" / "new").stat().st_mode) == 0o777
            assert (place / "file").read_text() == "kept"

    asyncio.run(scenario())


def test_a_subpath_through_a_file_is_refused_by_name(tmp_path: Path) -> None:
    room = {"volumes": [{"name": "room", "emptyDir": {}}]}
    mounts = [{"name": "room", "mountPath": "/x", "subPath": "file/below"}]
    stage = Stage(tmp_path, pod(spec=room, command=["true"], volumeMounts=mounts))
    stage.tells()
    stage.hosts()
    place = stage.paths.volume(UID, "room")
    place.mkdir(parents=True)
    (place / "file").touch()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            await begin(stage, tools, tasks, observed(ready=True))
            text = 'Error: failed to prepare subPath for volumeMount "room" of container "app"'
            await stage.events.until(text)
            status = await stage.api.until(lambda told: "message" in state_of(told)["waiting"])
            assert state_of(status)["waiting"]["reason"] == "CreateContainerConfigError"

    asyncio.run(scenario())
