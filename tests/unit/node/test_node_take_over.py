"""The agent takes over what one before it left, and clears away what a dead shim leaves."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from node_documents import UID, deleted, exited, observed, pod, running
from shim_script import RUNNING, Answer, Stage, container, ended, refuse

from registrar import holds
from steersman.client.interface import Change
from steersman.client.view import FollowedView
from steersman.model.kinds.pod import POD, Pod
from steersman.model.types.container import ContainerPort, TCPSocketAction
from steersman.node import agent as agents
from steersman.node import record
from steersman.node.acting import handlers
from steersman.node.agent import Agent
from steersman.node.claims.interface import CannotPrepare, NoClaims
from steersman.node.csi.layout import Layout, Record
from steersman.node.observed import Sandbox
from steersman.node.paths import RECORD
from steersman.node.tools import Tools
from steersman.world.interface import Tasks


def begin(stage: Stage, tools: Tools, tasks: Tasks) -> Agent:
    """Starts an agent on a stage."""
    pods = FollowedView(stage.api, POD, tools.world)
    made = Agent(tools, pods, tasks)
    tasks.start(pods.follow(), name="pods")
    tasks.start(made.run(), name="agent")
    return made


def beside(stage: Stage, other: Pod) -> None:
    """Leaves the stage's pod as it runs, and before it another, of which what is there cannot be
    removed."""
    stage.api.pods = [other, stage.pod]
    (stage.paths.runtime / "pods" / other.metadata.uid).mkdir(parents=True)
    stage.warm.verbs["clean"] = lambda _: refuse("failed", "Device or resource busy")
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))


def phase(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: status["phase"] == name


def test_what_was_begun_and_never_noted_is_removed_before_anything_begins(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.left(observed(ready=True))
    stage.hosts()
    stage.tells(container("app.0", **{**RUNNING, "exit": ended()}))
    stage.runs(started_at=70)
    order: list[str] = []
    for verb in ("delete", "create"):
        answer = stage.shim.verbs.get(verb, lambda _: {"result": {}})

        def note(request: Answer, verb: str = verb, answer: Any = answer) -> Answer:
            order.append(verb)
            told: Answer = answer(request)
            return told

        stage.shim.verbs[verb] = note

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            assert order == ["delete", "create"]

    asyncio.run(scenario())


def test_a_pod_that_went_during_the_take_over_is_ended(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING), container("stray.0", **RUNNING))

    def delete(request: Answer) -> Answer:
        stage.api.changes.put_nowait(Change("DELETED", stage.pod, 2))
        return {}  # answered by the test, when the view has heard

    stage.shim.verbs["delete"] = delete

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            agent = begin(stage, tools, tasks)
            await stage.shim.until("delete", "stray.0")
            await agent._pods.reached(2)
            stage.shim.answer("delete", {"result": {}})
            await stage.shim.until("kill", "app.0")

    asyncio.run(scenario())


def test_a_lost_pod_is_cleared_until_it_is_gone_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "CLEAR_RETRY_SECONDS", 0.0)
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))
    refusals = [refuse("failed", "Device or resource busy")]
    stage.warm.verbs["clean"] = lambda _: refusals.pop() if refusals else {"result": {}}

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            prepare, prepared = tools.engine.prepare, []

            async def note() -> None:
                prepared.append(stage.shim)
                await prepare()

            tools.engine.prepare = note  # type: ignore[method-assign]
            begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            stage.shim.die()
            status = await stage.api.until(phase("Failed"))
            ended = status["containerStatuses"][0]["state"]["terminated"]
            assert ended["reason"] == "ContainerStatusUnknown"
            assert await stage.network.deleted.get() == UID
            assert refusals == []
            # The warm parent that clears away may have been killed too, each time
            assert len(prepared) == 3

    asyncio.run(scenario())


def test_what_cannot_be_removed_of_pods_that_are_gone_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "CLEAR_RETRY_SECONDS", 0.0)
    stage = Stage(tmp_path)
    (stage.paths.runtime / "pods" / "gone").mkdir(parents=True)
    stage.warm.verbs["clean"] = lambda _: refuse("failed", "Device or resource busy")
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            for _ in range(2):  # it is tried again
                await stage.warm.until("clean")
            stage.warm.verbs["clean"] = lambda _: {"result": {}}
            assert await stage.network.deleted.get() == "gone"

    asyncio.run(scenario())


def test_a_volume_of_a_pod_that_is_gone_waits_for_its_driver_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "CLEAR_RETRY_SECONDS", 0.0)
    stage = Stage(tmp_path)
    (stage.paths.runtime / "pods" / "gone").mkdir(parents=True)
    noted = Record("csi.test.example", "h", spec_vol_id="pv")
    Layout(stage.paths.root).save("gone", "pv", noted)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            for _ in range(2):  # it is tried again
                assert await stage.network.deleted.get() == "gone"

    asyncio.run(scenario())


def test_a_probe_of_a_host_that_is_no_name_fails_and_harms_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    host = "a" * 64

    async def scenario() -> None:
        async with stage.open() as (tools, _):
            app, action = stage.pod.spec.containers[0], TCPSocketAction(port=80, host=host)
            answer = await handlers.open_tcp(tools, app, action, "10.0.0.5", 1.0)
            assert answer == handlers.Answer(False, f"dial tcp: lookup {host}: no such host")

    asyncio.run(scenario())


def test_a_container_is_found_by_name_only_while_it_runs(tmp_path: Path) -> None:
    two = [{"name": "a", "image": "busybox:1"}, {"name": "b", "image": "busybox:1"}]
    stage = Stage(tmp_path, pod(spec={"containers": two, "restartPolicy": "Never"}))
    stage.left(observed(ready=True, containers={"a": running(2), "b": exited(0)}))
    stage.tells(container("a.2", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            agent = begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            assert agent.find("default", "web") == (UID, "a.2")
            assert agent.find("default", "web", "a") == (UID, "a.2")
            assert agent.find("default", "web", "b") is None
            assert agent.find("default", "other") is None
            assert agent.find("other", "web") is None

    asyncio.run(scenario())


def test_the_end_of_a_container_comes_from_its_shim_and_only_to_its_pod(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            end = {"kind": "exit", "container": "app.0", "exit": ended(4)}
            stage.shim.tell({**end, "pod": "stranger"})
            stage.shim.tell({**end, "exit": ended(5)})
            status = await stage.api.until(phase("Failed"))
            state = status["containerStatuses"][0]["state"]["terminated"]
            assert state["exitCode"] == 5

    asyncio.run(scenario())


def test_ends_that_were_missed_are_found_by_looking_at_all_pods(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            stage.tells(container("app.0", status="stopped", exit=ended(6)))
            stage.shim.tell({"kind": "overflow", "container": ""})
            status = await stage.api.until(phase("Failed"))
            assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 6

    asyncio.run(scenario())


class NoDriver(NoClaims):
    """Claims whose driver has not come yet."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def unprepare(self, uid: str) -> None:
        self.asked.append(uid)
        if len(self.asked) == 1:
            raise CannotPrepare("DRA driver gpu.example.com is not registered")
        if len(self.asked) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")


def test_claims_of_a_pod_that_went_unseen_are_taken_back_once_their_driver_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drivers register after the agent has begun: none is there when it finds what was left."""
    monkeypatch.setattr(agents, "CLEAR_RETRY_SECONDS", 0.0)
    stage, claims = Stage(tmp_path), NoDriver()
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))
    gone = msgspec.structs.replace(observed(), uid="gone", name="gone")
    record.save(stage.paths, gone)

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            over = asyncio.Event()
            agent = begin(stage, msgspec.structs.replace(tools, claims=claims), tasks)
            agent.on_over(lambda: over.set() if agent.complete and not agent._removing else None)
            await over.wait()
            assert claims.asked == ["gone"] * 3
            assert not stage.paths.pod("gone").exists()

    asyncio.run(scenario())


def test_a_run_that_was_never_noted_and_cannot_be_removed_keeps_no_agent_from_beginning(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING), container("stray.0", **RUNNING))
    stage.shim.verbs["delete"] = lambda _: refuse("failed", "Device or resource busy")

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))

    asyncio.run(scenario())


def test_what_cannot_be_removed_at_once_of_a_lost_pod_keeps_no_agent_from_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "CLEAR_RETRY_SECONDS", 0.0)
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    refusals = [refuse("failed", "Device or resource busy")]
    stage.warm.verbs["clean"] = lambda _: refusals.pop() if refusals else {"result": {}}

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            stage.shim.die()  # as when the machine has begun anew
            begin(stage, tools, tasks)
            status = await stage.api.until(phase("Failed"))
            ended = status["containerStatuses"][0]["state"]["terminated"]
            assert ended["reason"] == "ContainerStatusUnknown"
            assert refusals == []

    asyncio.run(scenario())


def test_what_cannot_be_removed_of_a_lost_pod_holds_up_none_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "CLEAR_RETRY_SECONDS", 0.01)
    stage = Stage(tmp_path)
    lost = pod(metadata={"uid": "a-lost", "name": "lost"}, spec={"restartPolicy": "Never"})
    beside(stage, lost)
    record.save(stage.paths, msgspec.structs.replace(observed(), uid="a-lost"))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            agent = begin(stage, tools, tasks)
            await agent._complete.wait()
            # Nothing begins on what is still there
            assert agent.workers["a-lost"].seen.sandbox is not None
            await stage.api.until(phase("Running"))
            stage.shim.tell({"kind": "exit", "container": "app.0", "exit": ended(5)})
            await stage.api.until(phase("Failed"))
            stage.warm.verbs["clean"] = lambda _: {"result": {}}
            await holds(lambda: agent.workers["a-lost"].seen.sandbox is None)

    asyncio.run(scenario())


def test_what_no_record_knows_of_a_pod_goes_before_it_begins_and_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "CLEAR_RETRY_SECONDS", 0.01)
    stage = Stage(tmp_path)
    bare = pod(metadata={"uid": "a-bare", "name": "bare"})
    beside(stage, bare)
    stage.warm.verbs["sandbox"] = lambda _: refuse("failed", "no more of it is needed")

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            agent = begin(stage, tools, tasks)
            await agent._complete.wait()
            await stage.api.until(phase("Running"))
            stage.api.changes.put_nowait(Change("MODIFIED", bare, 2))
            await agent._pods.reached(2)
            assert [*agent.workers] == [UID]
            stage.warm.verbs["clean"] = lambda _: {"result": {}}
            await holds(lambda: "a-bare" in agent.workers)

    asyncio.run(scenario())


def test_a_pod_is_noted_before_anything_of_it_begins(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            agent = Agent(tools, FollowedView(stage.api, POD, tools.world), tasks)
            agent._adopt(stage.pod, agent._begin(stage.pod))
            (seen,) = record.load_all(stage.paths)
            assert (seen.uid, seen.unplaced) == (UID, True)

    asyncio.run(scenario())


def test_an_agent_on_a_full_disk_goes_on_with_pods_that_run(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            agent = Agent(tools, FollowedView(stage.api, POD, tools.world), tasks)
            tasks.start(agent._pods.follow(), name="pods")
            load = record.load_all

            def full(paths: Any) -> Any:
                found = list(load(paths))
                place = stage.paths.pod(UID) / RECORD
                place.unlink()
                place.mkdir()  # from now on nothing can be put in its place
                return found

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(record, "load_all", full)
                tasks.start(agent.run(), name="agent")
                await stage.api.until(phase("Running"))
            stage.shim.tell({"kind": "exit", "container": "app.0", "exit": ended(5)})
            await stage.api.until(phase("Failed"))

    asyncio.run(scenario())


def test_all_pods_are_looked_at_again_until_they_could_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "CLEAR_RETRY_SECONDS", 0.0)
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            stage.tells(container("app.0", status="stopped", exit=ended(6)))
            told, refusals = stage.shim.verbs["pod"], [refuse("unavailable")]
            stage.shim.verbs["pod"] = lambda it: refusals.pop() if refusals else told(it)
            stage.shim.tell({"kind": "overflow", "container": ""})
            await stage.api.until(phase("Failed"))
            assert refusals == []

    asyncio.run(scenario())


def test_a_pod_that_is_lost_while_all_are_looked_at_is_lost_and_no_more(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))
    stage.warm.verbs["clean"] = lambda _: {"result": {}}

    def die(_: Answer) -> Answer:
        stage.shim.die()
        return {}

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            stage.shim.verbs["pod"] = die
            stage.shim.tell({"kind": "overflow", "container": ""})
            status = await stage.api.until(phase("Failed"))
            ended = status["containerStatuses"][0]["state"]["terminated"]
            assert ended["reason"] == "ContainerStatusUnknown"

    asyncio.run(scenario())


def test_a_pod_with_the_name_of_one_that_is_gone_is_another_pod(tmp_path: Path) -> None:
    """A StatefulSet makes them, and both changes may come as one."""
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))
    other = pod(
        metadata={"uid": "another", "resourceVersion": "2"}, spec={"restartPolicy": "Never"}
    )

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            agent = begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            stage.api.changes.put_nowait(Change("MODIFIED", other, 2))
            await stage.shim.until("kill", "app.0")
            assert agent.workers[UID].seen.gone
            assert not agent.workers["another"].seen.gone

    asyncio.run(scenario())


def test_a_pod_that_has_ended_before_the_agent_knew_it_is_left_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path, pod(status={"phase": "Succeeded"}, metadata={"uid": "over"}))
    stage.tells()
    came = pod(metadata={"name": "new", "uid": "new", "resourceVersion": "2"})

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            agent = begin(stage, tools, tasks)
            stage.api.changes.put_nowait(Change("ADDED", came, 2))
            await stage.warm.until("sandbox")
            assert set(agent.workers) == {"new"}

    asyncio.run(scenario())


def test_what_is_left_of_pods_that_the_api_has_no_more_is_removed_from_the_disk(
    tmp_path: Path,
) -> None:
    """But for pods that are there, whose logs and records stay."""
    stage = Stage(tmp_path)
    gone = msgspec.structs.replace(observed(), uid="gone", name="old")
    stage.left(gone)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))
    logs = [stage.paths.pod_logs("default", *it) for it in (("old", "gone"), ("web", UID))]
    for directory in logs:
        directory.mkdir(parents=True)

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            assert await stage.network.deleted.get() == "gone"
            await stage.api.until(phase("Running"))
            while stage.paths.pod("gone").exists():
                await tools.world.sleep(0.01)
            assert [it.exists() for it in logs] == [False, True]
            assert stage.paths.pod(UID).exists()

    asyncio.run(scenario())


def test_a_pod_whose_shim_died_while_nobody_looked_begins_anew_without_its_address(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    restored: list[str] = []
    stage.network.restore = lambda pod, *_: restored.append(pod)  # type: ignore[method-assign]

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            stage.shim.die()
            agent = begin(stage, tools, tasks)
            assert await stage.network.deleted.get() == UID
            status = await stage.api.until(phase("Failed"))
            state = status["containerStatuses"][0]["state"]["terminated"]
            assert state["reason"] == "ContainerStatusUnknown"
            assert agent.workers[UID].seen.sandbox is None
            assert restored == []

    asyncio.run(scenario())


def test_a_pod_that_is_taken_over_keeps_its_address_and_a_run_that_is_unknown_has_ended(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    ports = (ContainerPort(container_port=80, host_port=8080),)
    sandbox = Sandbox(7, "/shm", ("10.0.0.5",), ports=ports)
    stage.left(observed(sandbox=sandbox, volumes_ready=True, containers={"app": running()}))
    stage.tells()
    restored: list[tuple[str, Any]] = []
    stage.network.restore = lambda *it: restored.append(it)  # type: ignore[method-assign]

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            status = await stage.api.until(phase("Failed"))
            state = status["containerStatuses"][0]["state"]["terminated"]
            assert state["reason"] == "ContainerStatusUnknown"
            assert restored == [(UID, ("10.0.0.5",), ports)]

    asyncio.run(scenario())


def test_a_pod_begins_when_it_says_that_it_did_or_else_now(tmp_path: Path) -> None:
    """A deadline counts from there, whoever runs the pod."""
    told = pod(status={"startTime": "2026-01-01T00:00:00Z"}, metadata={"uid": "told"})
    stage = Stage(tmp_path, told)
    stage.tells()
    stage.api.pods.append(pod(metadata={"name": "new", "uid": "new"}))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            agent = begin(stage, tools, tasks)
            before = tools.world.now()
            for _ in range(2):
                await stage.warm.until("sandbox")
            assert {it.uid for it in record.load_all(stage.paths)} >= {"told", "new"}
            assert agent.workers["told"].seen.began_at == 1767225600.0
            assert before <= agent.workers["new"].seen.began_at <= tools.world.now()

    asyncio.run(scenario())


def test_a_run_that_ended_while_there_was_no_agent_has_ended_as_its_shim_says(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", status="stopped", exit=ended(7)))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            status = await stage.api.until(phase("Failed"))
            assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7

    asyncio.run(scenario())


def test_what_a_dead_shim_left_is_removed_before_its_pod_begins_anew(tmp_path: Path) -> None:
    stage = Stage(tmp_path, pod(command=["true"]))
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))
    order: list[str] = []

    def note(verb: str) -> Callable[[Answer], Answer]:
        def answer(_request: Answer) -> Answer:
            order.append(verb)
            return {"result": {}} if verb == "clean" else refuse("failed", "enough")

        return answer

    for verb in ("clean", "sandbox"):
        stage.warm.verbs[verb] = note(verb)

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            stage.shim.die()
            await stage.events.until("enough")
            assert order[:2] == ["clean", "sandbox"]

    asyncio.run(scenario())


def test_a_change_of_a_pod_reaches_its_worker_and_a_deletion_ends_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))
    labelled = pod(metadata={"resourceVersion": "2", "labels": {"new": "yes"}})
    going = pod(metadata={"resourceVersion": "3", **deleted()})

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            agent = begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            stage.api.changes.put_nowait(Change("MODIFIED", labelled, 2))
            await agent._pods.reached(2)
            worker = agent.workers[UID]
            assert worker.pod is labelled
            assert not worker.seen.gone
            stage.api.changes.put_nowait(Change("MODIFIED", going, 3))
            await stage.shim.until("kill", "app.0")
            assert not worker.seen.gone

    asyncio.run(scenario())


def test_a_pod_that_has_ended_and_is_being_deleted_is_brought_to_its_end(tmp_path: Path) -> None:
    """Nobody else removes the object."""
    over = pod(status={"phase": "Succeeded"}, metadata={"uid": "over", **deleted()})
    stage = Stage(tmp_path, over)
    stage.tells()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            assert await stage.api.deleted.get() == {"uid": "over", "grace_seconds": 0}

    asyncio.run(scenario())
