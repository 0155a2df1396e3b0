"""Simulated nodes: leases that are not written, nodes that come by their label and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable
from typing import Any

import pytest

from simulation.quiet import Quiet, pod_template, quietly, ready
from steersman.model.errors import NotFound
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.lease import LEASE, RENEWS_EVERY, renews_itself
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD
from steersman.node.simulated.addresses import Addresses
from steersman.node.simulated.heartbeats import BUNCH_SECONDS, RENEW_SECONDS
from steersman.node.simulated.reading import DEAD
from steersman.node.simulated.render import SIMULATED

HOUR, WEEK = 3600.0, 7 * 86400.0


async def lease_of(quiet: Quiet, name: str) -> Any:
    return await quiet.admin.get(LEASE.ref("kube-node-lease", name))


async def is_unknown(quiet: Quiet, name: str) -> bool:
    node = await quiet.admin.get(NODE.ref("", name))
    return any(it.type == "Ready" and it.status == "Unknown" for it in node.status.conditions)


async def deploy(quiet: Quiet, replicas: int) -> None:
    labels = {"app": "web"}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}}
    await quiet.create(DEPLOYMENT, "web", spec={**spec, "template": pod_template(labels)})

    async def all_ready() -> bool:
        return len(await quiet.pods()) == replicas

    await quiet.until(all_ready)


def test_nodes_whose_leases_renew_themselves_stay_ready_and_write_nothing() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.world.sleep(2 * HOUR)  # by then nobody speaks of their coming any more
        before = (await quiet.admin.list(NODE)).revision
        await quiet.world.sleep(WEEK)
        assert (await quiet.admin.list(NODE)).revision == before
        assert await ready(quiet, 3)
        lease = await lease_of(quiet, "node-0")
        assert renews_itself(lease)
        assert 0 <= quiet.world.now() - lease.spec.renew_time.timestamp() <= 10
        (owner,) = lease.metadata.owner_references
        assert (owner.kind, owner.name) == ("Node", "node-0")

    quietly(scenario, written=False)


def test_a_lease_that_is_written_from_now_on_says_no_more_that_it_renews_itself() -> None:
    async def scenario(quiet: Quiet) -> None:
        mark = {"metadata": {"annotations": {RENEWS_EVERY: "10"}}}
        await quiet.admin.patch(LEASE.ref("kube-node-lease", "node-0"), mark)
        quiet.plane.nodes.silence("node-0")
        await quiet.world.sleep(1)
        assert renews_itself(await lease_of(quiet, "node-0"))
        quiet.plane.nodes.speak("node-0")
        await quiet.world.sleep(1)
        assert not renews_itself(await lease_of(quiet, "node-0"))

    quietly(scenario)


def test_of_many_nodes_a_few_renew_their_leases_at_once_and_each_in_its_time() -> None:
    number = 1_000

    async def renewals(quiet: Quiet) -> dict[str, float]:
        leases = await quiet.items(LEASE, "kube-node-lease")
        return {it.metadata.name: it.spec.renew_time.timestamp() for it in leases}

    async def scenario(quiet: Quiet) -> None:
        await quiet.world.sleep(3 * RENEW_SECONDS)  # of the first round not all had come
        before = await renewals(quiet)
        bunches = Counter(before.values())
        assert len(bunches) == RENEW_SECONDS / BUNCH_SECONDS
        assert set(bunches.values()) == {number / len(bunches)}
        await quiet.world.sleep(RENEW_SECONDS)
        after = await renewals(quiet)
        assert {round(after[name] - at, 3) for name, at in before.items()} == {RENEW_SECONDS}

    quietly(scenario, nodes=number)


def test_a_node_that_is_dead_from_the_start_has_no_lease_and_nobody_asks_for_it_again() -> None:
    async def scenario(quiet: Quiet) -> None:
        marks = {"labels": {SIMULATED: "true"}, "annotations": {DEAD: "true"}}
        await quiet.create(NODE, "late", metadata=marks)
        await quiet.world.sleep(10)
        assert not quiet.plane.nodes._beats._due
        leases = await quiet.items(LEASE, "kube-node-lease")
        assert [it.metadata.name for it in leases] == ["node-0"]

    quietly(scenario, nodes=1, written=False)


def test_a_node_that_dies_is_unknown_within_the_grace_period_whoever_writes_leases() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 3)
        await quiet.world.sleep(WEEK)
        began = quiet.world.now()
        quiet.plane.nodes.silence("node-1")
        await quiet.until(lambda: is_unknown(quiet, "node-1"), 120)
        assert 40 <= quiet.world.now() - began <= 61
        lease = await lease_of(quiet, "node-1")
        assert not renews_itself(lease)
        assert lease.spec.renew_time.timestamp() - began < 1
        quiet.plane.nodes.speak("node-1")
        await quiet.until(lambda: ready(quiet, 3), 60)
        assert renews_itself(await lease_of(quiet, "node-1"))

    quietly(scenario, written=False)


async def emptying(quiet: Quiet) -> dict[str, float]:
    """Returns since when each node is tainted so that it loses its pods."""
    return {
        node.metadata.name: taint.time_added.timestamp()
        for node in (await quiet.admin.list(NODE)).items
        for taint in node.spec.taints
        if taint.effect == "NoExecute"
    }


async def closed(quiet: Quiet) -> list[str]:
    """Returns the nodes that get no new pods, by name."""
    found = (await quiet.admin.list(NODE)).items
    return sorted(
        node.metadata.name
        for node in found
        if any(taint.effect == "NoSchedule" for taint in node.spec.taints)
    )


def test_nodes_of_a_zone_that_die_together_lose_their_pods_one_after_another() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 10)
        for name in ("node-1", "node-2"):
            quiet.plane.nodes.silence(name)
        await quiet.until(lambda: _equal(closed(quiet), ["node-1", "node-2"]), 120)
        assert len(await emptying(quiet)) == 1
        await quiet.until(lambda: _count(emptying(quiet), 2), 20)
        first, second = sorted((await emptying(quiet)).values())
        assert 10 <= second - first <= 11
        for name in ("node-1", "node-2"):
            quiet.plane.nodes.speak(name)
        await quiet.until(lambda: ready(quiet, 5), 60)

    quietly(scenario, nodes=5)


@pytest.mark.parametrize("which", [0, 1])
def test_a_node_that_speaks_again_while_it_waits_for_its_turn_holds_up_nobody(which: int) -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 10)
        names = ["node-1", "node-2", "node-3"]
        for name in names:
            quiet.plane.nodes.silence(name)
        await quiet.until(lambda: _equal(closed(quiet), names), 120)
        (first,) = await emptying(quiet)
        back = [name for name in names if name != first][which]
        quiet.plane.nodes.speak(back)
        lost = [name for name in names if name != back]
        await quiet.until(lambda: _equal(closed(quiet), lost), 9)
        await quiet.until(lambda: _count(emptying(quiet), 2), 20)
        assert sorted(await emptying(quiet)) == lost
        for name in lost:
            quiet.plane.nodes.speak(name)
        await quiet.until(lambda: ready(quiet, 7), 60)

    quietly(scenario, nodes=7)


def test_where_no_node_is_ready_anywhere_none_loses_its_pods() -> None:
    async def scenario(quiet: Quiet) -> None:
        names = ["node-0", "node-1", "node-2"]
        await deploy(quiet, 6)
        before = {pod.metadata.uid for pod in await quiet.pods()}
        quiet.plane.nodes.silence("node-0")
        await quiet.until(lambda: _count(emptying(quiet), 1), 120)
        for name in names[1:]:
            quiet.plane.nodes.silence(name)
        await quiet.until(lambda: _equal(closed(quiet), names), 120)
        await quiet.until(lambda: _count(emptying(quiet), 0))
        await quiet.world.sleep(600)
        assert await emptying(quiet) == {}
        assert {pod.metadata.uid for pod in await quiet.items(POD)} == before
        for name in names:
            quiet.plane.nodes.speak(name)
        await quiet.until(lambda: ready(quiet, 3), 60)
        await quiet.world.sleep(60)
        assert {pod.metadata.uid for pod in await quiet.pods()} == before

    quietly(scenario)


async def _equal(found: Awaitable[Any], wanted: Any) -> bool:
    return bool(await found == wanted)


async def _count(found: Awaitable[Any], wanted: int) -> bool:
    return len(await found) == wanted


def test_a_node_with_the_label_is_taken_on_with_its_size_and_its_taints() -> None:
    async def scenario(quiet: Quiet) -> None:
        room = {"cpu": "2", "memory": "4Gi", "pods": "5"}
        metadata = {"labels": {SIMULATED: "true", "zone": "a"}}
        taint = {"key": "only", "value": "mine", "effect": "NoSchedule"}
        status = {"capacity": room, "allocatable": room}
        spec = {"taints": [taint]}
        await quiet.create(NODE, "late", metadata=metadata, spec=spec, status=status)

        async def taken_on() -> bool:
            node = await quiet.admin.get(NODE.ref("", "late"))
            return any(it.type == "Ready" and it.status == "True" for it in node.status.conditions)

        await quiet.until(taken_on)
        node = await quiet.admin.get(NODE.ref("", "late"))
        assert node.status.allocatable == room
        assert [(it.key, it.effect) for it in node.spec.taints] == [("only", "NoSchedule")]
        addresses = [
            address.address
            for one in (await quiet.admin.list(NODE)).items
            for address in one.status.addresses
            if address.type == "InternalIP"
        ]
        assert len(addresses) == len(set(addresses)) == 2
        pod = pod_template({})["spec"]
        spec = {**pod, "nodeSelector": {"zone": "a"}, "tolerations": [{"operator": "Exists"}]}
        await quiet.create(POD, "there", spec=spec)

        async def runs() -> bool:
            found = await quiet.admin.get(POD.ref("default", "there"))
            return bool(found.status.phase == "Running")

        await quiet.until(runs)

    quietly(scenario, nodes=1)


def test_a_node_that_comes_or_goes_is_told_of_once() -> None:
    async def scenario(quiet: Quiet) -> None:
        told = [
            ("RegisteredNode", f"Node node-{it} event: Registered Node node-{it} in Controller")
            for it in range(3)
        ]

        async def is_told() -> bool:
            return sorted(await quiet.events("Node")) == sorted(told)

        await quiet.until(is_told)
        await quiet.world.sleep(600)
        assert await is_told()
        await quiet.admin.delete(NODE.ref("", "node-1"))
        text = "Node node-1 event: Removing Node node-1 from Controller"
        told.append(("RemovingNode", text))
        await quiet.until(is_told)

    quietly(scenario)


def test_a_node_that_is_deleted_is_gone_with_its_lease_and_its_pods() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 3)
        lost = (await quiet.pods())[0].spec.node_name
        await quiet.admin.delete(NODE.ref("", lost))
        await quiet.world.sleep(120)
        assert {node.metadata.name for node in (await quiet.admin.list(NODE)).items} == {
            f"node-{number}" for number in range(2)
        } ^ ({lost} if lost != "node-2" else set()) ^ ({"node-2"} if lost != "node-2" else set())
        assert all(pod.spec.node_name != lost for pod in await quiet.items(POD))
        assert len(await quiet.pods()) == 3
        try:
            await lease_of(quiet, lost)
        except NotFound:
            return
        raise AssertionError("the lease of a node that is gone is still there")

    quietly(scenario)


def test_who_is_gone_has_no_life_also_where_the_node_went_first() -> None:
    async def scenario(quiet: Quiet) -> None:
        await deploy(quiet, 3)
        await quiet.admin.delete(NODE.ref("", (await quiet.pods())[0].spec.node_name))
        await quiet.world.sleep(120)
        there = {POD.ref(*pod.key) for pod in await quiet.items(POD)}
        assert len(there) == 3
        assert set(quiet.plane.nodes._pods._lives) == there

    quietly(scenario)


def test_a_node_for_which_there_is_no_address_is_told_so_and_harms_nobody() -> None:
    async def scenario(quiet: Quiet) -> None:
        nodes = quiet.plane.nodes
        nodes._range = Addresses("172.30.0.0/30")  # two addresses behind the first
        nodes._range.hold(("172.30.0.2",))
        metadata = {"labels": {SIMULATED: "true"}}
        for name in ("late", "later"):
            await quiet.create(NODE, name, metadata=metadata)
        await quiet.world.sleep(60)
        told = [it for it in await quiet.events("Node") if it[0] == "NoAddress"]
        assert told == [("NoAddress", "no address is free in 172.30.0.0/30")] * len(told)
        assert told
        assert not await is_unknown(quiet, "node-0")
        await deploy(quiet, 2)

    quietly(scenario, nodes=1)


def test_a_running_pod_is_resized_at_once() -> None:
    async def scenario(quiet: Quiet) -> None:
        asked = {"resources": {"requests": {"cpu": "1"}}}
        container = {"name": "main", "image": "i", **asked}
        await quiet.create(POD, "p", spec={"containers": [container]})

        async def has(cpu: str) -> bool:
            (pod,) = await quiet.items(POD)
            return [it.allocated_resources for it in pod.status.container_statuses] == [
                {"cpu": cpu}
            ]

        await quiet.until(lambda: has("1"), within=60)
        more = {"spec": {"containers": [{**container, "resources": {"requests": {"cpu": "2"}}}]}}
        await quiet.admin.patch(POD.ref("default", "p"), more, subresource="resize")
        await quiet.until(lambda: has("2"), within=60)
        (pod,) = await quiet.items(POD)
        (status,) = pod.status.container_statuses
        assert status.resources.requests == {"cpu": "2"}

    quietly(scenario)
