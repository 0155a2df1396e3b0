"""The path of a virtual clock: who may use it, what it can be told, and what it answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from served import Served, serving
from steersman.api.published.clock import PATH, ClockPath, parse
from steersman.model.errors import BadRequest, MethodNotAllowed
from steersman.wire.message import Request, User
from steersman.world.clock import Clock
from steersman.world.simulated import START, SimulatedWorld, simulate

ADMIN = User("admin", ("system:masters",))


class Told:
    """A clock behind its path, on a wire that stands."""

    def __init__(self, world: SimulatedWorld) -> None:
        self.clock = Clock(START, world.monotonic, rate=1, keep=lambda *_: None)
        self.path = ClockPath(self.clock, world)

    def ask(self, wish: Any) -> Any:
        """Tells the clock something; returns the answer's body."""
        body = wish if isinstance(wish, bytes) else json.dumps(wish).encode()
        return self.path.handle(Request("POST", PATH, body=body), ADMIN).body

    def read(self) -> Any:
        """Returns what the clock says of itself."""
        body = self.path.handle(Request("GET", PATH), ADMIN).body
        assert isinstance(body, bytes)
        return json.loads(body)

    def settle(self) -> None:
        while self.clock.idle() == 0:
            pass


def told(case: Any) -> None:
    async def main(world: SimulatedWorld) -> None:
        await case(Told(world), world)

    simulate(1, main)


def test_a_clock_says_what_it_reads() -> None:
    async def case(it: Told, world: SimulatedWorld) -> None:
        await world.sleep(3)
        assert it.read() == {"now": "2026-01-01T00:00:03Z", "rate": 1.0, "frozen": False}

    told(case)


def test_a_clock_is_frozen_resumed_and_made_faster() -> None:
    async def case(it: Told, world: SimulatedWorld) -> None:
        assert json.loads(it.ask({"rate": 60}))["rate"] == 60
        assert json.loads(it.ask({"frozen": True}))["frozen"] is True
        await world.sleep(3)
        assert it.read()["now"] == "2026-01-01T00:00:00Z"
        assert json.loads(it.ask({"frozen": False})) == {
            "now": "2026-01-01T00:00:00Z",
            "rate": 60,
            "frozen": False,
        }

    told(case)


def test_an_advance_is_answered_until_it_is_there() -> None:
    async def case(it: Told, _world: SimulatedWorld) -> None:
        lines = it.ask({"advanceSeconds": 3600})
        first = json.loads(await anext(lines))
        assert first["advancesTo"] == "2026-01-01T01:00:00Z"
        second = json.loads(await anext(lines))
        assert second == first | {"now": "2026-01-01T00:00:00Z"}, "told again after a second"
        it.settle()
        assert json.loads(await anext(lines)) == {
            "now": "2026-01-01T01:00:00Z",
            "rate": 1.0,
            "frozen": False,
        }
        assert [line async for line in lines] == []

    told(case)


def test_who_hangs_up_ends_the_advance() -> None:
    async def case(it: Told, _world: SimulatedWorld) -> None:
        lines = it.ask({"advanceTo": "2027-01-01T00:00:00Z"})
        await anext(lines)
        await lines.aclose()
        it.settle()
        assert it.read() == {"now": "2026-01-01T00:00:00Z", "rate": 1.0, "frozen": False}

    told(case)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"advanceTo": "2025-01-01T00:00:00Z"}, "it reads 2026-01-01T00:00:00Z, 2025-01-01T"),
        ({"advanceSeconds": 1e15}, "the clock ends with the year 9999"),
    ],
)
def test_a_time_that_cannot_be_reached_is_refused(wish: Any, why: str) -> None:
    async def case(it: Told, _world: SimulatedWorld) -> None:
        with pytest.raises(BadRequest, match=why):
            it.ask(wish)
        assert "advancesTo" not in it.read()

    told(case)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"rate": 1, "frozen": true}',
        b'{"rate": 0}',
        b'{"rate": -1}',
        b'{"rate": 1e9}',
        b'{"advanceSeconds": 0}',
        b'{"advanceSeconds": "1h"}',
        b'{"advanceTo": "2027-01-01T00:00:00"}',
        b'{"advanceTo": "soon"}',
        b'{"speed": 3}',
        b'{"rate": 2}' + b" " * 1024,
    ],
)
def test_what_is_no_wish_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse(body)


def test_a_clock_is_read_and_told_and_nothing_else() -> None:
    async def case(it: Told, _world: SimulatedWorld) -> None:
        with pytest.raises(MethodNotAllowed):
            it.path.handle(Request("DELETE", PATH), ADMIN)

    told(case)


def test_nobody_but_an_administrator_may_use_it_and_where_time_is_real_it_is_not_there() -> None:
    async def main(world: SimulatedWorld) -> None:
        clock = Clock(START, world.monotonic, rate=1, keep=lambda *_: None)
        viewer = User("jane", ("system:authenticated",))
        async with serving(world, clock=clock) as api:
            assert (await api.get(PATH)).code == 200
            for method in ("GET", "POST"):
                refused = await api.ask(method, PATH, {"frozen": True}, user=viewer)
                assert refused.code == 403
            assert clock.read().rate == 1
            assert (await api.post(PATH, {"frozen": True})).code == 200
            assert clock.read().rate == 0
        async with serving(world) as api:
            assert (await api.get(PATH)).code == 404

    simulate(1, main)


def test_a_server_is_busy_while_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: SimulatedWorld) -> None:
        async with serving(world) as api:
            seen = []
            commit = api.store.commit

            async def committing(*writes: Any) -> int:
                seen.append(api.assembly.busy)
                return await commit(*writes)

            monkeypatch.setattr(api.store, "commit", committing)
            await name(api)
            assert (seen, api.assembly.busy) == ([True], False)

    simulate(1, main)


async def name(api: Served) -> None:
    """Creates an object."""
    (await api.post("/api/v1/namespaces", {"metadata": {"name": "made"}})).ok()
