"""A clock that flows, jumps, stands, and never goes back or past what is due."""

from __future__ import annotations

from functools import partial

import pytest

from steersman.world.clock import AHEAD_SECONDS, END, MOST_CANCELLED, Clock, Reading

START = 1_000_000.0


class Wire:
    """Wire time that a test moves."""

    def __init__(self) -> None:
        self.time = 50.0

    def __call__(self) -> float:
        return self.time


class Made:
    """A clock, its wire, and what was written down."""

    def __init__(self, rate: float) -> None:
        self.wire = Wire()
        self.kept: list[tuple[float, float]] = []
        self.seen: list[tuple[str, float]] = []
        self.clock = Clock(START, self.wire, rate=rate, keep=lambda *it: self.kept.append(it))

    def at(self, seconds: float, name: str) -> None:
        """Has a name noted when the clock reads a time."""
        self.clock.call_at(START + seconds, lambda: self.note(name))

    def note(self, name: str) -> None:
        self.seen.append((name, self.clock.now() - START))

    def settle(self) -> float | None:
        """Lets the clock have its turns until it has nothing more to do now."""
        while (wait := self.clock.idle()) == 0:
            pass
        return wait


def test_a_clock_flows_at_its_rate() -> None:
    made = Made(60)
    made.wire.time += 2
    assert made.clock.now() == START + 120


def test_a_frozen_clock_stands_and_resumes_at_the_rate_it_had() -> None:
    made = Made(60)
    made.wire.time += 1
    made.clock.set_rate(0)
    made.wire.time += 100
    assert made.clock.now() == START + 60
    made.clock.resume()
    made.wire.time += 1
    assert made.clock.now() == START + 120


def test_a_clock_that_begins_frozen_resumes_at_one() -> None:
    made = Made(0)
    made.clock.resume()
    made.wire.time += 3
    assert made.clock.read() == Reading(START + 3, 1.0, None)


def test_a_late_turn_sees_the_time_at_which_it_was_due() -> None:
    made = Made(1)
    made.at(2, "first")
    made.at(5, "second")
    made.wire.time += 10
    assert made.clock.now() == START + 2
    made.settle()
    assert made.seen == [("first", 2), ("second", 5)]
    assert made.clock.now() == START + 10


def test_it_says_how_long_the_machine_may_wait() -> None:
    made = Made(10)
    assert made.settle() is None
    made.at(50, "due")
    assert made.settle() == pytest.approx(5)
    made.clock.set_rate(0)
    assert made.settle() is None
    assert made.seen == []


def test_an_advance_stops_at_each_time_that_is_due_and_tells_when_it_is_there() -> None:
    made = Made(0)
    for seconds, name in ((30, "c"), (10, "a"), (10, "b"), (90, "later")):
        made.at(seconds, name)
    made.clock.advance(START + 60, lambda: made.note("there"))
    assert made.clock.now() == START, "it does not jump while somebody may be at work"
    assert made.clock.read().goal == START + 60
    made.settle()
    assert made.seen == [("a", 10), ("b", 10), ("c", 30), ("there", 60)]
    assert made.clock.read() == Reading(START + 60, 0, None)


def test_what_is_asked_for_in_the_course_of_an_advance_has_its_turn_too() -> None:
    made = Made(0)

    def again() -> None:
        made.note("tick")
        made.clock.call_at(made.clock.now() + 20, again)

    made.clock.call_at(START + 20, again)
    made.clock.advance(START + 60, lambda: made.note("there"))
    made.settle()
    assert made.seen == [("tick", 20), ("tick", 40), ("tick", 60), ("there", 60)]


def test_advances_end_in_the_order_of_their_goals() -> None:
    made = Made(0)
    made.clock.advance(START + 60, lambda: made.note("far"))
    made.clock.advance(START + 30, lambda: made.note("near"))
    assert made.clock.furthest() == START + 60
    made.settle()
    assert made.seen == [("near", 30), ("far", 60)]


def test_an_advance_that_is_withdrawn_ends_where_it_is() -> None:
    made = Made(2)
    made.at(30, "near")
    made.at(60, "far")

    def arrived() -> None:
        made.note("there")

    made.clock.advance(START + 90, arrived)
    assert made.clock.idle() == 0
    made.clock.withdraw(arrived)
    made.clock.withdraw(arrived)
    made.wire.time += 5
    made.settle()
    assert made.seen == [("near", 30)]
    assert made.clock.read() == Reading(START + 40, 2, None)


def test_what_happened_until_a_reading_is_on_disk_before_the_reading_is() -> None:
    made = Made(2)
    order: list[str] = []
    made.clock.settle = lambda: order.append(
        f"{'in' if made.clock.advances() else 'after'} an advance, {len(made.kept)} kept"
    )
    made.at(30, "near")
    made.clock.advance(START + 60, lambda: order.append("arrived"))
    made.settle()
    assert order == ["in an advance, 0 kept", "after an advance, 1 kept", "arrived"]
    assert made.kept[-1] == (START + 60, 2)


@pytest.mark.parametrize("how", ["withdrawn", "frozen"])
def test_an_advance_that_ends_before_its_goal_is_written_down_as_its_end(how: str) -> None:
    made = Made(2)
    made.at(30, "near")
    ended: list[bool] = []

    def arrived() -> None:
        pass

    made.clock.advance(START + 90, arrived)
    assert made.clock.idle() == 0
    made.clock.settle = lambda: ended.append(not made.clock.advances())
    made.clock.withdraw(arrived) if how == "withdrawn" else made.clock.freeze()
    assert ended == [True]
    assert made.kept[-1] == (START + 30, 2 if how == "withdrawn" else 0)


def test_a_clock_that_is_frozen_in_the_middle_of_an_advance_stands_there() -> None:
    made = Made(2)
    made.at(30, "near")
    made.clock.advance(START + 90, lambda: made.note("told"))
    assert made.clock.idle() == 0
    made.wire.time += 50
    made.clock.freeze()
    made.settle()
    assert made.seen == [("near", 30), ("told", 30)]
    assert made.clock.read() == Reading(START + 30, 0, None)
    made.clock.resume()
    made.wire.time += 5
    assert made.clock.now() == START + 40


def test_a_rate_that_is_set_in_the_course_of_an_advance_counts_from_its_end() -> None:
    made = Made(1)
    made.clock.advance(START + 90, lambda: None)
    made.wire.time += 50
    made.clock.set_rate(10)
    assert made.clock.now() == START
    made.settle()
    made.wire.time += 1
    assert made.clock.now() == START + 100


def test_a_clock_flows_on_from_where_an_advance_ended() -> None:
    made = Made(2)
    made.clock.advance(START + 60, lambda: None)
    made.wire.time += 5
    assert made.clock.now() == START, "it flows before and after an advance, not meanwhile"
    made.settle()
    made.wire.time += 5
    assert made.clock.now() == START + 70


def test_a_clock_that_is_held_gives_nobody_a_turn() -> None:
    made = Made(0)
    made.at(10, "due")
    made.clock.advance(START + 60, lambda: made.note("there"))
    with made.clock.hold():
        assert made.clock.idle() is None
    made.clock.busy = lambda: True
    assert made.clock.idle() is None
    assert (made.seen, made.clock.now()) == ([], START)
    made.clock.busy = lambda: False
    made.settle()
    assert made.seen == [("due", 10), ("there", 60)]


def test_it_never_goes_back_and_ends_with_the_years_that_can_be_written() -> None:
    made = Made(0)
    with pytest.raises(ValueError, match="never goes back"):
        made.clock.advance(START - 1, lambda: None)
    with pytest.raises(ValueError, match="ends with the year 9999"):
        made.clock.advance(END + 1, lambda: None)
    assert made.clock.read().goal is None
    made.clock.set_rate(1e300)
    made.wire.time += 1
    assert made.clock.now() == END


def test_a_reading_that_was_seen_is_never_after_the_one_that_is_written_down() -> None:
    made = Made(1)
    for _ in range(40):
        made.wire.time += 1
        assert made.clock.now() <= made.kept[-1][0]
    assert len(made.kept) == 4, "each writing is good for ten seconds"
    assert made.kept[-1] == (START + 34 + AHEAD_SECONDS, 1)
    made.clock.save()
    assert made.kept[-1] == (START + 40, 1)


def test_a_long_advance_seldom_writes() -> None:
    made = Made(0)

    def tick() -> None:
        made.clock.call_at(made.clock.now() + 60, tick)

    made.clock.call_at(START, tick)
    made.clock.advance(START + 365 * 86400, lambda: None)
    made.settle()
    assert len(made.kept) < 80
    assert made.kept[-1] == (START + 365 * 86400, 0), "at its end it is written as it is"


def test_a_rate_is_written_down_with_the_reading() -> None:
    made = Made(1)
    made.clock.set_rate(60)
    made.clock.set_rate(0)
    assert made.kept == [(START, 60), (START, 0)]


def test_cancelled_calls_are_not_made_and_do_not_pile_up() -> None:
    made = Made(0)
    made.at(1000, "kept")
    for seconds in range(10_000):
        made.clock.call_at(START + seconds, partial(made.note, "cancelled")).cancel()
    assert len(made.clock._timers) <= 2 * MOST_CANCELLED + 2
    done = made.clock.call_at(START + 5, lambda: made.note("done"))
    made.clock.advance(START + 2000, lambda: None)
    made.settle()
    done.cancel()
    assert made.seen == [("done", 5), ("kept", 1000)]
