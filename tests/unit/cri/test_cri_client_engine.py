"""The engine that is a runtime of others: what it takes up, what it asks, what it takes back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from steersman.cri.client.engine import CRIEngine
from steersman.cri.client.known import Run
from steersman.cri.messages import containers as c
from steersman.cri.messages import runtime as r
from steersman.cri.messages import sandboxes as s
from steersman.model.kinds.pod import Pod
from steersman.node.engine.interface import Features
from steersman.node.observed import Sandbox
from steersman.node.paths import Paths
from steersman.runtime.engine import EngineError
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.world.real import RealWorld
from unit.cri.scripted_runtime import Scripted
from unit.cri.test_cri_client_configs import AROUND, order
from unit.node.node_documents import UID, observed, pod, running

SHARES = {"cpu": {"shares": 2}}
OF_POD = {"io.kubernetes.pod.uid": UID}
OF_APP = {**OF_POD, "io.kubernetes.container.name": "app"}


class Groups:
    """Control groups that are noted."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def make(self, pod: Pod, resources: Any) -> None:
        assert resources["cpu"]["shares"] == 2
        self.done.append(f"make {pod.metadata.uid}")

    def note(self, uid: str, group: str) -> None:
        self.done.append(f"note {uid} {group}")

    def limit(self, uid: str, resources: Any) -> None:
        self.done.append(f"limit {uid} {resources}")

    def remove(self, uid: str) -> None:
        self.done.append(f"remove {uid}")


class Stage:
    """An engine before a runtime that has nothing yet."""

    def __init__(self, root: Path) -> None:
        self.runtime = Scripted()
        self.groups = Groups()
        self.sandboxes: tuple[s.PodSandbox, ...] = ()
        self.containers: tuple[c.Container, ...] = ()
        self.runtime.answers |= {
            "ListPodSandbox": lambda _: s.ListPodSandboxResponse(self.sandboxes),
            "ListContainers": lambda _: c.ListContainersResponse(self.containers),
            "StopPodSandbox": lambda _: s.StopPodSandboxResponse(),
            "RemovePodSandbox": lambda _: s.RemovePodSandboxResponse(),
            "RemoveContainer": lambda _: c.RemoveContainerResponse(),
        }
        calls, groups = cast(Any, self.runtime), cast(Any, self.groups)
        self.engine = CRIEngine(calls, AROUND, Paths(root), lambda _: {}, groups, RealWorld())
        self.engine._features = Features("other", "1", {})

    def asked(self, name: str) -> list[Any]:
        return [message for asked, message in self.runtime.asked if asked == name]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def box(id: str, at: int, state: int = s.READY) -> s.PodSandbox:
    return s.PodSandbox(id, state=state, created_at=at, labels=OF_POD)


def test_what_runs_is_taken_up_by_its_labels_with_what_has_ended(stage: Stage) -> None:
    stage.sandboxes = (box("new", 2), box("old", 1, s.NOT_READY))
    stage.containers = (
        c.Container("one", metadata=c.ContainerMetadata("app", 0), labels=OF_APP),
        c.Container("two", metadata=c.ContainerMetadata("app", 1), labels=OF_APP),
    )
    told = {
        "one": c.ContainerStatus("one", state=c.EXITED, started_at=5, finished_at=9, exit_code=3),
        "two": c.ContainerStatus("two", state=c.RUNNING, started_at=10, log_path="/log"),
    }
    stage.runtime.answers["ContainerStatus"] = lambda asked: c.ContainerStatusResponse(
        told[asked.container_id]
    )

    async def main() -> None:
        (found,) = await stage.engine.connect()
        assert (found.pod, found.lost) == (UID, False)
        first, second = found.containers
        assert (first.id, first.status, second.id, second.status) == (
            "app.0",
            "stopped",
            "app.1",
            "running",
        )
        assert first.exit is not None and first.exit.code == 3
        assert (await stage.engine.wait(UID, "app.0")).code == 3
        assert stage.engine.container_id(UID, "app.1") == "other://two"
        assert stage.engine.logs() == [((UID, "app.1"), "/log")]
        selector = stage.asked("ListPodSandbox")[0].filter.label_selector
        assert selector == {"steersman.io/cluster": "abc"}

    asyncio.run(main())


def test_a_sandbox_that_is_not_ready_is_lost(stage: Stage) -> None:
    stage.sandboxes = (box("old", 1, s.NOT_READY),)
    (found,) = asyncio.run(stage.engine.connect())
    assert found.lost


def test_a_sandbox_is_made_in_the_pods_own_group_with_the_addresses_it_was_given(
    stage: Stage,
) -> None:
    network = s.PodSandboxNetworkStatus("10.1.0.2", (s.PodIP("fd00::2"),))
    status = s.PodSandboxStatus("box", network=network)
    stage.runtime.answers |= {
        "RunPodSandbox": lambda _: s.RunPodSandboxResponse("box"),
        "PodSandboxStatus": lambda _: r.PodSandboxStatusResponse(status, {"info": '{"pid": 7}'}),
    }
    made = asyncio.run(stage.engine.start_sandbox(pod(), "kata", SHARES, {}))
    assert made == Sandbox(7, "", ("10.1.0.2", "fd00::2"))
    assert stage.groups.done == [f"remove {UID}", f"make {UID}"]
    (asked,) = stage.asked("RunPodSandbox")
    assert asked.runtime_handler == "kata"
    host = asyncio.run(stage.engine.start_sandbox(pod(spec={"hostNetwork": True}), "", SHARES, {}))
    assert host.addresses == ()


def test_what_was_made_of_a_sandbox_before_a_failure_is_taken_back(stage: Stage) -> None:
    stage.sandboxes = (box("half", 1),)
    stage.runtime.answers["RunPodSandbox"] = lambda _: Failed(grpc.UNKNOWN, "no network")
    with pytest.raises(EngineError, match="no network"):
        asyncio.run(stage.engine.start_sandbox(pod(), "", SHARES, {}))
    assert [it.pod_sandbox_id for it in stage.asked("RemovePodSandbox")] == ["half", "half"]
    assert stage.groups.done[-1] == f"remove {UID}"
    with pytest.raises(EngineError, match="has no sandbox"):
        asyncio.run(stage.engine.create(order(pod())))


def test_a_container_among_anothers_processes_names_it(stage: Stage) -> None:
    made = order(pod(targetContainerName="app"))

    async def main(seen: Any) -> Any:
        stage.engine._known.sandboxes[UID] = "box"
        stage.engine._known.runs[UID, "app.0"] = Run("one", "")
        given = SimpleNamespace(**{it: getattr(made, it) for it in made.__struct_fields__})
        given.seen = seen
        await stage.engine.create(cast(Any, given))

    with pytest.raises(EngineError, match="target container app does not run"):
        asyncio.run(main(observed()))
    stage.runtime.answers["CreateContainer"] = lambda _: c.CreateContainerResponse("two")
    asyncio.run(main(observed(containers={"app": running(0)})))
    (asked,) = stage.asked("CreateContainer")
    options = asked.config.linux.security_context.namespace_options
    assert (asked.pod_sandbox_id, options.target_id) == ("box", "one")
    assert stage.engine.container_id(UID, "app.3") == "other://two"


def test_a_container_whose_making_was_never_answered_is_found_and_removed(stage: Stage) -> None:
    stage.containers = (c.Container("x", metadata=c.ContainerMetadata("app", 4), labels=OF_APP),)
    asyncio.run(stage.engine.delete(UID, "app.4", force=True))
    asyncio.run(stage.engine.delete(UID, "app.5", force=True))
    assert [it.container_id for it in stage.asked("RemoveContainer")] == ["x"]


def test_a_container_is_stopped_in_whole_seconds_and_how_it_ended_is_known(stage: Stage) -> None:
    async def main() -> None:
        stage.engine._known.runs[UID, "app.0"] = Run("one", "")
        stage.runtime.answers["StopContainer"] = lambda _: c.StopContainerResponse()
        stage.runtime.ends("one", 143)
        exit = await stage.engine.stop(UID, "app.0", 15, 1.5)
        assert exit.code == 143
        await stage.engine.kill(UID, "app.0")
        assert [it.timeout for it in stage.asked("StopContainer")] == [2, 0]

    asyncio.run(main())


def test_limits_of_a_pod_are_set_here_and_told_to_a_runtime_that_hears_of_them(
    stage: Stage,
) -> None:
    async def main() -> None:
        stage.engine._known.sandboxes[UID] = "box"
        wanted = {"cpu": {"shares": 9}}
        await stage.engine.update(UID, "", wanted)
        assert stage.groups.done == [f"limit {UID} {wanted}"]
        stage.runtime.answers["UpdatePodSandboxResources"] = lambda _: (
            s.UpdatePodSandboxResourcesResponse()
        )
        await stage.engine.update(UID, "", wanted)
        asked = stage.asked("UpdatePodSandboxResources")[-1]
        assert (asked.pod_sandbox_id, asked.resources.cpu_shares) == ("box", 9)

    asyncio.run(main())
