"""A simulated node that is refused at first is not overtaken by a clock that jumps."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
import pytest

from steersman.client.interface import Client, Views
from steersman.model.errors import Forbidden
from steersman.model.kinds.lease import LEASE
from steersman.model.kinds.node import NODE, Node
from steersman.node.simulated.heartbeats import Heartbeats, retry_after
from steersman.world.virtual import HELD_SECONDS, VirtualWorld
from virtual_time import START, advance, virtually

DAY = 86400.0


class Refusing:
    """A client that is refused so many times, and the copy of one node."""

    def __init__(self, world: VirtualWorld, refusals: int) -> None:
        self.world = world
        self.refusals = refusals
        self.leases_at: list[float] = []
        self.tries = 0

    async def patch(self, ref: Any, patch: Any, **_: Any) -> None:
        self.tries += 1
        if self.tries <= self.refusals:
            raise Forbidden("not yet")
        if ref.kind == LEASE.resource:
            self.leases_at.append(self.world.now())

    def of(self, kind: Any) -> Any:
        assert kind is NODE
        return self

    def get(self, ref: Any) -> Node:
        return msgspec.convert({"metadata": {"name": ref.name, "uid": "u"}}, Node)


async def a_day_later(world: VirtualWorld, refusals: int) -> Refusing:
    """Returns what a node did that was added just before a day went by."""
    cluster = Refusing(world, refusals)
    client, views = cast(Client, cluster), cast(Views, cluster)
    beats = Heartbeats(lambda _: client, views, world, written=False)
    async with world.tasks() as group:
        working = group.start(beats.run(), name="heartbeats")
        beats.add("n", "10.0.0.1")
        await advance(world, DAY)
        working.cancel()
    return cluster


@pytest.mark.parametrize("refusals", [0, 1, 3])
def test_the_clock_jumps_after_a_node_that_was_refused_has_its_lease(refusals: int) -> None:
    async def main(world: VirtualWorld) -> None:
        cluster = await a_day_later(world, refusals)
        assert cluster.leases_at[0] == START

    virtually(main)


def test_a_node_that_goes_on_being_refused_does_not_stop_the_clock() -> None:
    async def main(world: VirtualWorld) -> None:
        async with asyncio.timeout(20):
            cluster = await a_day_later(world, 10**9)
        assert world.now() == START + DAY
        assert cluster.leases_at == []
        assert cluster.tries > 3

    virtually(main)


def test_pauses_grow_beyond_what_holds_a_clock_and_no_further() -> None:
    pauses = [retry_after(failures) for failures in range(3000)]
    assert pauses == sorted(pauses)
    assert pauses[0] <= 0.1
    assert HELD_SECONDS < pauses[-1] <= 5
