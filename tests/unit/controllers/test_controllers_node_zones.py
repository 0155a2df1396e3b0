"""How fast nodes that are not ready lose their pods, by how much of their zone is not."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers.node_zones import EXCLUDED, Zones, state_of, zone_of
from steersman.model.kinds.node import Node
from unit.controllers.views import decoded

ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


def node(name: str, zone: str = "a", *, ready: bool = True, **labels: str) -> Node:
    condition = {"type": "Ready", "status": "True" if ready else "Unknown"}
    metadata = {"name": name, "labels": {ZONE: zone, **labels}}
    found: Node = decoded({"metadata": metadata, "status": {"conditions": [condition]}}, Node)
    return found


def nodes(count: int, zone: str = "a", *, lost: int = 0) -> list[Node]:
    """Returns some nodes of a zone, the first ones of which are not ready."""
    return [node(f"{zone}{number}", zone, ready=number >= lost) for number in range(count)]


@pytest.mark.parametrize(
    ("ready", "others", "state"),
    [
        (0, 0, "normal"),
        (3, 0, "normal"),
        (0, 1, "full"),
        (1, 2, "normal"),  # of two or fewer none is a disruption
        (3, 3, "normal"),
        (2, 3, "partial"),
        (45, 55, "partial"),
        (46, 54, "normal"),
    ],
)
def test_a_zone_is_disrupted_where_many_of_its_nodes_are_not_ready(
    ready: int, others: int, state: Any
) -> None:
    assert state_of(ready, others) == state


def test_a_zone_is_named_by_region_and_zone_in_their_new_names_or_else_their_old_ones() -> None:
    old = "failure-domain.beta.kubernetes.io"
    assert zone_of(node("n", "a", **{REGION: "r"})) == ("r", "a")
    both = {f"{old}/zone": "old", f"{old}/region": "r"}
    assert zone_of(node("n", "a", **both)) == ("r", "a")
    assert zone_of(node("n", "", **both)) == ("r", "old")
    assert zone_of(node("n", "")) == ("", "")


def test_nodes_of_a_zone_have_their_turns_one_after_another_each_ten_seconds() -> None:
    zones = Zones(nodes(10, lost=3), 0)
    assert (zones.turn("a1", 100), zones.turn("a0", 100)) == (0, None)
    assert zones.done("a1", 100) == "a0"
    assert zones.turn("a0", 103) == 7
    assert zones.turn("a2", 103) is None
    assert (zones.turn("a0", 111), zones.done("a0", 111)) == (0, "a2")
    assert zones.turn("a2", 111) == 10
    assert zones.done("a2", 121) is None


def test_zones_do_not_wait_for_each_other() -> None:
    zones = Zones([*nodes(4, "a", lost=1), *nodes(4, "b", lost=1)], 0)
    assert (zones.turn("a0", 1), zones.done("a0", 1)) == (0, None)
    assert zones.turn("b0", 1) == 0


def test_who_is_ready_again_leaves_its_turn_to_the_next() -> None:
    zones = Zones(nodes(10, lost=3), 0)
    for name in ("a0", "a1", "a2"):
        zones.turn(name, 0)
    assert zones.leave("a1") is None
    assert zones.leave("a0") == "a2"
    assert zones.turn("a2", 0) == 0
    assert zones.leave("a2") is None


def test_a_node_that_goes_or_moves_leaves_its_turn_too() -> None:
    zones = Zones(nodes(10, lost=3), 0)
    for name in ("a0", "a1", "a2"):
        zones.turn(name, 0)
    assert zones.forget("a0", 1) == ["a1"]
    assert zones.note(node("a1", "b", ready=False), 1) == ["a2"]
    assert zones.turn("a1", 1) == 0  # in a zone of its own
    assert zones.forget("a9", 1) == []


def lose(zones: Zones, *numbers: int, at: float) -> list[list[str]]:
    return [zones.note(node(f"a{number}", ready=False), at) for number in numbers]


def test_a_small_zone_that_is_disrupted_keeps_its_pods_until_it_is_sound_again() -> None:
    zones = Zones(nodes(5, lost=2), 0)
    assert [zones.turn(name, 0) for name in ("a0", "a1")] == [0, None]
    zones.done("a0", 0)
    assert lose(zones, 2, at=5) == [["a1"]]  # its turn is put off
    assert zones.turn("a1", 60) is None
    assert zones.note(node("a2"), 60) == ["a1"]
    assert zones.turn("a1", 60) == 10  # who had no turn to give begins without one
    assert zones.turn("a1", 70) == 0


def test_a_large_zone_that_is_disrupted_is_emptied_slowly() -> None:
    zones = Zones(nodes(60, lost=32), 0)
    assert zones.turn("a0", 0) == 0
    zones.done("a0", 0)
    lose(zones, 32, at=5)
    assert (zones.turn("a1", 5), zones.turn("a1", 60)) == (100, 45)


def test_a_zone_of_which_nothing_is_ready_is_emptied_while_another_is_sound() -> None:
    zones = Zones([*nodes(3, "a", lost=3), *nodes(3, "b")], 0)
    assert not zones.stopped
    assert zones.turn("a0", 0) == 0


def test_where_nothing_is_ready_anywhere_all_is_stopped_and_everybody_is_looked_at() -> None:
    zones = Zones([*nodes(1, "a", lost=1), *nodes(2, "b", lost=1)], 0)
    zones.turn("a0", 0)
    assert zones.note(node("b1", "b", ready=False), 1) == ["a0", "b0", "b1"]
    assert zones.stopped
    assert zones.turn("a0", 99) is None
    assert zones.note(node("b1", "b"), 100) == ["a0", "b0", "b1"]
    assert not zones.stopped
    assert (zones.turn("a0", 100), zones.turn("b0", 100)) == (10, 10)


def test_a_cluster_without_nodes_is_not_stopped() -> None:
    zones = Zones(nodes(1, lost=1), 0)
    assert zones.stopped
    assert zones.forget("a0", 1) == []
    assert not zones.stopped
    assert not Zones([], 0).stopped


def test_nodes_that_are_excluded_say_nothing_of_their_zone_and_have_turns_in_it() -> None:
    excluded = [node(f"x{number}", ready=False, **{EXCLUDED: ""}) for number in range(9)]
    zones = Zones([*nodes(1), *excluded], 0)
    assert not zones.stopped
    assert zones.turn("x0", 0) == 0
    assert not Zones(excluded, 0).stopped
