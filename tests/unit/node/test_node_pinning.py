"""Running containers follow what is shared of the processors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from machine_trees import SINGLE_HT, topology
from node_documents import NOW, UID, exited, pod, running

from steersman.node.observed import Observed, Seen
from steersman.node.topology.memory import Memory
from steersman.node.topology.merging import ANYWHERE
from steersman.node.topology.pinning import Pinning
from steersman.node.topology.processors import Options, Processors
from steersman.runtime.engine import EngineError
from steersman.world.real import RealWorld

OWN = {"resources": {side: {"cpu": "2", "memory": "1Gi"} for side in ("limits", "requests")}}
SECONDS = 20


class Groups:
    """Takes what control groups are told; refuses what it is given an error for."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()
        self.errors: list[EngineError] = []

    async def update(self, uid: str, run: str, resources: dict[str, Any]) -> None:
        self.told.put_nowait((uid, run, resources["cpu"]["cpus"]))
        if self.errors:
            raise self.errors.pop()


class Node:
    """A machine with eight processors, of which one is reserved, and the pods on it."""

    def __init__(self, root: Path) -> None:
        cpus = topology(SINGLE_HT)
        self.processors = Processors(cpus, frozenset({0}), Options(), root / "cpu_manager_state")
        self.memory = Memory(cpus, {}, root / "memory_manager_state")
        self.pinning = Pinning(self.processors, self.memory)
        self.groups = Groups()
        self.pods: list[Observed] = []

    async def give(self, uid: str) -> None:
        """Gives a pod's container two processors, and memory."""
        given = pod(metadata={"uid": uid}, **OWN)
        await self.processors.allocate(given, given.spec.containers[0], ANYWHERE)
        await self.memory.allocate(given, given.spec.containers[0], ANYWHERE)

    @contextmanager
    def following(self) -> Iterator[None]:
        cared = lambda: [SimpleNamespace(seen=seen) for seen in self.pods]  # noqa: E731
        work = self.pinning.run(cast(Any, self.groups), cared, RealWorld())
        task = asyncio.ensure_future(work)
        try:
            yield
        finally:
            task.cancel()

    def check(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def follow() -> None:
            with self.following():
                await scenario()

        asyncio.run(asyncio.wait_for(follow(), SECONDS))


def seen(uid: str, **containers: Any) -> Observed:
    return Observed("default", uid, uid, NOW, containers=containers)


def test_containers_that_share_are_moved_and_others_stay(tmp_path: Path) -> None:
    node = Node(tmp_path)
    waiting = Seen()
    pods = [seen("a", next=waiting, app=running(2), old=exited()), seen("own", app=running())]
    node.pods = pods

    async def scenario() -> None:
        await node.give("own")
        found = {await node.groups.told.get(), await node.groups.told.get()}
        # Of an agent before this one nobody knows what it told
        assert found == {("a", "app.2", "0,2-4,6-7"), ("own", "app.0", "1,5")}
        node.processors.release("own")
        node.pods.pop()
        assert await node.groups.told.get() == ("a", "app.2", "0-7")
        assert node.groups.told.empty()
        # Of pods that are gone nothing is kept
        assert {uid for uid, _ in node.pinning._told} == {"a"}

    node.check(scenario)


def test_a_container_that_begins_while_others_change_follows_once_it_runs(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.pods = [seen("a"), seen("own")]

    async def scenario() -> None:
        pin = node.pinning.begin("a", "app", 0)
        assert (pin.cpus, pin.exclusive) == ("0-7", False)
        await node.give("own")
        assert node.pinning.begin("own", "app", 0).exclusive
        await asyncio.sleep(0)
        node.pods = [seen("a", app=running()), seen("own", app=running())]
        node.pinning.began()
        assert await node.groups.told.get() == ("a", "app.0", "0,2-4,6-7")
        node.pinning.began()  # all of them are as they should be
        for _ in range(9):
            await asyncio.sleep(0)
        assert node.groups.told.empty()
        await node.give("second")
        assert await node.groups.told.get() == ("a", "app.0", "0,3-4,7")

    node.check(scenario)


@pytest.mark.parametrize("kind", ["not-found", "failed"])
def test_a_group_that_cannot_be_told_is_told_again(tmp_path: Path, kind: str) -> None:
    node = Node(tmp_path)
    node.pods = [seen("a", app=running())]
    node.groups.errors = [EngineError(kind, "no")]

    async def scenario() -> None:
        await node.give("own")
        first = await node.groups.told.get()
        node.pinning.began()
        assert await node.groups.told.get() == first

    node.check(scenario)


def test_who_has_processors_alone_is_known(tmp_path: Path) -> None:
    node = Node(tmp_path)
    given = pod(**OWN)
    assert not node.pinning.has_exclusive(given)
    asyncio.run(node.give(UID))
    assert node.pinning.has_exclusive(given)
    assert node.pinning.begin(UID, "app", 0).mems == "0"
    assert node.pinning.fixed == "CPU Manager"
    assert Pinning(memory=node.memory).fixed == "Memory Manager"
    assert Pinning(memory=node.memory).begin(UID, "app", 0).mems == "0"


def test_without_policies_containers_run_anywhere() -> None:
    free = Pinning()
    pin = free.begin(UID, "app", 0)
    assert (pin.cpus, pin.mems, pin.exclusive, free.fixed) == ("", "", False, "")
    assert not free.has_exclusive(pod(**OWN))
    free.began()
