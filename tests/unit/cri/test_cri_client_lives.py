"""What a runtime of others is left with and what is known of it, from the making of a container to
the removal of its pod; and its connection, which may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import pytest

from registrar import serving
from steersman.cri.client import following as following_module
from steersman.cri.client.calls import Calls
from steersman.cri.client.engine import MAX_OUTPUT_BYTES
from steersman.cri.client.known import Listing, Run
from steersman.cri.client.naming import render_pod_labels
from steersman.cri.client.resources import render_resources
from steersman.cri.messages import containers as c
from steersman.cri.messages import runtime as r
from steersman.cri.messages import sandboxes as s
from steersman.cri.messages.values import HugepageLimit, LinuxContainerResources
from steersman.listen.grpc import unary
from steersman.runtime.engine import EngineError
from steersman.wire.rpc.messages import Rpc
from steersman.world.interface import World
from steersman.world.real import RealWorld
from steersman.world.simulated import simulate
from unit.cri import test_cri_client_following as following
from unit.cri.scripted_runtime import stopped
from unit.cri.test_cri_client_configs import IDS, order
from unit.cri.test_cri_client_engine import Stage, box
from unit.cri.test_cri_client_following import EXIT, PLACE, listing
from unit.node.node_documents import UID, pod

OURS = {"steersman.io/cluster": "abc"}


class Places:
    """SubPaths that are noted."""

    def __init__(self) -> None:
        self.released: list[tuple[str, ...]] = []

    def prepare(self, order: Any, _images: Collection[str] = ()) -> dict[str, str]:
        return {}

    def release(self, *given: str) -> None:
        self.released.append(given)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage(tmp_path)
    made.engine._subpaths = cast(Any, Places())
    made.engine._known.sandboxes[UID] = "box"
    made.runtime.answers |= {
        "CreateContainer": lambda _: c.CreateContainerResponse("one"),
        "StartContainer": lambda _: c.StartContainerResponse(),
        "ContainerStatus": lambda _: c.ContainerStatusResponse(
            c.ContainerStatus("one", state=c.RUNNING, started_at=5)
        ),
    }
    return made


def released(stage: Stage) -> list[tuple[str, ...]]:
    return cast(Places, stage.engine._subpaths).released


def test_a_run_is_known_from_its_making_until_it_is_removed(stage: Stage) -> None:
    async def main() -> None:
        await stage.engine.create(order(pod()))
        assert stage.engine.container_id(UID, "app.3") == "other://one"
        state = await stage.engine.start(UID, "app.3")
        assert (state.status, state.started_at) == ("running", 5)
        # From now on its log may become full
        ((place, _),) = stage.engine.logs()
        assert place == (UID, "app.3")
        waiting = asyncio.ensure_future(stage.engine.wait(UID, "app.3"))
        await asyncio.sleep(0)
        await stage.engine.delete(UID, "app.3", force=True)
        with pytest.raises(EngineError) as gone:
            async with asyncio.timeout(20):
                await waiting
        assert gone.value.kind == "not-found"
        assert stage.engine.container_id(UID, "app.3") == ""
        assert released(stage) == [(UID, "app.3")]

    asyncio.run(main())


def test_with_a_pod_goes_all_that_is_known_of_it_and_nothing_of_others(stage: Stage) -> None:
    async def main() -> None:
        for uid in (UID, "other"):
            stage.engine._known.sandboxes[uid] = f"box of {uid}"
            stage.engine._known.runs[uid, "app.0"] = Run("one", "")
        stage.sandboxes = (box("box", 1),)
        await stage.engine.remove_sandbox(UID)
        (asked,) = stage.asked("ListPodSandbox")
        assert asked.filter.label_selector == {**OURS, "io.kubernetes.pod.uid": UID}
        assert [it.pod_sandbox_id for it in stage.asked("StopPodSandbox")] == ["box"]
        assert stage.engine.container_id(UID, "app.0") == ""
        assert stage.engine.container_id("other", "app.0") == "other://one"
        with pytest.raises(EngineError, match="has no sandbox"):
            await stage.engine.create(order(pod()))
        assert released(stage) == [(UID,)]
        assert stage.groups.done == [f"remove {UID}"]

    asyncio.run(main())


def test_nothing_is_made_in_a_sandbox_that_was_lost_before_the_agent_began(stage: Stage) -> None:
    async def main() -> None:
        stage.engine._known.sandboxes.clear()
        stage.sandboxes = (box("old", 1, s.NOT_READY),)
        await stage.engine.connect()
        with pytest.raises(EngineError, match="has no sandbox"):
            await stage.engine.create(order(pod()))

    asyncio.run(main())


def test_a_container_has_the_users_of_its_pod(stage: Stage) -> None:
    stage.engine._users = lambda _: IDS
    asyncio.run(stage.engine.create(order(pod(spec={"hostUsers": False}))))
    asyncio.run(stage.engine.create(order(pod())))
    own, shared = (
        it.config.linux.security_context.namespace_options.userns_options
        for it in stage.asked("CreateContainer")
    )
    assert [it.host_id for it in own.uids] == [65536]
    assert shared.uids == ()


def test_no_label_of_a_pod_says_whose_its_sandbox_is() -> None:
    lies = {"steersman.io/cluster": "theirs", "io.kubernetes.pod.uid": "theirs", "app": "web"}
    found = render_pod_labels(pod(metadata={"labels": lies}), "abc")
    assert found["app"] == "web"
    assert {name: found[name] for name in lies if name != "app"} == {
        **OURS,
        "io.kubernetes.pod.uid": UID,
    }


def test_limits_of_a_container_are_all_handed_on() -> None:
    found = render_resources(
        {
            "cpu": {"period": 1, "quota": 2, "shares": 3, "cpus": "0-1", "mems": "1"},
            "memory": {"limit": 4, "swap": 5},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 6}],
            "unified": {"memory.high": "7"},
        },
        8,
    )
    assert found == LinuxContainerResources(
        cpu_period=1,
        cpu_quota=2,
        cpu_shares=3,
        memory_limit_in_bytes=4,
        oom_score_adj=8,
        cpuset_cpus="0-1",
        cpuset_mems="1",
        hugepage_limits=(HugepageLimit("2MB", 6),),
        unified={"memory.high": "7"},
        memory_swap_limit_in_bytes=5,
    )


def test_of_what_a_command_writes_the_beginning_is_kept(stage: Stage) -> None:
    stage.engine._known.runs[UID, "app.0"] = Run("one", "")
    stage.runtime.answers["ExecSync"] = lambda _: c.ExecSyncResponse(b"x" * 20_000, b"y", 4)
    code, output = asyncio.run(stage.engine.run(UID, "app.0", ["x"], None))
    assert (code, output) == (4, b"x" * MAX_OUTPUT_BYTES)


def test_a_run_that_took_the_place_of_another_while_all_were_listed_is_left_alone() -> None:
    async def main(world: World) -> int:
        stage = following.Stage(world, told=False)

        async def replaces() -> Listing:
            stage.known.runs[PLACE] = Run("two", "/log")
            return listing(state=None)

        stage.following._list_all = replaces  # type: ignore[method-assign]
        await stage.following._relist()
        return len(following._waiting(stage))

    assert simulate(1, main) == 0


def test_a_sandbox_of_which_an_event_tells_that_it_is_ready_is_not_lost() -> None:
    async def happens(stage: following.Stage) -> None:
        assert stage.runtime.events is not None
        stage.runtime.events.put_nowait(stopped("box", sandbox=s.READY))
        stage.runtime.events.put_nowait(stopped("one", stage.runtime.ends("one", 3)))

    stage, found = following.follow(True, happens)
    assert found == [EXIT]
    assert stage.known.sandboxes == {"uid": "box"}


def test_an_agent_that_does_not_keep_up_is_told_to_list_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following_module, "MAX_EVENTS", 2)

    async def main(world: World) -> list[str]:
        stage = following.Stage(world, told=True)
        for number in range(3):
            place = ("uid", f"app.{number}")
            stage.known.runs[place] = Run(f"run {number}", "/log")
            stage.following.tell_exit(place, EXIT.exit)  # type: ignore[arg-type]
        return [it.kind for it in following._waiting(stage)]

    assert simulate(1, main) == ["overflow"]


def test_a_runtime_that_was_started_anew_is_connected_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    method = Rpc("/runtime.v1.RuntimeService/Version", r.VersionRequest, r.VersionResponse)

    async def main() -> None:
        calls = Calls(path, RealWorld())
        for version in ("1.0", "2.0"):

            async def tell(_: r.VersionRequest, version: str = version) -> r.VersionResponse:
                return r.VersionResponse("0.1.0", "other", version)

            async with serving(path, dict((unary(method, tell),))):
                told = await calls.runtime("Version", r.VersionRequest(), r.VersionResponse, 20)
                assert told.runtime_version == version
            with pytest.raises(EngineError) as caught:
                await calls.runtime("Version", r.VersionRequest(), r.VersionResponse, 20)
            assert caught.value.kind == "unavailable"

    asyncio.run(main())
