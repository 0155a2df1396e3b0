"""How the seats are divided between levels, and lent and given back."""

from __future__ import annotations

import pytest

from steersman.api.bootstrap import flow
from steersman.api.fairness.configuration import Configuration
from steersman.api.fairness.retry import Retry
from steersman.api.fairness.seats.borrowing import plan, smooth
from steersman.api.fairness.seats.demand import Demand, Observed
from steersman.api.fairness.seats.limits import (
    Claim,
    Limits,
    Shares,
    allocate,
    divide,
    rounded,
    shares_of,
)


def configured() -> Configuration:
    found = Configuration(600, 0.0)
    found.digest(flow.level_documents(), flow.flow_documents(), 0.0)
    return found


def test_the_levels_that_a_cluster_comes_with_have_upstreams_limits() -> None:
    # 245 shares of 600 seats
    found = {name: level.limits for name, level in configured().levels.items()}
    assert found == {
        "exempt": Limits(0, 0, 600),
        "catch-all": Limits(13, 13, 613),
        "system": Limits(74, 50, 674),
        "node-high": Limits(98, 73, 698),
        "leader-election": Limits(25, 25, 625),
        "workload-high": Limits(98, 49, 698),
        "workload-low": Limits(245, 24, 845),
        "global-default": Limits(49, 24, 649),
    }


def test_one_request_takes_a_part_of_its_level_at_most() -> None:
    levels = configured().levels
    assert {name: level.most_seats for name, level in levels.items()} == {
        "exempt": 0,
        "catch-all": 0,
        "system": 12,
        "node-high": 15,
        "leader-election": 4,
        "workload-high": 15,
        "workload-low": 37,
        "global-default": 8,
    }


def test_shares_are_read_as_they_are_meant() -> None:
    limited = {"nominalConcurrencyShares": 0, "borrowingLimitPercent": 50}
    assert shares_of({"limited": limited}) == Shares(0, 0, 50)
    assert shares_of({"exempt": {"lendablePercent": 3}}) == Shares(0, 3, None)
    assert shares_of({"type": "Exempt"}) == Shares(0, 0, None)
    assert divide(Shares(1, 25, 50), 4, 41) == Limits(11, 8, 17)
    assert [rounded(value) for value in (0.4, 0.5, 2.5, 2.6)] == [0, 1, 3, 3]


def test_all_get_the_same_part_of_what_they_want_where_no_bound_is_met() -> None:
    given, fair = allocate(30, [Claim(10, 0, 99), Claim(50, 0, 99)])
    assert given == pytest.approx([5, 25])
    assert fair == pytest.approx(0.5)


def test_bounds_hold_and_the_rest_goes_to_the_others() -> None:
    given, fair = allocate(30, [Claim(10, 10, 99), Claim(50, 0, 15), Claim(10, 0, 99)])
    assert given == pytest.approx([10, 15, 5])
    assert fair == pytest.approx(0.5)
    given, fair = allocate(100, [Claim(10, 0, 20), Claim(10, 0, 200)])
    assert given == pytest.approx([20, 80])
    assert fair == pytest.approx(8)


def test_who_wants_nothing_gets_what_is_left() -> None:
    given, _ = allocate(10, [Claim(0, 0, 10), Claim(0, 0, 10)])
    assert given == pytest.approx([5, 5])


def test_what_cannot_be_divided_stays_at_the_bounds() -> None:
    assert allocate(3, [Claim(5, 2, 9), Claim(5, 4, 9)])[0] == [2, 4]
    assert allocate(6, [Claim(5, 2, 9), Claim(5, 4, 9)])[0] == [2, 4]
    assert allocate(30, [Claim(5, 2, 9), Claim(5, 4, 9)])[0] == [9, 9]
    assert allocate(18, [Claim(5, 2, 9), Claim(5, 4, 9)])[0] == [9, 9]


def test_demand_is_averaged_over_time() -> None:
    demand = Demand(0.0)
    demand.note(10, 2.0)
    demand.note(4, 4.0)
    seen = demand.reset(8.0)
    assert seen.average == pytest.approx((0 * 2 + 10 * 2 + 4 * 4) / 8)
    assert seen.deviation == pytest.approx(((100 * 2 + 16 * 4) / 8 - 4.5**2) ** 0.5)
    assert seen.most == 10
    again = demand.reset(9.0)
    assert again == Observed(4.0, 0.0, 4)


def test_a_demand_rises_at_once_and_falls_slowly() -> None:
    assert smooth(2.0, Observed(10.0, 5.0, 20)) == 15.0
    assert smooth(15.0, Observed(0.0, 0.0, 0)) == pytest.approx(15 * 0.977)
    assert smooth(15.0, Observed(4.0, 1.0, 5)) == pytest.approx(15 * 0.977 + 5 * 0.023)
    half = 100.0
    for _ in range(30):
        half = smooth(half, Observed())
    assert half == pytest.approx(50, abs=1)


def test_who_wants_more_borrows_from_those_who_do_not() -> None:
    levels = configured().levels
    idle = plan(list(levels.values())).limits
    assert sum(idle.values()) == pytest.approx(602, abs=4)
    wanting = levels["global-default"]
    wanting.observed, wanting.smoothed = Observed(400, 0, 400), 400.0
    found = plan(list(levels.values()))
    assert found.limits["global-default"] > 250
    assert found.targets["global-default"] == 400
    assert 0 < found.fair < 1.01
    for name, level in levels.items():
        if name not in ("exempt", "global-default"):
            assert level.limits.lower <= found.limits[name] <= idle[name]
    assert sum(found.limits.values()) == pytest.approx(602, abs=4)


def test_what_a_level_used_of_its_own_it_keeps() -> None:
    levels = configured().levels
    for name in ("global-default", "workload-low"):
        levels[name].observed, levels[name].smoothed = Observed(300, 0, 300), 300.0
    found = plan(list(levels.values())).limits
    assert found["workload-low"] >= levels["workload-low"].limits.nominal
    assert found["global-default"] >= levels["global-default"].limits.nominal


def test_what_is_exempt_is_served_first_and_takes_from_all() -> None:
    levels = configured().levels
    levels["exempt"].observed = Observed(590, 0, 590)
    found = plan(list(levels.values())).limits
    assert found["exempt"] == 590
    assert all(found[name] == one.limits.lower for name, one in levels.items() if name != "exempt")
    # too little is left for what all used of their own: they share what is over the lowest
    levels["exempt"].observed = Observed(327, 0, 327)
    levels["global-default"].observed = Observed(49, 0, 49)
    part = plan(list(levels.values())).limits
    lowest = sum(one.limits.lower for one in levels.values())
    rest = 602 - 327 - lowest
    assert part["global-default"] == 24 + rest


def test_one_may_come_again_after_a_second_or_later_where_many_are_refused() -> None:
    retry = Retry()
    assert [retry.refuse(100.0) for _ in range(3)] == [1, 1, 1]
    assert retry.refuse(101.0) == 2
    for _ in range(10):
        retry.refuse(101.5)
    assert retry.refuse(102.0) == 2  # it was raised a second ago
    assert retry.refuse(103.0) == 4
    assert retry.refuse(120.0) == 3
    assert retry.refuse(140.0) == 2


def test_nobody_is_sent_away_for_longer_than_half_a_minute() -> None:
    retry, now = Retry(), 100.0
    assert retry.seconds == 1
    for _ in range(400):
        for _ in range(100):
            retry.refuse(now)
        now += 1
    assert retry.refuse(now) == 32
