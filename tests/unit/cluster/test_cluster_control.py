"""Posts: who has one works, who leaves one hands it over, and who waits for one goes at once."""

from __future__ import annotations

import asyncio

import pytest

from simulation.control_plane import ControlPlane, control_plane
from simulation.faults import Weather
from steersman.cluster.control import (
    ACCOUNT,
    MANAGER,
    NODE,
    READY_SECONDS,
    Post,
    groups_of,
    until_default_account,
)
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.lease import LEASE
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT
from steersman.reconcile.leader import LEASE_SECONDS, Candidate
from steersman.world.simulated import SimulatedWorld, simulate


def post(plane: ControlPlane, world: SimulatedWorld, name: str, working: list[str]) -> Post:
    async def work() -> None:
        working.append(name)
        try:
            await asyncio.Event().wait()
        finally:
            working.remove(name)

    return Post(Candidate(plane.admin, world, "post", name), work, world)


def test_who_comes_to_lead_is_told_on_the_lease() -> None:
    async def main(world: SimulatedWorld) -> None:
        async with (
            control_plane(world, Weather(), lambda *_: None) as plane,
            world.tasks() as tasks,
        ):
            one, two = (post(plane, world, name, []) for name in ("one", "two"))
            one.start(tasks)
            await world.sleep(60)
            two.start(tasks)
            await world.sleep(1)
            await one.leave()
            await world.sleep(10)
            lease = await plane.admin.get(LEASE.ref("kube-system", "post"))
            told = (await plane.admin.list(EVENT, "kube-system")).items
            assert [it.message for it in told] == ["one became leader", "two became leader"]
            assert {it.reason for it in told} == {"LeaderElection"}
            assert {it.involved_object.uid for it in told} == {lease.metadata.uid}
            await two.leave()
            tasks.stop()

    simulate(1, main)


def test_a_post_that_is_left_is_had_by_the_next_before_the_lease_runs_out() -> None:
    async def main(world: SimulatedWorld) -> None:
        working: list[str] = []
        async with (
            control_plane(world, Weather(), lambda *_: None) as plane,
            world.tasks() as tasks,
        ):
            one, two = (post(plane, world, name, working) for name in ("one", "two"))
            one.start(tasks)
            await world.sleep(1)
            two.start(tasks)
            await world.sleep(30)
            assert working == ["one"]
            await one.leave()
            assert working == []
            await world.sleep(LEASE_SECONDS / 2)
            assert working == ["two"]
            await two.leave()
            lease = await plane.admin.get(LEASE.ref("kube-system", "post"))
            assert (lease.spec.holder_identity, lease.spec.lease_transitions) == ("", 1)
            tasks.stop()

    simulate(1, main)


def test_who_waits_for_a_post_goes_without_having_had_it() -> None:
    async def main(world: SimulatedWorld) -> None:
        working: list[str] = []
        async with (
            control_plane(world, Weather(), lambda *_: None) as plane,
            world.tasks() as tasks,
        ):
            one, two = (post(plane, world, name, working) for name in ("one", "two"))
            one.start(tasks)
            await world.sleep(1)
            two.start(tasks)
            await world.sleep(1)
            began = world.now()
            await two.leave()
            assert world.now() == began
            assert working == ["one"]
            await one.leave()
            tasks.stop()

    simulate(1, main)


def test_parts_are_in_the_groups_of_their_kind() -> None:
    assert groups_of(MANAGER) == ("system:authenticated",)
    assert groups_of(f"{NODE}one") == ("system:nodes", "system:authenticated")
    assert groups_of(f"{ACCOUNT}job-controller") == (
        "system:serviceaccounts",
        "system:serviceaccounts:kube-system",
        "system:authenticated",
    )


@pytest.mark.parametrize("at", [0.0, 5.0])
def test_a_cluster_is_ready_when_pods_can_be_created(at: float) -> None:
    async def main(world: SimulatedWorld) -> None:
        async with (
            control_plane(world, Weather(), lambda *_: None) as plane,
            world.tasks() as tasks,
        ):

            async def later() -> None:
                await world.sleep(at)
                for name in ("other", "default"):
                    document = {"metadata": {"name": name}}
                    await plane.admin.create(SERVICEACCOUNT, document, namespace="default")
                    await world.sleep(1)

            began = world.now()
            tasks.start(later(), name="later")
            await until_default_account(plane.admin, world)
            assert world.now() - began == pytest.approx(at + 1)
            await until_default_account(plane.admin, world)  # it is there already
            assert world.now() - began == pytest.approx(at + 1)

    simulate(1, main)


def test_a_cluster_in_which_no_pod_can_be_created_is_not_waited_for_for_ever() -> None:
    async def main(world: SimulatedWorld) -> None:
        async with control_plane(world, Weather(), lambda *_: None) as plane:
            began = world.now()
            with pytest.raises(TimeoutError):
                await until_default_account(plane.admin, world)
            assert world.now() - began == pytest.approx(READY_SECONDS)

    simulate(1, main)
