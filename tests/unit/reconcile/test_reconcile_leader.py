"""Leader election: one works at a time, another takes over when the lease runs out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from simulation.control_plane import ControlPlane, control_plane
from simulation.faults import Weather
from steersman.client.client import APIClient
from steersman.model.kinds.lease import LEASE
from steersman.reconcile.leader import LEASE_SECONDS, Candidate, Lost
from steersman.world.simulated import SimulatedWorld, simulate


class Stage:
    """Who leads now, and who led when."""

    def __init__(self) -> None:
        self.now: set[str] = set()
        self.history: list[tuple[str, float]] = []

    async def lead(self, name: str, world: SimulatedWorld, seconds: float | None) -> None:
        self.now.add(name)
        assert len(self.now) == 1, "two lead"
        self.history.append((name, world.now()))
        try:
            await (asyncio.sleep(seconds) if seconds else asyncio.Event().wait())
        finally:
            self.now.discard(name)


def candidate(plane: ControlPlane, world: SimulatedWorld, name: str, weather: Weather) -> Candidate:
    plane.weather = weather
    client = APIClient(
        plane.faulty("system:serviceaccount:kube-system:test-controller", None), world
    )
    return Candidate(client, world, "steersman", name)


def test_the_second_takes_over_when_the_first_stops_renewing() -> None:
    async def main(world: SimulatedWorld) -> Any:
        stage, bad = Stage(), Weather()
        async with control_plane(world, Weather(), lambda *_: None) as plane:
            one = candidate(plane, world, "one", bad)
            two = candidate(plane, world, "two", Weather())
            first = asyncio.ensure_future(one.lead(lambda: stage.lead("one", world, None)))
            await world.sleep(5)
            second = asyncio.ensure_future(two.lead(lambda: stage.lead("two", world, None)))
            await world.sleep(60)
            assert [name for name, _ in stage.history] == ["one"]
            cut = world.now()
            bad.lose_request = 1.0
            with pytest.raises(Lost):
                await first
            assert world.now() - cut < LEASE_SECONDS
            await world.sleep(30)
            assert [name for name, _ in stage.history] == ["one", "two"]
            assert LEASE_SECONDS - 3 <= stage.history[1][1] - cut <= LEASE_SECONDS + 6
            lease = await plane.admin.get(LEASE.ref("kube-system", "steersman"))
            assert (lease.spec.holder_identity, lease.spec.lease_transitions) == ("two", 1)
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)

    simulate(1, main)


def test_a_leader_whose_work_ends_gives_the_lease_up_at_once() -> None:
    async def main(world: SimulatedWorld) -> Any:
        stage = Stage()
        async with control_plane(world, Weather(), lambda *_: None) as plane:
            one = candidate(plane, world, "one", Weather())
            two = candidate(plane, world, "two", Weather())
            first = asyncio.ensure_future(one.lead(lambda: stage.lead("one", world, 20.0)))
            await world.sleep(1)
            await asyncio.gather(first, two.lead(lambda: stage.lead("two", world, 1.0)))
            (_, began), (_, took) = stage.history
            assert took - began < 20 + 5

    simulate(1, main)


def test_a_leader_whose_work_ends_leaves_the_lease_to_who_has_it_since() -> None:
    async def main(world: SimulatedWorld) -> None:
        stage, ref = Stage(), LEASE.ref("kube-system", "steersman")
        async with control_plane(world, Weather(), lambda *_: None) as plane:
            one = candidate(plane, world, "one", Weather())
            work = asyncio.ensure_future(one.lead(lambda: stage.lead("one", world, 1.0)))
            await world.sleep(0.5)
            await plane.admin.patch(ref, {"spec": {"holderIdentity": "two"}})
            await work
            assert (await plane.admin.get(ref)).spec.holder_identity == "two"

    simulate(1, main)


def test_what_ends_the_work_is_told_to_who_wanted_to_lead() -> None:
    async def fail() -> None:
        raise ValueError("a mistake")

    async def main(world: SimulatedWorld) -> None:
        async with control_plane(world, Weather(), lambda *_: None) as plane:
            with pytest.raises(ExceptionGroup) as raised:
                await candidate(plane, world, "one", Weather()).lead(fail)
            assert raised.value.subgroup(ValueError) is not None

    simulate(1, main)


def test_a_renewal_keeps_since_when_one_leads_and_what_others_noted_on_the_lease() -> None:
    async def main(world: SimulatedWorld) -> None:
        stage, ref = Stage(), LEASE.ref("kube-system", "steersman")
        async with control_plane(world, Weather(), lambda *_: None) as plane:
            one = candidate(plane, world, "one", Weather())
            work = asyncio.ensure_future(one.lead(lambda: stage.lead("one", world, None)))
            await world.sleep(1)
            first = (await plane.admin.get(ref)).spec
            notes = {"labels": {"team": "a"}, "annotations": {"note": "b"}}
            await plane.admin.patch(ref, {"metadata": notes})
            await world.sleep(10)
            lease = await plane.admin.get(ref)
            assert (lease.spec.acquire_time, lease.spec.lease_transitions) == (
                first.acquire_time,
                0,
            )
            assert 8 <= (lease.spec.renew_time - first.renew_time).total_seconds() <= 11
            assert dict(lease.metadata.labels) == notes["labels"]
            assert dict(lease.metadata.annotations) == notes["annotations"]
            assert lease.spec.lease_duration_seconds == LEASE_SECONDS
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    simulate(1, main)
