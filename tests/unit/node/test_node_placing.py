"""What is given out to a pod before anything of it begins, and where: asked, merged, taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from node_documents import UID, deleted, observed, pod, running
from shim_script import RUNNING, Stage, begin, container, ended

from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container
from steersman.node.agent import Agent
from steersman.node.topology.merging import ANYWHERE, Alignment, merge
from steersman.node.topology.placing import Placement, unexpected, whole
from steersman.node.topology.providing import Hint, Refused
from steersman.node.worker import Worker
from steersman.runtime.engine import ExitStatus

A, B, BOTH = 0b01, 0b10, 0b11
TWO = {0: {0: 10, 1: 21}, 1: {0: 21, 1: 10}}


def hints(*given: tuple[int | None, bool]) -> list[Hint]:
    return [Hint(nodes, preferred) for nodes, preferred in given]


def merged(policy: str, *given: Mapping[str, Sequence[Hint] | None], **more: object) -> Hint | None:
    alignment = Alignment(policy, nodes=BOTH, distances=TWO, **more)  # type: ignore[arg-type]
    return merge(alignment, given)


CPU_A = {"cpu": hints((A, True), (BOTH, False))}
CPU_ANY = {"cpu": hints((A, True), (B, True), (BOTH, False))}
GPU_B = {"gpu": hints((B, True))}
WIDE = {"memory": hints((BOTH, True))}


@pytest.mark.parametrize(
    ("policy", "given", "place"),
    [
        ("best-effort", (CPU_ANY, GPU_B), Hint(B, True)),
        ("restricted", (CPU_ANY, GPU_B), Hint(B, True)),
        ("single-numa-node", (CPU_ANY, GPU_B), Hint(B, True)),
        # Nothing but the wide place of the processors lies over the device
        ("best-effort", (CPU_A, GPU_B), Hint(B, False)),
        ("restricted", (CPU_A, GPU_B), None),
        ("single-numa-node", (CPU_A, GPU_B), None),
        # What needs both nodes is well there, unless one alone is demanded
        ("best-effort", (WIDE,), Hint(BOTH, True)),
        ("restricted", (WIDE,), Hint(BOTH, True)),
        ("single-numa-node", (WIDE,), None),
        # Two that need as many nodes as each other, and not the same
        ("best-effort", (WIDE, CPU_ANY), Hint(BOTH, False)),
        # Nobody asks, or does not care
        ("restricted", ({}, {"cpu": None}), Hint(BOTH, True)),
        ("single-numa-node", ({}, {"cpu": None}), Hint(None, True)),
        # It cannot be had
        ("best-effort", ({"gpu": []}, CPU_A), Hint(A, False)),
        ("restricted", ({"gpu": []}, CPU_A), None),
        ("single-numa-node", ({"gpu": []}, CPU_A), None),
        # Lower numbers first
        ("restricted", (CPU_ANY,), Hint(A, True)),
    ],
)
def test_hints_are_merged_as_the_policy_says(
    policy: str, given: tuple[Mapping[str, Sequence[Hint]], ...], place: Hint | None
) -> None:
    assert merged(policy, *given) == place
    assert merged(policy, *reversed(given)) == place


def test_of_poor_places_that_with_as_many_nodes_as_are_needed_is_taken() -> None:
    alignment = Alignment("best-effort", nodes=0b1111)
    needs_two = hints((0b0011, False), (0b1100, False), (0b0111, False))
    given = {"cpu": hints((0b1111, False), (0b0001, False), (0b0111, False))}
    assert merge(alignment, [given, {"gpu": needs_two}]) == Hint(0b0011, False)


def test_near_nodes_are_taken_where_that_is_wished() -> None:
    far = {one: {other: 10 if one == other else 30 for other in range(4)} for one in range(4)}
    far[2][3] = far[3][2] = 12
    given = [{"cpu": hints((0b0011, True), (0b1100, True), (0b1111, False))}]
    near = Alignment("restricted", closest=True, nodes=0b1111, distances=far)
    assert merge(near, given) == Hint(0b1100, True)
    assert merge(Alignment("restricted", nodes=0b1111), given) == Hint(0b0011, True)


class Things:
    """Gives out things that lie on NUMA nodes, to containers that ask for them; waits before
    each answer where it is told to."""

    def __init__(self, **free: int) -> None:
        self.free = {int(node.removeprefix("n")): count for node, count in free.items()}
        self.given: dict[tuple[str, str], Hint] = {}
        self.taken: list[tuple[str, int, int]] = []
        self.released: list[str] = []
        self.gone = asyncio.Event()
        self.asked = asyncio.Event()
        self.may = asyncio.Event()
        self.may.set()

    def hints(self, pod: Pod, container: Container) -> Mapping[str, Sequence[Hint] | None]:
        """Returns the nodes that have as many."""
        wanted = int(container.resources.limits.get("example.com/thing", 0))
        fitting = [node for node, count in self.free.items() if count >= wanted]
        return {"thing": [Hint(1 << node, True) for node in fitting]} if wanted else {}

    async def allocate(self, pod: Pod, container: Container, place: Hint) -> None:
        """Notes where a container was put."""
        if not (wanted := int(container.resources.limits.get("example.com/thing", 0))):
            return
        node = place.nodes.bit_length() - 1 if place.nodes else 0
        if self.free[node] < wanted:
            raise unexpected("no thing left")
        self.free[node] -= wanted
        self.taken.append((pod.metadata.uid, node, wanted))
        self.given[pod.metadata.uid, container.name] = place
        self.asked.set()
        await self.may.wait()

    def release(self, uid: str) -> None:
        """Notes that a pod is gone."""
        self.released.append(uid)
        self.gone.set()
        self.given = {key: place for key, place in self.given.items() if key[0] != uid}
        for _, node, count in (it for it in self.taken if it[0] == uid):
            self.free[node] += count
        self.taken = [it for it in self.taken if it[0] != uid]

    def holders(self) -> set[str]:
        """Returns who has something."""
        return {uid for uid, _ in self.given}


def asking(*counts: int, uid: str = UID) -> Pod:
    """A pod whose containers ask for things."""
    each = [
        {"name": f"c{n}", "resources": {"limits": {"example.com/thing": str(count)}}}
        for n, count in enumerate(counts)
    ]
    return pod(spec={"containers": each}, metadata={"uid": uid})


def placed(alignment: Alignment, things: Things, given: Pod) -> dict[str, Hint]:
    placement = Placement(alignment)
    placement.add(things)
    asyncio.run(placement.place(given))
    return {name: place for (_, name), place in things.given.items()}


def test_containers_are_placed_each_or_together() -> None:
    each = Alignment("single-numa-node", nodes=BOTH)
    wanted = asking(2, 1)
    assert placed(each, Things(n0=2, n1=3), wanted) == {"c0": Hint(A, True), "c1": Hint(B, True)}
    together = Alignment("single-numa-node", "pod", nodes=BOTH)
    there = Hint(B, True)
    assert placed(together, Things(n0=2, n1=3), wanted) == {"c0": there, "c1": there}
    assert placed(Alignment(), Things(n0=3), wanted) == {"c0": ANYWHERE, "c1": ANYWHERE}


def test_a_pod_that_has_no_place_is_refused_and_has_nothing() -> None:
    things = Things(n0=2, n1=1)
    with pytest.raises(Refused) as refusal:
        placed(Alignment("restricted", nodes=BOTH), things, asking(2, 2))
    assert refusal.value.reason == "TopologyAffinityError"
    assert refusal.value.message == "Resources cannot be allocated with Topology locality"
    assert things.released == [UID]
    assert things.given == {}
    things = Things(n0=1)
    with pytest.raises(Refused) as refusal:
        placed(Alignment(), things, asking(2))
    assert refusal.value.reason == "UnexpectedAdmissionError"
    assert refusal.value.message == "Allocate failed due to no thing left, which is unexpected"


def test_a_whole_pod_asks_for_what_its_containers_ask_for_together() -> None:
    init = [
        {"name": "first", "resources": {"limits": {"cpu": "3"}}},
        {"name": "side", "restartPolicy": "Always", "resources": {"limits": {"cpu": "1"}}},
    ]
    main = [{"name": "app", "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}}}]
    made = whole(pod(spec={"initContainers": init, "containers": main}))
    assert made.name == ""
    assert dict(made.resources.limits) == {"cpu": "3", "memory": "1Gi"}


def test_pods_placed_as_a_whole_take_turns_and_others_do_not_wait() -> None:
    things = Things(n0=3, n1=1)
    things.may.clear()
    placement = Placement(Alignment("single-numa-node", "pod", nodes=BOTH))
    placement.add(things)

    async def scenario() -> None:
        first = asyncio.ensure_future(placement.place(asking(1, 1)))
        await things.asked.wait()
        second = asyncio.ensure_future(placement.place(asking(2, uid="other")))
        await placement.place(asking(0, uid="none"))  # while both of them wait
        things.may.set()
        await first
        with pytest.raises(Refused):  # it saw what the first has left, not what it began with
            await second

    asyncio.run(asyncio.wait_for(scenario(), 20))


async def began(placement: Placement, things: Things) -> asyncio.Future[None]:
    """A pod that asks for what another has, which is no more wanted."""
    await placement.place(asking(2, uid="old"))
    placement.leaves("old")
    placement.leaves("has nothing")
    waits = asyncio.ensure_future(placement.place(asking(2, uid="new")))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waits.done()
    assert things.holders() == {"old"}
    return waits


def waiting(scenario: Callable[[Placement, Things], Coroutine[Any, Any, None]]) -> None:
    things, placement = Things(n0=2), Placement()
    placement.add(things)
    asyncio.run(asyncio.wait_for(scenario(placement, things), 20))


def test_what_a_pod_has_that_is_no_more_wanted_is_waited_for() -> None:
    async def scenario(placement: Placement, things: Things) -> None:
        waits = await began(placement, things)
        placement.release("has nothing")
        placement.release("old")
        await waits
        assert things.holders() == {"new"}
        with pytest.raises(Refused):  # nobody leaves any more
            await placement.place(asking(1, uid="third"))

    waiting(scenario)


def test_a_pod_that_goes_on_after_all_is_not_waited_for() -> None:
    async def scenario(placement: Placement, things: Things) -> None:
        waits = await began(placement, things)
        placement.stays("old")
        with pytest.raises(Refused, match="no thing left"):
            await waits
        assert things.holders() == {"old"}

    waiting(scenario)


def test_a_pod_that_goes_while_it_waits_is_given_nothing() -> None:
    async def scenario(placement: Placement, things: Things) -> None:
        waits = await began(placement, things)
        placement.release("new")
        with pytest.raises(Refused, match='pod "new" is gone'):
            await waits
        placement.release("old")
        assert things.holders() == set()

    waiting(scenario)


def test_nothing_of_a_pod_begins_before_it_has_its_place(tmp_path: Path) -> None:
    stage = Stage(tmp_path, asking(1))
    stage.makes_sandboxes()
    things = Things(n0=1)
    things.may.clear()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            tools.placement.add(things)
            asked: list[str] = []
            made = stage.warm.verbs["sandbox"]
            stage.warm.verbs["sandbox"] = lambda request: asked.append("sandbox") or made(request)
            worker = Worker(tools, stage.pod, observed(unplaced=True), lambda _: None)
            worker.hear(stage.pod)
            tasks.start(worker.run(), name="worker")
            await things.asked.wait()
            await stage.api.until(lambda it: it["phase"] == "Pending")  # it has been looked at
            assert asked == []
            things.may.set()
            await stage.warm.until("sandbox")
            assert not worker.seen.unplaced

    asyncio.run(scenario())


def test_a_pod_that_a_provider_does_not_take_has_failed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, asking(2))
    things = Things(n0=1)

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            tools.placement.add(things)
            await begin(stage, tools, tasks, observed(unplaced=True))
            status = await stage.api.until(lambda it: it["phase"] == "Failed")
            text = "Allocate failed due to no thing left, which is unexpected"
            told = (status["reason"], status["message"])
            assert told == ("UnexpectedAdmissionError", f"Pod was rejected: {text}")
            assert f"Warning UnexpectedAdmissionError: {text}" in stage.events.told

    asyncio.run(scenario())


def test_a_pod_that_ends_while_it_waits_gives_its_part_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, pod(spec=asking_spec(), metadata=deleted(0)))
    things = Things(n0=1)
    things.may.clear()

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            tools.placement.add(things)
            worker = await begin(stage, tools, tasks, observed(unplaced=True))
            await stage.api.deleted.get()
            assert UID in things.released
            assert worker.seen.unplaced

    asyncio.run(scenario())


def test_what_an_ended_pod_had_is_free_before_its_end_is_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tells(container("app.0", **RUNNING))
    stage.shim.verbs["remove"] = lambda _: {}  # its ground is taken down slowly
    things = Things(n0=1)

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            tools.placement.add(things)
            seen = observed(ready=True, containers={"app": running()})
            worker = await begin(stage, tools, tasks, seen)
            await stage.api.until(lambda it: it["phase"] == "Running")
            assert things.released == []
            worker.exited("app", 0, ExitStatus(**ended()))
            await stage.api.until(lambda it: it["phase"] == "Succeeded")
            assert UID in things.released

    asyncio.run(scenario())


def asking_spec() -> dict[str, object]:
    return {"containers": [{"name": "app", "resources": {"limits": {"example.com/thing": "1"}}}]}


def test_what_a_pod_had_that_went_while_no_agent_ran_is_taken_back(tmp_path: Path) -> None:
    from test_node_take_over import begin as begin_agent

    stage = Stage(tmp_path)
    stage.api.pods.clear()
    stage.left(observed(ready=True))
    stage.tells()
    things = Things(n0=1)

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            stage.shim.die()
            tools.placement.add(things)
            made: Agent = begin_agent(stage, tools, tasks)
            await things.gone.wait()
            assert things.released == [UID]
            assert made.workers == {}

    asyncio.run(scenario())


def test_what_a_pod_had_of_which_nothing_else_is_left_is_taken_back(tmp_path: Path) -> None:
    from test_node_take_over import begin as begin_agent

    stage = Stage(tmp_path)
    stage.api.pods.clear()
    stage.tells()
    things = Things(n0=1)
    things.given["nobody", "c0"] = ANYWHERE

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            tools.placement.add(things)
            made: Agent = begin_agent(stage, tools, tasks)
            await things.gone.wait()
            assert things.released == ["nobody"]
            assert made.workers == {}

    asyncio.run(scenario())
