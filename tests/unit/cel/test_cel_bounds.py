"""What an expression may make and go through: nothing grows beyond what its budget pays for."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.cel.compile import Budget
from steersman.cel.environment import Environment
from steersman.cel.errors import BudgetExceeded
from steersman.cel.types import DYN, STRING, list_of
from steersman.cel.values import SetList

VARIABLES = {"a": STRING, "l": list_of(STRING), "s": list_of(DYN), "d": DYN}
HALF = "x" * 5_000


def value(text: str, budget: Budget | None = None, **given: Any) -> Any:
    values: dict[str, Any] = {"a": HALF, "l": [HALF] * 10_000, "s": [], "d": "x"}
    return Environment(VARIABLES).compile(text).evaluate({**values, **given}, budget)


def doubled(first: str, step: str, result: str, times: int = 40) -> str:
    """Returns an expression in which y0 is `first`, and each further y holds the one before twice;
    z likewise, so that they are equal and not the same."""
    for place in range(times, 0, -1):
        before = place - 1
        y, z = step.replace("@", f"y{before}"), step.replace("@", f"z{before}")
        result = f"cel.bind(y{place}, {y}, cel.bind(z{place}, {z}, {result}))"
    return f"cel.bind(y0, {first}, cel.bind(z0, {first}, {result}))"


@pytest.mark.parametrize(
    "text",
    [
        "a.replace('x', a) == ''",
        "a.replace('x', a, 4000) == ''",
        "l.join() == ''",
        "'%s'.format([l]) == ''",
        "'%s'.format([{'k': l}]) == ''",
        "l.map(x, '%s').join(',').format(l) == ''",
        doubled("['x']", "[@, @]", "'%s'.format([y40]) == ''"),
        doubled("['x']", "[@, @]", "y40 == z40"),
        doubled("{'k': 'x'}", "{'k': @, 'l': @}", "y40 == z40"),
        doubled("['x']", "[@, @]", "y40 in [z40]"),
        doubled("['x']", "[@, @]", "[y40].indexOf(z40) == 0"),
        doubled("['x']", "@ + @", "size(y40) == 1"),
        doubled("d", "@ + @", "size(y40) == 1"),
    ],
)
def test_what_would_grow_without_bound_ends_as_what_costs_too_much(text: str) -> None:
    with pytest.raises(BudgetExceeded):
        value(text)


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("a.replace('x', 'xyz') != ''", 5_000 * 0.1 + 15_000 * 0.1),
        ("l.join() != ''", 2 * 0.1 + 10_000 * 0.1),
        ("'%s'.format([a]) != ''", 2 * 0.1 + 5_000 * 0.1),
        ("(l + l).size() > 0", 4 * 0.1),
    ],
)
def test_what_is_made_is_paid_for(text: str, cost: float) -> None:
    budget = Budget(100_000)
    assert value(text, budget, l=[HALF] * 2) is True
    assert 0 <= 100_000 - budget.left - int(cost) < 50  # and what each step costs by itself


def test_a_map_is_written_in_the_order_of_its_keys() -> None:
    assert value("'%s'.format([{'b': ['y', 'x'], 'a': []}])") == "{a: [], b: [y, x]}"


def test_large_sets_are_compared_and_merged_in_one_walk_over_each() -> None:
    many = SetList([f"n{number}" for number in range(50_000)])
    other = SetList(reversed(many))
    assert value("s == d", s=many, d=other) is True
    assert value("(s + d).size() == 50001", s=many, d=SetList([*other, "more"])) is True


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ([1, True], [True, 1], True),
        ([1, 2], [True, 2], False),
        ([{"a": [1, {"b": None}]}], [{"a": [1, {"b": None}]}], True),
        ([{"a": 1}], [[["a", 1]]], False),
        ([1], [1.0], True),
    ],
)
def test_sets_have_the_same_items_in_any_order(left: Any, right: Any, equal: bool) -> None:
    assert value("s == d", s=SetList(left), d=SetList(right)) is equal
