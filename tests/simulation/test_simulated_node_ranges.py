"""Ranges of pods' addresses on a whole control plane: every node has one, its pods are in it."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import msgspec
import pytest

from controlled import FACTS
from simulation.control_plane import control_plane
from simulation.faults import Weather
from simulation.quiet import Quiet, pod_template, quietly, ready
from steersman.controllers.choice import Choice, PodRange
from steersman.controllers.registry import Facts, controllers
from steersman.model.errors import Invalid
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD
from steersman.node.simulated.behaviour import Behaviour
from steersman.world.simulated import SimulatedWorld, simulate

STORM_SECONDS = 20.0
BRIDGE = "10.244.1.0/24"


def facts(range_: str) -> Facts:
    choice = Choice(pods=(PodRange(range_, 24),))
    return msgspec.structs.replace(FACTS, choice=choice, pods=BRIDGE)


def with_ranges(scenario: Any, range_: str, *, nodes: int, faults: float = 0.0) -> None:
    """Runs a scenario with controllers that give nodes ranges."""

    async def main(world: SimulatedWorld) -> None:
        weather = Weather(lose_request=faults, lose_answer=faults, crash_every=50 if faults else 0)
        async with control_plane(world, weather, lambda *_: None) as plane:
            plane.run_controllers(controllers(facts(range_)))
            plane.run_scheduler()
            plane.run_nodes(nodes, Behaviour())
            quiet = Quiet(plane, world)
            if faults:
                await world.sleep(STORM_SECONDS)
                weather.calm()
            await quiet.until(lambda: ready(quiet, nodes))
            await scenario(quiet)

    simulate(1, main)


async def ranges(quiet: Quiet) -> dict[str, str]:
    found = (await quiet.admin.list(NODE)).items
    return {it.metadata.name: it.spec.pod_cidr for it in found}


async def all_have_one(quiet: Quiet, number: int) -> dict[str, str] | None:
    found = await ranges(quiet)
    return found if len(found) == number and all(found.values()) else None


def test_every_node_has_a_range_of_its_own_and_its_pods_are_in_it() -> None:
    async def scenario(quiet: Quiet) -> None:
        found = await quiet.until(lambda: all_have_one(quiet, 20))
        assert len(set(found.values())) == 20
        for text in found.values():
            assert ip_network(text).subnet_of(ip_network("10.244.0.0/16"))  # type: ignore[arg-type]
            assert text != BRIDGE
        labels = {"app": "web"}
        spec = {"replicas": 20, "selector": {"matchLabels": labels}}
        await quiet.create(DEPLOYMENT, "web", spec={**spec, "template": pod_template(labels)})
        await quiet.until(lambda: count(quiet, 20))
        for pod in await quiet.pods():
            own = ip_network(found[pod.spec.node_name])
            assert ip_address(pod.status.pod_ip) in own

    with_ranges(scenario, "10.244.0.0/16", nodes=20)


async def count(quiet: Quiet, number: int) -> bool:
    return len(await quiet.pods()) == number


def test_a_node_that_comes_when_all_are_given_waits_for_one_that_goes() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.until(lambda: all_have_one(quiet, 3))
        await quiet.create(NODE, "late", metadata={"labels": {"steersman.dev/simulated": "true"}})
        await quiet.world.sleep(10)
        assert (await ranges(quiet))["late"] == ""
        told = [reason for reason, _ in await quiet.events("Node")]
        assert "CIDRNotAvailable" in told
        gone = (await ranges(quiet))["node-1"]
        await quiet.admin.delete(NODE.ref("", "node-1"))
        await quiet.until(lambda: has(quiet, "late", gone))

    # four pieces, of which one is the bridge's
    with_ranges(scenario, "10.244.0.0/22", nodes=3)


async def has(quiet: Quiet, name: str, range_: str) -> bool:
    return (await ranges(quiet))[name] == range_


def test_a_range_of_any_shape_harms_nobody_and_pods_are_in_it_where_it_has_addresses() -> None:
    async def addresses(quiet: Quiet, range_: str) -> dict[str, str]:
        named = {"metadata": {"labels": {"steersman.dev/simulated": "true"}}}
        await quiet.create(NODE, "odd", **named)
        for none in ("10.9.0.5/24", "nonsense"):
            with pytest.raises(Invalid, match=r"spec\.podCIDRs\[0\]"):
                await quiet.admin.patch(NODE.ref("", "odd"), {"spec": {"podCIDRs": [none]}})
        await quiet.admin.patch(NODE.ref("", "odd"), {"spec": {"podCIDRs": [range_]}})
        spec = {**pod_template({})["spec"], "nodeName": "odd"}
        await quiet.create(POD, "p", spec=spec)
        await quiet.world.sleep(10)
        found = {it.metadata.name: it.status.pod_ip for it in await quiet.items(POD)}
        assert (await quiet.admin.get(NODE.ref("", "odd"))).spec.pod_cidrs == (range_,)
        return found

    def given(range_: str) -> dict[str, str]:
        found: dict[str, str] = quietly(lambda quiet: addresses(quiet, range_), nodes=1)
        return found

    assert given("10.9.0.0/24") == {"p": "10.9.0.2"}
    assert given("10.9.0.5/32") == {"p": ""}


def test_in_a_storm_no_two_nodes_get_the_same_range() -> None:
    async def scenario(quiet: Quiet) -> None:
        found = await quiet.until(lambda: all_have_one(quiet, 30), within=600)
        assert len(set(found.values())) == 30

    with_ranges(scenario, "10.244.0.0/16", nodes=30, faults=0.2)
