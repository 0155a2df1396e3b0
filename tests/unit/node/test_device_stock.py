"""Which devices of a resource are given out, and from which places they can be had."""

from __future__ import annotations

import pytest

from steersman.node.devices.stock import Groups, Stock, group, hints
from steersman.node.topology.providing import Hint

# Two NUMA nodes with two devices each, one that lies on both, one that lies nowhere
NODES = {"a0": (0,), "a1": (0,), "b0": (1,), "b1": (1,), "c": (0, 1), "n": ()}
STOCK = Stock(NODES, frozenset(NODES))
BOTH = (0, 1)


def places(*found: tuple[int, bool]) -> list[Hint]:
    return [Hint(nodes, preferred) for nodes, preferred in found]


@pytest.mark.parametrize(
    ("free", "count", "expected"),
    [
        (NODES, 1, places((1, True), (2, True), (3, False))),
        (NODES, 3, places((1, True), (2, True), (3, False))),
        # What one node could give if nobody had any is preferred, though it cannot now
        ({"a0", "b0", "b1"}, 3, places((3, False))),
        (NODES, 5, places((3, True))),
        ({"a0", "n"}, 2, []),
    ],
)
def test_places_are_preferred_that_need_the_fewest_nodes_of_an_empty_machine(
    free: set[str], count: int, expected: list[Hint]
) -> None:
    assert hints(STOCK, set(free), (), count, BOTH) == expected


def test_every_place_holds_what_is_reused() -> None:
    assert hints(STOCK, {"a0", "a1", "b1"}, {"b0"}, 2, BOTH) == places((2, True), (3, False))
    # What lies nowhere is in no place's way, and counts for none
    assert hints(STOCK, {"a0"}, {"n"}, 1, BOTH) == places((1, True), (3, False))


def test_free_devices_are_sorted_by_how_they_suit_a_place() -> None:
    assert group(STOCK, NODES, Hint(1, True)) == Groups(("a0", "a1", "c"), ("b0", "b1"), ("n",))
    assert group(STOCK, NODES, Hint(None, True)) == Groups((), (), tuple(sorted(NODES)))
    unplaced = Stock({"x": (), "y": ()}, frozenset("xy"))
    assert group(unplaced, "yx", Hint(2, True)) == Groups((), (), ("x", "y"))


def test_devices_of_a_node_that_has_few_come_first() -> None:
    three = Stock({"a": (0,), "b": (0,), "c": (1,)}, frozenset("abc"))
    assert group(three, "abc", Hint(3, True)).aligned == ("c", "a", "b")


def test_only_sound_devices_that_nobody_has_are_free() -> None:
    stock = Stock({"a": (), "b": (), "c": ()}, frozenset("ab"))
    assert stock.free({"a"}) == {"b"}
    assert stock.without_health().free(()) == set()
