"""What writes on their way hold of quotas, and for how long."""

from __future__ import annotations

from steersman.api.admission.quota_holds import Hold, Holds
from steersman.api.cache import Table
from steersman.model.quantity import parse
from steersman.model.ref import Resource
from steersman.store.interface import Record
from steersman.world.simulated import SimulatedWorld, simulate


def test_an_abandoned_write_is_held_until_it_shows_or_thirty_seconds_are_over() -> None:
    async def main(world: SimulatedWorld) -> None:
        table, holds = Table(Resource("", "pods")), Holds(world)
        one, other = (
            Hold(table, "default", name, 0, {"q": {"pods": parse("1")}}) for name in ("a", "b")
        )
        holds.put(one)
        holds.put(other)
        holds.abandon(one)
        holds.abandon(other)
        assert str(holds.exactly("q")["pods"]) == "2"
        table.change(Record("k", b"{}", 5, 5), "default", "a")
        assert str(holds.exactly("q")["pods"]) == "1"
        over = Hold(table, "default", "c", 0, {"q": {"pods": parse("1")}})
        holds.put(over)
        holds.settle(over)  # and what shows is let go of with it
        assert len(holds) == 1 and str(holds.most("q")["pods"]) == "1"
        await world.sleep(29)
        assert str(holds.exactly("q")["pods"]) == "1"
        await world.sleep(2)
        assert holds.exactly("q") == {}
        last = Hold(table, "default", "c", 0, {"q": {"pods": parse("1")}})
        holds.put(last)
        holds.settle(last)
        assert len(holds) == 0 and str(holds.most("q")["pods"]) == "0"

    simulate(1, main)
