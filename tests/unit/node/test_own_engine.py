"""Our own engine behind the agent's interface: how a run is ended, among whose processes one is
put, what devices make of a document; and when what a pod has is taken back."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from node_documents import UID, deleted, exited, observed, pod, running
from shim_script import RUNNING, Answer, Stage, begin, container, ended, has_ended, is_up, refuse

from registrar import holds
from steersman.client.interface import Change
from steersman.client.view import FollowedView
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.priorityclass import SYSTEM_CRITICAL
from steersman.model.types.container import Container
from steersman.node import warm
from steersman.node.agent import Agent
from steersman.node.cdi import injecting
from steersman.node.claims.interface import CannotPrepare, NoClaims
from steersman.node.devices.injection import Injection
from steersman.node.engine.own import OwnEngine, _inject
from steersman.node.paths import RECORD
from steersman.node.record import load_all
from steersman.node.render.downward import Machine
from steersman.node.topology.providing import Hint
from steersman.runtime.engine import EngineError


def asked(stage: Stage, verb: str) -> list[Answer]:
    """Notes what the shim is asked by a verb, and has it answered as before."""
    found: list[Answer] = []
    answer = stage.shim.verbs.get(verb, lambda _: {"result": {}})

    def note(request: Answer) -> Answer:
        found.append(request)
        return answer(request)

    stage.shim.verbs[verb] = note
    return found


def test_a_run_that_does_not_end_in_its_time_is_killed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tells(container("app.0", **RUNNING))
    waits = [refuse("unavailable"), {"result": {"exit": ended(137)}}]
    stage.shim.verbs["wait"] = lambda _: waits.pop(0)
    kills = asked(stage, "kill")

    async def scenario() -> None:
        async with stage.open() as (tools, _):
            await tools.engine.connect()
            exit = await tools.engine.stop(UID, "app.0", signal.SIGTERM, 0.0)
            assert exit.code == 137
            assert [it["signal"] for it in kills] == [signal.SIGTERM, signal.SIGKILL]

    asyncio.run(scenario())


def test_a_container_is_not_put_among_the_processes_of_one_that_has_ended(tmp_path: Path) -> None:
    debug = {"name": "debug", "image": "busybox:1", "command": ["sh"], "targetContainerName": "app"}
    spec = {"ephemeralContainers": [debug], "restartPolicy": "OnFailure"}
    other = {"name": "other", "image": "busybox:1", "command": ["sh"]}
    one = {"name": "app", "image": "busybox:1", "command": ["sh"]}
    stage = Stage(tmp_path, pod(spec={**spec, "containers": [one, other]}))
    stage.tells(container("other.0", **RUNNING))
    stage.runs()
    stage.hosts()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": exited(0), "other": running()})
            await begin(stage, tools, tasks, seen)
            await stage.events.until("Error: target container app does not run")

    asyncio.run(scenario())


def test_devices_are_put_into_the_document_as_their_vendor_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(injecting, "FOLDERS", (tmp_path,))
    device = {"name": "0", "containerEdits": {"env": ["CARD=zero"]}}
    vendor = {"cdiVersion": "1.0.0", "kind": "vendor.com/gpu", "devices": [device]}
    (tmp_path / "vendor.json").write_text(json.dumps(vendor))
    (container,) = pod().spec.containers

    def made(*names: str) -> Any:
        user, spaces = {"uid": 0, "gid": 0}, [{"type": "mount"}]
        document = {"process": {"env": [], "user": user}, "linux": {"namespaces": spaces}}
        _inject(document, container, Injection(cdi=names))
        return document

    assert made("vendor.com/gpu=0")["process"]["env"] == ["CARD=zero"]
    assert made()["process"]["env"] == []
    with pytest.raises(EngineError, match="unresolvable CDI devices vendor"):
        made("vendor.com/gpu=1")


def test_a_critical_pod_begins_once_those_that_went_for_it_run_no_more(tmp_path: Path) -> None:
    def asks(cpu: str, priority: int, uid: str) -> Pod:
        metadata = {"uid": uid, "name": uid[:5], "resourceVersion": "2"}
        spec = {"restartPolicy": "Never", "priority": priority}
        status, asked = {"qosClass": "Burstable"}, {"requests": {"cpu": cpu}}
        return pod(metadata=metadata, spec=spec, status=status, resources=asked)

    stage = Stage(tmp_path, asks("800m", 0, UID))
    critical = asks("500m", SYSTEM_CRITICAL, "critical")
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))
    stage.shim.verbs["wait"] = lambda _: {}  # answered below

    def remove(_: Answer) -> Answer:
        stage.shim.die()
        return {}

    stage.shim.verbs["remove"] = remove

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            room = Machine({"cpu": "1", "memory": "1Gi", "pods": "10"})
            tools = replace(tools, machine=room)
            pods = FollowedView(stage.api, POD, tools.world)
            agent = Agent(tools, pods, tasks)
            for one in (pods.follow(), agent.run()):
                tasks.start(one, name="part of the agent")
            await agent._complete.wait()
            stage.api.changes.put_nowait(Change("ADDED", critical, 2))
            await stage.shim.until("wait", "app.0")
            assert set(agent.workers) == {UID}
            stage.shim.answer("wait", {"result": {"exit": ended(0)}})
            await holds(lambda: "critical" in agent.workers)

    asyncio.run(scenario())


class Parts:
    """Gives out parts of the machine, and notes from whom they are taken."""

    def __init__(self) -> None:
        self.released: list[str] = []

    def hints(self, pod: Pod, container: Container) -> dict[str, None]:
        return {}

    async def allocate(self, pod: Pod, container: Container, place: Hint) -> None:
        return

    def release(self, uid: str) -> None:
        self.released.append(uid)


def test_what_a_pod_has_for_itself_is_free_once_nothing_of_it_runs(tmp_path: Path) -> None:
    stage, parts = Stage(tmp_path, pod(metadata=deleted())), Parts()
    stage.tells(container("app.0", **RUNNING))
    stage.shim.verbs["wait"] = lambda _: {}  # answered below

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            tools.placement.add(parts)
            seen = observed(ready=True, containers={"app": running()})
            await begin(stage, tools, tasks, seen)
            await stage.shim.until("wait", "app.0")
            assert parts.released == []
            stage.shim.answer("wait", {"result": {"exit": ended(0)}})
            await stage.api.until(has_ended)
            assert set(parts.released) == {UID}

    asyncio.run(scenario())


def test_nothing_begins_on_volumes_that_an_agent_before_prepared_until_they_are_again(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, pod(command=["true"]))
    stage.tells()
    stage.runs()
    stage.hosts()
    creates = asked(stage, "create")

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            prepare, begun, may = tools.volumes.prepare, asyncio.Event(), asyncio.Event()

            async def held(*given: Any) -> Any:
                begun.set()
                await may.wait()
                assert creates == []
                return await prepare(*given)

            tools.volumes.prepare = held  # type: ignore[method-assign]
            known = exited(1, at=1.0)
            seen = observed(ready=True, containers={"app": known})
            worker = await begin(stage, tools, tasks, seen)
            await begun.wait()
            await holds(lambda: "app" in worker._pulled and "app" not in worker._busy)
            worker._step()
            assert "app" not in worker._busy
            may.set()
            await stage.shim.until("create", "app.1")

    asyncio.run(scenario())


def test_a_record_that_cannot_be_written_ends_nothing_and_is_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(tmp_path, pod(command=["true"]))
    stage.tells()
    stage.runs()
    stage.hosts()
    place = stage.paths.pod(UID) / RECORD
    place.mkdir(parents=True)  # nothing can be put in its place, as on a full disk

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            worker = await begin(stage, tools, tasks, observed(ready=True))
            await stage.api.until(is_up)
            assert list(load_all(stage.paths)) == []
            told = [it for it in caplog.messages if "is not noted" in it]
            assert len(told) == 1
            place.rmdir()
            worker._step()
            (seen,) = load_all(stage.paths)
            assert seen == worker.seen
            assert seen.of("app").running

    asyncio.run(scenario())


class Claims(NoClaims):
    """Claims that nobody can make ready."""

    def __init__(self) -> None:
        self.taken_back = asyncio.Event()

    async def prepare(self, pod: Pod) -> None:
        raise CannotPrepare("no such driver")

    async def unprepare(self, uid: str) -> None:
        assert uid == UID
        self.taken_back.set()


def test_claims_that_were_begun_are_taken_back_though_the_pod_never_stood_on_any_ground(
    tmp_path: Path,
) -> None:
    missing = {"name": "v", "hostPath": {"path": str(tmp_path / "no"), "type": "Directory"}}
    spec = {"resourceClaims": [{"name": "c", "resourceClaimName": "c"}], "volumes": [missing]}
    stage, claims = Stage(tmp_path, pod(spec=spec)), Claims()
    stage.tells()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            tools = replace(tools, claims=claims)
            worker = await begin(stage, tools, tasks, observed())
            await stage.events.until("no such driver")
            await stage.events.until("FailedMount")
            stage.shim.die()
            await holds(lambda: UID in stage.engine._lost)
            worker.vanish()
            await claims.taken_back.wait()

    asyncio.run(scenario())


def test_the_warm_parent_is_started_again_where_it_was_killed_and_only_then(
    tmp_path: Path,
) -> None:
    class Runtime:
        def __init__(self, *errors: EngineError) -> None:
            self.errors = list(errors)

        async def start_sandbox(self, uid: str, wanted: Any) -> str:
            if self.errors:
                raise self.errors.pop(0)
            return "made"

    class Warm:
        ensured = 0

        def ensure(self) -> None:
            self.ensured += 1

    async def begun(*errors: EngineError) -> tuple[str, int]:
        runtime, warm = Runtime(*errors), Warm()
        engine = OwnEngine(runtime, warm, None, "/g", "d", None)  # type: ignore[arg-type]
        return str(await engine._begin(UID, {})), warm.ensured

    assert asyncio.run(begun()) == ("made", 0)
    assert asyncio.run(begun(EngineError("unavailable", "gone"))) == ("made", 1)
    with pytest.raises(EngineError, match="no"):
        asyncio.run(begun(EngineError("failed", "no")))


def test_pods_that_find_the_warm_parent_gone_at_once_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = tmp_path / "started"
    script = f"echo $$ >> {noted}; sleep 0.2; echo ready; exec sleep 1000"
    monkeypatch.setattr(warm, "warm_command", lambda *_: ["/bin/sh", "-c", script])
    parent = warm.WarmParent(tmp_path / "run" / "warm.sock", tmp_path)

    async def main() -> None:
        await asyncio.gather(*(asyncio.to_thread(parent.ensure) for _ in range(4)))

    try:
        asyncio.run(main())
        started = noted.read_text().split()
        assert len(started) == 1
    finally:
        for pid in noted.read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        assert parent._process is not None
        parent._process.wait()
