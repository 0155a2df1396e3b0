"""One priority level: seats, queues, and who is next."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from steersman.api.access.authorization import Attributes
from steersman.api.fairness.estimate import ONE, Estimate
from steersman.api.fairness.seats.figures import Figures
from steersman.api.fairness.seats.level import Level
from steersman.api.fairness.seats.limits import Limits
from steersman.api.fairness.seats.queues import Flow, Occupant, Queuing
from steersman.wire.message import User

JANE = User("jane")
GET = Attributes("get", "", "v1", "pods")


class Case:
    """A level of some seats, a clock that the test moves, and who was woken."""

    def __init__(self, seats: int, queuing: Queuing | None = None) -> None:
        self.now = 100.0
        self.level = Level("l", self.now)
        self.level.configure(Queuing(4, 1, 50) if queuing is None else queuing)
        self.level.limits = Limits(seats, seats, seats)
        self.level.set_limit(seats, self.now)
        self.begun: list[str] = []

    def flow(self, name: str, *hand: int) -> Flow:
        return Flow(self.level, name, name, hand, {}, Figures())

    def ask(self, flow: Flow, estimate: Estimate = ONE) -> Occupant:
        one = Occupant(flow, estimate, JANE, GET, self.now)
        one.wake = lambda: self.begun.append(flow.schema)
        if self.level.fits(one.seats):
            self.level.enter(one, self.now)
        else:
            self.level.queue(one, self.now)
        return one

    def end(self, *ones: Occupant, seconds: float = 0.003) -> None:
        self.now += seconds
        for one in ones:
            self.level.finish(one, self.now)


def running(ones: Sequence[Occupant]) -> list[Occupant]:
    return [one for one in ones if one.started >= 0]


def test_what_finds_a_seat_begins_and_the_rest_waits_in_order() -> None:
    case = Case(2)
    mine = case.flow("mine", 0)
    ones = [case.ask(mine) for _ in range(4)]
    assert running(ones) == ones[:2]
    assert (case.level.seats, case.level.waiting, case.level.open) == (2, 2, False)
    case.end(ones[1])
    assert running(ones) == ones[:3]
    case.end(ones[0], ones[2], ones[3])
    assert case.begun == ["mine", "mine"]
    assert case.level.idle
    assert case.level.open
    assert (case.level.seats, case.level.seats_waiting) == (0, 0)
    assert mine.figures.dispatched == 4
    assert mine.figures.waited.count == 2
    assert mine.figures.waiting == mine.figures.seats_waiting == 0


def test_a_flow_that_floods_does_not_keep_another_from_its_share() -> None:
    case = Case(10, Queuing(64, 6, 100))
    flood = case.flow("flood", 0, 1, 2, 3, 4, 5)
    many = [case.ask(flood) for _ in range(510)]
    assert case.level.waiting == 500
    other = [case.ask(case.flow("other", 10, 11, 12, 13, 14, 15)) for _ in range(6)]
    assert not running(other)
    ended = 0
    while not all(one.started >= 0 for one in other):
        case.end(next(one for one in many if one in case.level.executing))
        ended += 1
    # twelve queues take turns: after as many as there are, each has had its own
    assert ended <= 12
    assert len(running(many)) - 10 <= 12


def test_one_request_of_another_flow_is_next_but_for_the_floods_own_turns() -> None:
    case = Case(4, Queuing(8, 2, 500))
    many = [case.ask(case.flow("flood", 0, 1)) for _ in range(504)]
    case.now += 0.001
    one = case.ask(case.flow("other", 5, 6))
    for ended in range(3):
        if one.started >= 0:
            break
        case.end(many[ended])
    assert one.started >= 0


def test_who_holds_seats_when_others_begin_to_wait_is_behind_them() -> None:
    case = Case(3)
    flood = case.flow("flood", 0)
    many = [case.ask(flood) for _ in range(5)]
    one = case.ask(case.flow("other", 1))
    case.end(many[0])
    assert case.begun == ["other"]
    assert one.started >= 0


def test_a_long_request_costs_its_flow_more_than_a_short_one() -> None:
    case = Case(2)
    slow, quick = case.flow("slow", 0), case.flow("quick", 1)
    first, second = case.ask(slow), case.ask(quick)
    for flow in (slow, quick, slow, quick):
        case.ask(flow)
    case.end(second, seconds=0.001)
    case.end(first, seconds=1.0)
    assert case.begun == ["quick", "quick"]


def test_a_queue_has_an_end_and_says_so() -> None:
    case = Case(1, Queuing(2, 1, 3))
    mine = case.flow("mine", 0)
    ones = [case.ask(mine) for _ in range(4)]
    assert case.level.waiting == 3
    one = Occupant(mine, ONE, JANE, GET, case.now)
    assert case.level.queue(one, case.now) == "queue-full"
    assert mine.figures.rejected == {"queue-full": 1}
    assert (case.level.rejected, case.level.waiting) == (1, 3)
    other = Occupant(case.flow("other", 1), ONE, JANE, GET, case.now)
    assert not case.level.queue(other, case.now)
    case.end(ones[0])
    assert case.level.waiting == 3


def test_a_flow_joins_the_shortest_queue_of_its_hand() -> None:
    case = Case(1)
    case.ask(case.flow("a", 0))
    wide = Estimate(3)
    case.ask(case.flow("a", 1), wide)
    case.ask(case.flow("a", 2))
    mine = case.flow("mine", 1, 2, 3)
    joined = [case.ask(mine).queue for _ in range(3)]
    assert sorted(queue.index for queue in joined if queue) == [2, 3, 3]


def test_without_queues_what_finds_no_seat_is_turned_away() -> None:
    case = Case(2)
    case.level.configure(Queuing())
    mine = case.flow("mine")
    ones = [case.ask(mine) for _ in range(3)]
    assert len(running(ones)) == 2
    assert mine.figures.rejected == {"concurrency-limit": 1}
    assert case.level.waiting == 0
    assert not case.level.open
    case.end(ones[0])
    assert case.level.open
    assert case.ask(mine).started >= 0


def test_a_wide_request_waits_until_there_is_room_and_nobody_passes_it() -> None:
    case = Case(4)
    small, wide = case.flow("small", 0), case.flow("wide", 1)
    ones = [case.ask(small) for _ in range(2)]
    big = case.ask(wide, Estimate(3))
    case.now += 1
    later = case.ask(case.flow("later", 2))
    assert not running([big, later])
    assert case.level.seats_waiting == 4
    assert wide.figures.unaccommodated == 2
    case.end(ones[0])
    assert running([big, later]) == [big]
    assert case.level.seats == 4
    case.end(ones[1])
    assert running([big, later]) == [big, later]


def test_what_wants_more_seats_than_there_are_is_served_alone() -> None:
    case = Case(2)
    mine = case.flow("mine", 0)
    first = case.ask(mine)
    huge = case.ask(mine, Estimate(5))
    assert huge.started < 0
    case.end(first)
    assert huge.started >= 0
    assert case.level.seats == 5
    case.end(huge)
    assert case.ask(mine, Estimate(5)).started >= 0


def test_seats_that_are_wanted_after_the_answer_are_held_that_long() -> None:
    case = Case(3)
    mine = case.flow("mine", 0)
    one = case.ask(mine, Estimate(1, 3, 0.05))
    assert one.seats == 3
    waits = case.ask(mine)
    case.end(one)
    assert (case.level.seats, waits.started) == (3, -1.0)
    assert one not in case.level.executing
    case.now += 0.05
    case.level.release(one, case.now)
    assert waits.started == case.now
    assert case.level.seats == 1
    assert not case.level.lingering


def test_what_is_wanted_after_the_answer_is_made_to_fit() -> None:
    case = Case(2)
    mine = case.flow("mine", 0)
    first = case.ask(mine)
    one = case.ask(mine, Estimate(1, 4, 0.01))
    case.end(first)
    assert one.started >= 0
    assert one.estimate == Estimate(1, 2, 0.02)
    assert case.level.seats == 2


@pytest.mark.parametrize("late", [True, False])
def test_who_waits_no_longer_leaves_no_trace(late: bool) -> None:
    case = Case(1)
    mine = case.flow("mine", 0)
    first, gone, last = (case.ask(mine) for _ in range(3))
    case.now += 15
    case.level.withdraw(gone, case.now, late=late)
    assert mine.figures.rejected == {"time-out": 1}
    assert (case.level.timed_out, case.level.cancelled) == ((1, 0) if late else (0, 1))
    assert (case.level.waiting, case.level.seats_waiting, mine.figures.waiting) == (1, 1, 1)
    assert mine.figures.given_up.sum == 15
    case.end(first)
    assert (gone.started, last.started) == (-1.0, case.now)
    case.end(last)
    assert case.level.idle
    assert all(queue.work == queue.seats == 0 for queue in case.level.queues)


def test_who_withdraws_makes_room_for_those_behind() -> None:
    case = Case(3)
    first = case.ask(case.flow("a", 0))
    wide = case.ask(case.flow("b", 1), Estimate(3))
    case.now += 1
    small = case.ask(case.flow("c", 2))
    assert not running([wide, small])
    case.level.withdraw(wide, case.now, late=True)
    assert small.started >= 0
    case.end(first, small)
    assert case.level.idle


def test_more_seats_let_more_begin_and_fewer_end_nobody() -> None:
    case = Case(1)
    mine = case.flow("mine", 0)
    ones = [case.ask(mine) for _ in range(5)]
    case.level.set_limit(3, case.now)
    assert running(ones) == ones[:3]
    case.level.set_limit(1, case.now)
    case.end(ones[0], ones[1])
    assert running(ones) == ones[:3]
    case.end(ones[2])
    assert running(ones) == ones[:4]
    assert not case.level.open


def test_a_level_without_seats_serves_nobody_until_it_borrows_some() -> None:
    case = Case(0)
    one = case.ask(case.flow("mine", 0))
    assert one.started < 0
    case.level.set_limit(1, case.now)
    assert one.started >= 0


def test_fewer_queues_are_left_when_they_are_empty() -> None:
    case = Case(1, Queuing(4, 1, 50))
    first, last = case.ask(case.flow("a", 0)), case.ask(case.flow("b", 3))
    case.level.configure(Queuing(2, 1, 50))
    assert len(case.level.queues) == 4
    case.end(first)
    case.end(last)
    assert len(case.level.queues) == 2
    case.level.configure(Queuing(5, 1, 50))
    assert [queue.index for queue in case.level.queues] == [0, 1, 2, 3, 4]


def test_what_is_exempt_always_begins() -> None:
    level = Level("exempt", 0.0, exempt=True)
    flow = Flow(level, "s", "", (), {}, Figures())
    for _ in range(1000):
        assert level.fits(5)
        level.enter(Occupant(flow, Estimate(5), JANE, GET, 0.0), 0.0)
    assert level.open
    assert level.seats == 5000
    for one in list(level.executing):
        level.finish(one, 1.0)
    assert (level.seats, level.open) == (0, True)


def test_a_level_says_when_it_wants_more_than_it_keeps() -> None:
    case, pressed = Case(5), []
    case.level.limits = Limits(5, 2, 9)
    case.level.pressed = lambda: pressed.append(True)
    mine = case.flow("mine", 0)
    case.ask(mine)
    case.ask(mine)
    assert not pressed
    third = case.ask(mine)
    assert pressed == [True]
    case.level.watch_demand(case.now)
    case.now += 2
    case.ask(mine)
    case.end(third, seconds=2)
    seen = case.level.demand.reset(case.now)
    assert pressed == [True]
    assert (seen.average, seen.most) == (3.5, 4)


def test_requests_are_counted_by_how_long_they_took() -> None:
    case = Case(2)
    mine = case.flow("mine", 0)
    case.end(case.ask(mine), seconds=0.004)
    watch = Occupant(mine, ONE, JANE, GET._replace(verb="watch"), case.now)
    case.level.enter(watch, case.now)
    case.end(watch, seconds=0.3)
    assert mine.figures.regular.counts[1] == mine.figures.regular.count == 1
    assert mine.figures.begun.counts[6] == mine.figures.begun.count == 1
    assert mine.figures.begun.sum == pytest.approx(0.3)
