"""Pod groups on a whole control plane: enough of a group's pods are bound together, or none."""

from __future__ import annotations

from typing import Any

import pytest

from controlled import EVERYBODY
from simulation.control_plane import control_plane
from simulation.faults import Weather
from simulation.quiet import Quiet, quietly, ready
from steersman.model.errors import NotFound
from steersman.model.kind import Document, Kind
from steersman.model.kinds.customresourcedefinition import CUSTOMRESOURCEDEFINITION
from steersman.model.kinds.pod import POD
from steersman.model.kinds.priorityclass import PRIORITYCLASS
from steersman.model.ref import Resource
from steersman.node.simulated.behaviour import Behaviour
from steersman.testing.invariants.rollouts import PODS, Broken
from steersman.world.simulated import SimulatedWorld, simulate

SMALL = Behaviour(cpu="4", stop_seconds=3.0)
GROUPS = "/apis/scheduling.x-k8s.io/v1alpha1/namespaces"
LABEL = "scheduling.x-k8s.io/pod-group"
GROUP = Kind(
    group="scheduling.x-k8s.io",
    name="PodGroup",
    plural="podgroups",
    namespaced=True,
    versions=(),
    storage="v1alpha1",
)


async def define(quiet: Quiet, more: Document = {}) -> None:  # noqa: B006
    spec = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    properties = {"spec": spec, "status": spec}
    schema = {"openAPIV3Schema": {"type": "object", "properties": properties}}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": schema, **more}
    names = {"kind": "PodGroup", "plural": "podgroups", "singular": "podgroup"}
    definition = {
        "group": GROUP.group,
        "names": {**names, "listKind": "PodGroupList"},
        "scope": "Namespaced",
        "versions": [version],
    }
    await quiet.create(CUSTOMRESOURCEDEFINITION, "podgroups.scheduling.x-k8s.io", spec=definition)
    await quiet.until(lambda: served(quiet))


async def served(quiet: Quiet) -> bool:
    try:
        await quiet.admin.list(GROUP)
    except NotFound:
        return False
    return True


async def group(quiet: Quiet, name: str, least: int) -> None:
    await quiet.create(GROUP, name, spec={"minMember": least, "scheduleTimeoutSeconds": 10})


async def member(quiet: Quiet, name: str, of: str, cpu: str, **spec: Any) -> None:
    container = {"name": "c", "image": "i:1", "resources": {"requests": {"cpu": cpu}}}
    metadata = {"labels": {LABEL: of}}
    await quiet.create(POD, name, spec={"containers": [container], **spec}, metadata=metadata)


async def running(quiet: Quiet, *names: str) -> bool:
    return {it.metadata.name for it in await quiet.pods()} == set(names)


async def message(quiet: Quiet, name: str) -> str:
    found = await quiet.admin.get(POD.ref("default", name))
    return next((it.message for it in found.status.conditions if it.type == "PodScheduled"), "")


def test_a_group_waits_until_enough_of_its_pods_are_there_and_says_so() -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        await group(quiet, "g", 3)
        await member(quiet, "a", "g", "1")
        await member(quiet, "b", "g", "1")
        await quiet.world.sleep(30)
        assert await running(quiet)
        assert await message(quiet, "a") in (
            "0/3 nodes are available: pre-filter pod a cannot find enough sibling pods, current "
            f"pods number: {number}, minMember of group: 3. not found"
            for number in (1, 2)
        )
        await member(quiet, "c", "g", "1")
        await quiet.until(lambda: running(quiet, "a", "b", "c"))
        await member(quiet, "d", "g", "1")  # one more than needed is a pod like any other
        await quiet.until(lambda: running(quiet, "a", "b", "c", "d"))

    quietly(scenario, behaviour=SMALL)


def test_no_pod_of_a_group_is_bound_where_not_enough_fit() -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        await group(quiet, "g", 3)
        for name in "abc":
            await member(quiet, name, "g", "3")
        await quiet.until(lambda: message(quiet, "a"))
        await quiet.world.sleep(30)
        assert await running(quiet)
        said = [await message(quiet, name) for name in "abc"]
        assert said.count("optimistic rejection in PostFilter") == 2
        (held,) = [it for it in said if it != "optimistic rejection in PostFilter"]
        assert held.startswith("0/2 nodes are available: 2 Insufficient cpu. PodGroup default/g ")
        assert held.endswith(" is unschedulable even after PostFilter")
        await quiet.admin.patch(GROUP.ref("default", "g"), {"spec": {"minMember": 2}})
        await quiet.until(lambda: enough(quiet, 2), within=30)

    quietly(scenario, nodes=2, behaviour=SMALL)


async def enough(quiet: Quiet, count: int) -> bool:
    return len(await quiet.pods()) == count


def test_room_that_is_freed_lets_the_whole_group_go() -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        await member(quiet, "old", "", "3")
        await quiet.until(lambda: running(quiet, "old"))
        await group(quiet, "g", 2)
        for name in "ab":
            await member(quiet, name, "g", "3")
        await quiet.until(lambda: message(quiet, "b"))
        assert await running(quiet, "old")
        await quiet.admin.delete(POD.ref("default", "old"))
        await quiet.until(lambda: running(quiet, "a", "b"))

    quietly(scenario, nodes=2, behaviour=SMALL)


def test_two_groups_that_fit_only_one_after_the_other_do_not_lock_each_other() -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        for name in ("one", "two"):
            await group(quiet, name, 2)
        for number in range(2):
            for name in ("one", "two"):
                await member(quiet, f"{name}-{number}", name, "3")
        await quiet.until(lambda: enough(quiet, 2))
        await quiet.world.sleep(30)
        (first, second) = [it.metadata.labels[LABEL] for it in await quiet.pods()]
        assert first == second
        other = {"one": "two", "two": "one"}[first]
        for number in range(2):
            await quiet.admin.delete(POD.ref("default", f"{first}-{number}"))
        await quiet.until(lambda: running(quiet, f"{other}-0", f"{other}-1"))

    quietly(scenario, nodes=2, behaviour=SMALL)


def test_a_group_that_does_not_exist_is_waited_for_and_without_the_kind_there_are_none() -> None:
    async def scenario(quiet: Quiet) -> None:
        await member(quiet, "before", "g", "1")
        await quiet.until(lambda: running(quiet, "before"))
        await define(quiet)
        await quiet.world.sleep(2)
        await member(quiet, "a", "g", "1")
        await quiet.until(lambda: message(quiet, "a"))
        assert await message(quiet, "a") == (
            "0/3 nodes are available: PodGroup not found. not found"
        )
        await group(quiet, "g", 2)
        await quiet.until(lambda: running(quiet, "before", "a"))

    quietly(scenario, behaviour=SMALL)


def test_a_group_of_the_scheduler_flow_is_a_group_too() -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        await group(quiet, "g", 2)
        await member(quiet, "a", "g", "1", schedulerName="flow")
        await quiet.world.sleep(10)
        assert await running(quiet)
        await member(quiet, "b", "g", "1")
        await quiet.until(lambda: running(quiet, "a", "b"))

    quietly(scenario, behaviour=SMALL)


def test_a_definition_of_another_shape_harms_nobody() -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        await quiet.create(GROUP, "g", spec={"minMember": "many"})
        await quiet.create(GROUP, "h", spec={"minMember": -1})
        await member(quiet, "a", "g", "1")
        await member(quiet, "b", "h", "1")
        await quiet.until(lambda: running(quiet, "a", "b"))

    quietly(scenario, behaviour=SMALL)


async def important(quiet: Quiet) -> None:
    for name, value in (("low", 1), ("high", 1000)):
        await quiet.create(PRIORITYCLASS, name, value=value)


async def is_there(quiet: Quiet, name: str) -> bool:
    found = await quiet.admin.get(POD.ref("default", name))
    return found.metadata.deletion_timestamp is None


def test_a_group_takes_the_places_of_less_important_pods_for_all_that_it_needs() -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        await important(quiet)
        for number in range(2):
            await member(quiet, f"old-{number}", "", "3", priorityClassName="low")
        await quiet.until(lambda: running(quiet, "old-0", "old-1"))
        await group(quiet, "g", 2)
        for name in "ab":
            await member(quiet, name, "g", "3", priorityClassName="high")
        await quiet.until(lambda: running(quiet, "a", "b"), within=30)
        reasons = [reason for reason, _ in await quiet.events("Pod")]
        assert reasons.count("Preempted") == 2

    quietly(scenario, nodes=2, behaviour=SMALL)


def test_a_group_for_which_even_that_is_too_little_drives_nobody_away() -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        await important(quiet)
        await member(quiet, "old", "", "3", priorityClassName="low")
        await member(quiet, "equal", "", "3", priorityClassName="high")
        await quiet.until(lambda: running(quiet, "old", "equal"))
        await group(quiet, "g", 2)
        for name in "ab":
            await member(quiet, name, "g", "3", priorityClassName="high")
        await quiet.until(lambda: message(quiet, "a"))
        await quiet.until(lambda: message(quiet, "b"))
        await quiet.world.sleep(30)
        assert await running(quiet, "old", "equal")
        for name in "ab":
            found = await quiet.admin.get(POD.ref("default", name))
            assert found.status.nominated_node_name == ""
        # nothing is kept for them either: others come
        await quiet.admin.delete(POD.ref("default", "old"))
        await member(quiet, "new", "", "3", priorityClassName="low")
        await quiet.until(lambda: running(quiet, "new", "equal"))

    quietly(scenario, nodes=2, behaviour=SMALL)


def test_what_the_others_of_a_group_fit_on_is_kept_until_the_victims_are_gone() -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        await important(quiet)
        await member(quiet, "old", "", "3", priorityClassName="low")
        await quiet.until(lambda: running(quiet, "old"))
        await group(quiet, "g", 2)
        for name in "ab":
            await member(quiet, name, "g", "3", priorityClassName="high")
        await quiet.until(lambda: goes(quiet, "old"))
        await member(quiet, "rival", "", "3", priorityClassName="low")
        await quiet.until(lambda: running(quiet, "a", "b"), within=30)
        assert "rival" not in {it.metadata.name for it in await quiet.pods()}

    quietly(scenario, nodes=2, behaviour=SMALL)


async def goes(quiet: Quiet, name: str) -> bool:
    return not await is_there(quiet, name)


def test_a_group_drives_none_of_its_own_away() -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        await important(quiet)
        await group(quiet, "g", 1)
        await member(quiet, "first", "g", "3", priorityClassName="low")
        await quiet.until(lambda: running(quiet, "first"))
        await quiet.admin.patch(GROUP.ref("default", "g"), {"spec": {"minMember": 2}})
        await member(quiet, "second", "g", "3", priorityClassName="high")
        await quiet.until(lambda: message(quiet, "second"))
        await quiet.world.sleep(20)
        assert await is_there(quiet, "first")

    quietly(scenario, nodes=1, behaviour=SMALL)


def test_a_group_whose_policy_is_never_drives_nobody_away() -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        await important(quiet)
        await quiet.create(PRIORITYCLASS, "meek", value=1000, preemptionPolicy="Never")
        await member(quiet, "old", "", "3", priorityClassName="low")
        await quiet.until(lambda: running(quiet, "old"))
        await group(quiet, "g", 2)
        for name in "ab":
            await member(quiet, name, "g", "3", priorityClassName="meek")
        await quiet.until(lambda: message(quiet, "b"))
        await quiet.world.sleep(20)
        assert await is_there(quiet, "old")

    quietly(scenario, nodes=2, behaviour=SMALL)


def test_a_group_waits_until_all_that_it_asks_for_is_free_in_the_cluster() -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        await member(quiet, "old", "", "3")
        await quiet.until(lambda: running(quiet, "old"))
        asked = {"cpu": "6", "memory": "1Gi", "nonsense": "much"}
        await quiet.create(GROUP, "g", spec={"minMember": 1, "minResources": asked})
        await member(quiet, "a", "g", "1")
        await quiet.until(lambda: message(quiet, "a"))
        text = "0/2 nodes are available: resource gap: cpu: 1000. not found"
        assert await message(quiet, "a") == text
        await quiet.world.sleep(20)
        assert await running(quiet, "old")
        await quiet.admin.delete(POD.ref("default", "old"))
        await quiet.until(lambda: running(quiet, "a"), within=20)
        # what its own pods have is theirs: the next one is not kept waiting by it
        await quiet.admin.patch(GROUP.ref("default", "g"), {"spec": {"minMember": 3}})
        for name in "bc":
            await member(quiet, name, "g", "3")
        await quiet.until(lambda: running(quiet, "a", "b", "c"), within=20)

    quietly(scenario, nodes=2, behaviour=SMALL)


def test_a_group_that_asks_for_less_than_before_is_tried_again() -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        asked = {"minMember": 1, "minResources": {"cpu": "100"}}
        await quiet.create(GROUP, "g", spec=asked)
        await member(quiet, "a", "g", "1")
        await quiet.until(lambda: message(quiet, "a"))
        await quiet.world.sleep(20)
        less = {"spec": {"minResources": {"cpu": "2"}}}
        await quiet.admin.patch(GROUP.ref("default", "g"), less)
        await quiet.until(lambda: running(quiet, "a"), within=20)

    quietly(scenario, nodes=2, behaviour=SMALL)


async def phase(quiet: Quiet, wanted: str) -> Any:
    document = await quiet.admin.read(f"{GROUPS}/default/podgroups/g")
    status = document.get("status", {})
    return status if status.get("phase") == wanted else None


@pytest.mark.parametrize("subresource", [True, False])
def test_a_group_tells_its_phase_and_how_its_pods_fare(subresource: bool) -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet, {"subresources": {"status": {}}} if subresource else {})
        await group(quiet, "g", 2)
        await quiet.until(lambda: phase(quiet, "Pending"))
        marks = {"steersman.dev/run-for": "20s"}
        for name in "ab":
            container = {"name": "c", "image": "i:1"}
            metadata = {"labels": {LABEL: "g"}, "annotations": marks}
            spec = {"containers": [container], "restartPolicy": "Never"}
            await quiet.create(POD, name, spec=spec, metadata=metadata)
        status = await quiet.until(lambda: phase(quiet, "Running"))
        assert status["running"] == 2
        status = await quiet.until(lambda: phase(quiet, "Finished"))
        assert (status["running"], status["succeeded"], status["failed"]) == (0, 2, 0)

    quietly(scenario)


def test_a_pod_that_is_labelled_later_counts_for_its_group_from_then_on() -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        await group(quiet, "g", 1)
        await member(quiet, "late", "", "1")
        await quiet.until(lambda: running(quiet, "late"))
        assert await phase(quiet, "Pending")
        ref = POD.ref("default", "late")
        await quiet.admin.patch(ref, {"metadata": {"labels": {LABEL: "g"}}})
        assert (await quiet.until(lambda: phase(quiet, "Running")))["running"] == 1
        await quiet.admin.patch(ref, {"metadata": {"labels": {LABEL: None}}})
        await quiet.until(lambda: phase(quiet, "Pending"))

    quietly(scenario)


class Together:
    """Sees every commit; notes which pods of which group have been bound."""

    def __init__(self) -> None:
        self.bound: dict[str, set[str]] = {}

    def see(self, resource: Resource, _namespace: str, name: str, new: Document | None) -> None:
        if resource != PODS or new is None:
            return
        named = new["metadata"].get("labels", {}).get(LABEL)
        if named and new["spec"].get("nodeName"):
            self.bound.setdefault(named, set()).add(name)


@pytest.mark.parametrize("seed", range(8))
def test_in_a_storm_groups_are_bound_whole_or_not_at_all_in_the_end(seed: int) -> None:
    """Three groups of two pods that fill a node each, on four nodes: two groups can be there.
    A binding that is lost can part a group for a while, never for ever."""
    seen = Together()

    async def main(world: SimulatedWorld) -> None:
        weather = Weather()
        async with control_plane(world, weather, seen.see) as plane:
            plane.run_controllers(EVERYBODY)
            plane.run_scheduler()
            plane.run_nodes(4, SMALL)
            quiet = Quiet(plane, world)
            await quiet.until(lambda: ready(quiet, 4))
            await define(quiet)
            weather.lose_request = weather.lose_answer = (0.0, 0.1, 0.3)[seed % 3]
            weather.slow_watch = (0.0, 2.0)[seed % 2]
            weather.slow_call = (0.0, 0.3)[seed // 2 % 2]
            weather.crash_every = (0, 11, 23)[seed // 3 % 3]
            for number in range(3):
                await group(quiet, f"g{number}", 2)
            for number in range(6):
                await member(quiet, f"p{number}", f"g{number % 3}", "3")
                await world.sleep((0.1, 2.0)[seed % 2])
            await world.sleep(30)
            weather.calm()
            await quiet.until(lambda: enough(quiet, 4), within=400)
            assert sorted(len(names) for names in seen.bound.values()) == [2, 2]
            done = {it.metadata.labels[LABEL] for it in await quiet.pods()}
            if len(done) != 2:
                raise Broken(f"groups are parted: {done}")

    simulate(seed, main)
