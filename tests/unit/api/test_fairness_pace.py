"""How much begins in one turn of the loop: nobody waits for a whole flood that came before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from served import MAPS, config_map, prepare, serving
from steersman.api.access.authorization import Attributes
from steersman.api.access.settings import AccessSettings
from steersman.api.fairness.estimate import ONE
from steersman.api.fairness.seats.figures import Figures
from steersman.api.fairness.seats.level import REMEMBERED, Level
from steersman.api.fairness.seats.limits import Limits
from steersman.api.fairness.seats.pace import FEW, STARTS, TURN_SECONDS, Pace
from steersman.api.fairness.seats.queues import GUESSED_SECONDS, Flow, Occupant, Queuing
from steersman.wire.message import User
from steersman.world.simulated import SimulatedLoop, SimulatedWorld

JANE, JOHN = (User(name, ("system:authenticated",)) for name in ("jane", "john"))
GET = Attributes("get", "", "v1", "pods")


class Turns:
    """A loop that goes on when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.soon: list[Callable[[], None]] = []
        self.pace = Pace(self.soon.append, lambda: self.now)

    def turn(self) -> None:
        calls, self.soon[:] = list(self.soon), []
        for call in calls:
            call()


def level_of(turns: Turns, seats: int = 1000) -> Level:
    level = Level("l", turns.now)
    level.configure(Queuing(8, 1, 1000))
    level.limits = Limits(seats, seats, seats)
    level.set_limit(seats, turns.now)
    level.pace = turns.pace
    return level


def flow(level: Level, name: str, *hand: int) -> Flow:
    return Flow(level, name, name, hand, {}, Figures())


def wait(level: Level, of: Flow, now: float) -> Occupant:
    one = Occupant(of, ONE, JANE, GET, now)
    level.queue(one, now)
    return one


def begun(ones: list[Occupant]) -> int:
    return sum(one.started >= 0 for one in ones)


def test_a_turn_begins_with_its_first_request_and_ends_in_the_next_of_the_loop() -> None:
    turns = Turns()
    for _ in range(FEW):
        assert not turns.pace.is_late(100.0 + 10 * TURN_SECONDS * bool(turns.soon))
    turns.turn()
    for _ in range(2 * FEW):
        assert not turns.pace.is_late(100.0)
    assert len(turns.soon) == 1
    assert not turns.pace.is_late(100.0 + TURN_SECONDS - 0.001)
    assert turns.pace.is_late(100.0 + TURN_SECONDS + 0.001)
    assert len(turns.soon) == 1
    turns.turn()
    assert not turns.pace.is_late(100.0 + TURN_SECONDS + 0.001)


def test_of_those_who_wait_some_begin_in_each_turn() -> None:
    turns = Turns()
    level = level_of(turns)
    of = flow(level, "jane", 0)
    many = [wait(level, of, turns.now) for _ in range(3 * STARTS)]
    assert begun(many) == STARTS
    assert not level.fits(1)
    turns.turn()
    assert begun(many) == 2 * STARTS
    for one in many[:5]:
        level.finish(one, turns.now)
    assert begun(many) == 2 * STARTS
    turns.turn()
    assert begun(many) == 3 * STARTS
    assert level.fits(1)
    turns.turn()
    turns.turn()
    assert not turns.soon


def test_each_level_has_its_own_in_a_turn() -> None:
    turns = Turns()
    one, other = level_of(turns), level_of(turns)
    first = [wait(one, flow(one, "jane", 0), turns.now) for _ in range(2 * STARTS)]
    second = [wait(other, flow(other, "john", 0), turns.now) for _ in range(2 * STARTS)]
    assert (begun(first), begun(second)) == (STARTS, STARTS)
    turns.turn()
    assert (begun(first), begun(second)) == (2 * STARTS, 2 * STARTS)


def test_who_comes_into_a_flood_begins_in_the_next_turn() -> None:
    turns = Turns()
    level = level_of(turns)
    jane = flow(level, "jane", 0)
    many = [wait(level, jane, turns.now) for _ in range(20 * STARTS)]
    for _ in range(4):
        turns.now += 0.010
        for one in [one for one in many if one in level.executing][:STARTS]:
            level.finish(one, turns.now)
        turns.turn()
    assert begun(many) == 5 * STARTS
    one = wait(level, flow(level, "john", 5), turns.now)
    assert one.started < 0
    turns.now += 0.010
    turns.turn()
    assert one.started == turns.now


def test_what_is_under_way_counts_by_how_long_others_took() -> None:
    turns = Turns()
    level = level_of(turns, seats=1)
    of = flow(level, "jane", 0)
    first, second = Occupant(of, ONE, JANE, GET, turns.now), Occupant(of, ONE, JANE, GET, turns.now)
    level.enter(first, turns.now)
    level.queue(second, turns.now)
    turns.now += 1.0
    level.finish(first, turns.now)
    expected = GUESSED_SECONDS + (1.0 - GUESSED_SECONDS) / REMEMBERED
    assert level.guess == pytest.approx(expected)
    assert second.guess == pytest.approx(expected)


def test_waiting_for_a_turn_is_no_reason_to_be_turned_away_while_there_are_seats() -> None:
    turns = Turns()
    level = level_of(turns, seats=40)
    level.configure(Queuing(8, 1, 5))
    of = flow(level, "jane", 0)
    many = [wait(level, of, turns.now) for _ in range(50)]
    assert begun(many) == STARTS
    assert of.figures.rejected == {"queue-full": 10}


class Slow(SimulatedWorld):
    """A world in which each look at the clock takes a millisecond."""

    looked = 0

    def monotonic(self) -> float:
        self.looked += 1
        return super().monotonic() + self.looked * 0.001


def test_a_flood_that_has_seats_does_not_hold_another_up() -> None:
    async def main(world: SimulatedWorld) -> None:
        access = AccessSettings(modes=("AlwaysAllow",))
        async with serving(world, access=access) as api:
            await prepare(api)
            order: list[str] = []
            came = asyncio.Event()

            async def make(user: User, name: str) -> None:
                (await api.post(MAPS, config_map(name), user=user)).ok()
                order.append(user.name)
                came.set()

            async def read(user: User) -> None:
                (await api.get(f"{MAPS}/jane-0", user=user)).ok()
                order.append("read")

            flood = [asyncio.ensure_future(make(JANE, f"jane-{count}")) for count in range(300)]
            flow_control = api.assembly.flow.fairness
            assert flow_control is not None
            level = flow_control.configuration.levels["global-default"]
            level.set_limit(1000, world.monotonic())
            await came.wait()
            began = len(order)
            await asyncio.gather(make(JOHN, "john"), read(JOHN))
            done = len(order) - began
            await asyncio.gather(*flood)
            assert done < 8 * STARTS
            assert order.count("jane") == 300
            assert level.idle
            assert level.seats == 0

    loop = SimulatedLoop()
    try:
        loop.run_until_complete(main(Slow(1, loop)))
    finally:
        loop.close()
