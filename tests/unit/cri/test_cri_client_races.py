"""What happens in a runtime of others at once or in between: lists, events and calls that cross
each other, what others remove, an agent or a runtime that ends in the middle."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from steersman.cri.client.following import UNKNOWN_EXIT
from steersman.cri.client.known import Listing, Run
from steersman.cri.client.rotation import Rotation
from steersman.cri.client.translating import Translation
from steersman.cri.messages import containers as c
from steersman.cri.messages import runtime as r
from steersman.cri.messages import sandboxes as s
from steersman.runtime.engine import EngineError, Event
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.world.interface import World
from steersman.world.real import RealWorld
from steersman.world.simulated import simulate
from unit.cri import test_cri_client_engine as engines
from unit.cri import test_cri_client_following as following
from unit.cri.test_cri_client_engine import OF_APP, SHARES, box
from unit.cri.test_cri_client_following import PLACE, listing
from unit.cri.test_cri_client_runtime import Logs
from unit.cri.test_cri_client_streams import ALL, Client, pipe
from unit.node.node_documents import UID, pod

APP = c.Container("one", metadata=c.ContainerMetadata("app", 0), labels=OF_APP)


@pytest.fixture
def stage(tmp_path: Path) -> engines.Stage:
    return engines.Stage(tmp_path)


def runs(stage: engines.Stage, status: c.ContainerStatus | Failed) -> None:
    """Has a pod with a container, of which the runtime tells."""
    stage.sandboxes, stage.containers = (box("box", 1),), (APP,)
    stage.runtime.answers["ContainerStatus"] = lambda _: (
        status if isinstance(status, Failed) else c.ContainerStatusResponse(status)
    )


def test_a_run_that_goes_while_all_are_listed_holds_up_nobody(stage: engines.Stage) -> None:
    runs(stage, Failed(grpc.NOT_FOUND, "no such container"))
    (found,) = asyncio.run(stage.engine.pods())
    assert (found.pod, found.lost, found.containers) == (UID, False, ())
    runs(stage, Failed(grpc.UNAVAILABLE, "down"))
    with pytest.raises(EngineError, match="down"):
        asyncio.run(stage.engine.pods())


def test_an_end_that_a_list_shows_is_told_to_who_knew_the_run_before(stage: engines.Stage) -> None:
    """An agent connects a second time once it knows all pods; static ones run by then."""

    async def main() -> None:
        runs(stage, c.ContainerStatus("one", state=c.RUNNING, started_at=5, log_path="/log"))
        await stage.engine.connect()
        stage.runtime.ends("one", 3)
        (found,) = await stage.engine.connect()
        assert found.containers[0].exit is not None
        async with asyncio.timeout(10):
            event = await anext(stage.engine.events())
        assert event == Event("exit", UID, "app.0", found.containers[0].exit)

    asyncio.run(main())


def test_a_sandbox_that_ends_as_soon_as_it_is_made_is_taken_back(stage: engines.Stage) -> None:
    stage.runtime.answers |= {
        "RunPodSandbox": lambda _: s.RunPodSandboxResponse("box"),
        "PodSandboxStatus": lambda _: r.PodSandboxStatusResponse(
            s.PodSandboxStatus("box", state=s.NOT_READY)
        ),
    }
    with pytest.raises(EngineError, match="box has ended as soon as it was made"):
        asyncio.run(stage.engine.start_sandbox(pod(), "", SHARES, {}))
    assert stage.groups.done[-1] == f"remove {UID}"


def test_a_run_that_is_removed_while_it_is_stopped_does_not_come_back(stage: engines.Stage) -> None:
    async def main() -> None:
        stage.engine._known.runs[UID, "app.0"] = Run("one", "/log", 5)
        stage.runtime.answers["StopContainer"] = lambda _: c.StopContainerResponse()
        status = stage.runtime.ends("one", 143)

        def removed(_: Any) -> c.ContainerStatusResponse:
            stage.engine._known.forget(UID)
            return c.ContainerStatusResponse(status)

        stage.runtime.answers["ContainerStatus"] = removed
        with pytest.raises(EngineError) as caught:
            await stage.engine.stop(UID, "app.0", 15, 1.0)
        assert caught.value.kind == "not-found"
        assert stage.engine._known.runs == {}

    asyncio.run(main())


def follow(happens: Callable[[following.Stage], Any]) -> tuple[following.Stage, Event, float]:
    """Follows a pod to which something happens; returns the first event and when it was told."""

    async def main(world: World) -> tuple[following.Stage, Event, float]:
        stage, began = following.Stage(world, told=True), world.now()
        async with world.tasks() as tasks:
            tasks.start(happens(stage), name="what happens")
            tasks.start(stage.following.run(), name="following")
            async with world.timeout(1000.0):
                event = await anext(stage.following.events())
            tasks.stop()
        return stage, event, world.now() - began

    result: tuple[following.Stage, Event, float] = simulate(1, main)
    return result


def test_what_is_said_while_all_is_listed_is_looked_after_once_more() -> None:
    async def happens(stage: following.Stage) -> None:
        async def list_all() -> Listing:
            stage.listed += 1
            await stage.world.sleep(1)
            if stage.listed > 1:
                return listing(state=c.EXITED)
            stage.runtime.ends("one", 3)
            stage.following.look()
            return listing()

        stage.following._list_all = list_all  # type: ignore[method-assign]

    stage, event, when = follow(happens)
    assert (stage.listed, event) == (2, following.EXIT)
    assert when < 10


def test_a_run_that_others_remove_has_ended_and_when_it_began_is_said() -> None:
    async def happens(stage: following.Stage) -> None:
        await stage.world.sleep(5)
        assert stage.runtime.events is not None
        stage.known.runs[PLACE].started_at = 77
        stage.found = listing(state=None)
        stage.runtime.answers["ContainerStatus"] = lambda _: Failed(grpc.NOT_FOUND, "gone")
        stage.runtime.events.put_nowait(r.ContainerEventResponse("one", r.CONTAINER_STOPPED, 1))
        stage.runtime.events.put_nowait(r.ContainerEventResponse("one", r.CONTAINER_DELETED, 1))

    _, event, when = follow(happens)
    assert event.exit is not None
    assert (event.exit.code, event.exit.started_at) == (UNKNOWN_EXIT, 77)
    assert when < 10


def test_a_log_that_was_moved_aside_by_an_agent_that_ended_is_begun_anew(tmp_path: Path) -> None:
    logs = Logs(tmp_path / "0.log")
    asyncio.run(Rotation(logs, RealWorld(), 10).look())
    assert os.listdir(tmp_path) == ["0.log"]


def test_what_an_agent_that_ended_has_half_packed_goes_and_is_packed_anew(tmp_path: Path) -> None:
    logs = Logs(tmp_path / "0.log")
    logs.path.write_bytes(b"a full log of a runtime")
    (tmp_path / "0.log.20260101-000000.1").write_bytes(b"the one before")
    (tmp_path / "0.log.20260101-000000.1.gz.tmp").write_bytes(b"half of")
    asyncio.run(Rotation(logs, RealWorld(), 10).look())
    _, packed, moved = sorted(os.listdir(tmp_path))
    assert packed == "0.log.20260101-000000.1.gz"
    assert gzip.decompress((tmp_path / packed).read_bytes()) == b"the one before"
    assert (tmp_path / moved).read_bytes() == b"a full log of a runtime"


def test_an_agent_that_ends_while_a_log_is_moved_aside_leaves_it_where_it_was(
    tmp_path: Path,
) -> None:
    logs = Logs(tmp_path / "0.log")
    logs.path.write_bytes(b"a full log of a runtime")

    async def main() -> None:
        asked = asyncio.Event()

        async def hang(pod: str, container: str) -> None:
            asked.set()
            await asyncio.Event().wait()

        logs.reopen_log = hang  # type: ignore[method-assign]
        looking = asyncio.ensure_future(Rotation(logs, RealWorld(), 10).look())
        await asked.wait()
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking

    asyncio.run(main())
    assert os.listdir(tmp_path) == ["0.log"]


def test_what_was_made_and_not_begun_has_no_log_that_could_be_full(stage: engines.Stage) -> None:
    stage.engine._known.runs[UID, "app.0"] = Run("one", "/log")
    assert stage.engine.logs() == []


def test_a_client_that_goes_before_anything_was_said_leaves_the_runtime_no_connection() -> None:
    class Gone(Client):
        async def begin(self, *, stdout: bool, stderr: bool) -> None:
            raise ConnectionResetError

    async def main() -> None:
        near, _ = pipe()
        with pytest.raises(ConnectionResetError):
            await Translation(cast(Any, Gone()), near, ALL).run(RealWorld())
        assert near.closed.is_set()

    asyncio.run(main())
