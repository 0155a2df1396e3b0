"""Ranges for nodes: which piece comes next, what is kept, what a node is told."""

from __future__ import annotations

import pytest

from steersman.controllers.choice import PodRange
from steersman.controllers.node_ipam import Full, Pieces, plan, refuse
from steersman.model.kinds.node import NODE, Node, NodeSpec
from steersman.model.view import Meta
from steersman.reconcile.actions import Patch, Tell


def node(name: str, *ranges: str) -> Node:
    spec = NodeSpec(pod_cidr=ranges[0] if ranges else "", pod_cidrs=ranges)
    return Node(metadata=Meta(name=name, uid=f"uid-{name}"), spec=spec)


def test_pieces_are_given_in_order_and_one_that_was_given_back_comes_last() -> None:
    pieces = Pieces(PodRange("10.244.0.0/22", 24))
    assert [pieces.take("a"), pieces.take("b")] == ["10.244.0.0/24", "10.244.1.0/24"]
    pieces.give_back("a")
    assert [pieces.take(it) for it in "cde"] == ["10.244.2.0/24", "10.244.3.0/24", "10.244.0.0/24"]
    with pytest.raises(Full):
        pieces.take("f")
    pieces.give_back("d")
    assert pieces.take("f") == "10.244.3.0/24"


def test_nothing_is_given_of_what_is_kept_or_somebody_has() -> None:
    pieces = Pieces(PodRange("10.244.0.0/21", 24), ("10.244.0.128/25", "10.96.0.0/16"))
    pieces.hold("wide", "10.244.2.0/23")
    pieces.hold("outside", "10.250.0.0/24")
    pieces.hold("other", "fd00::/64")
    given = [pieces.take(str(number)) for number in range(5)]
    assert given == [f"10.244.{third}.0/24" for third in (1, 4, 5, 6, 7)]


def test_a_range_around_the_whole_leaves_nothing() -> None:
    pieces = Pieces(PodRange("10.244.0.0/23", 24))
    pieces.hold("everything", "10.0.0.0/8")
    with pytest.raises(Full):
        pieces.take("a")


def test_pieces_of_the_other_ip_version_are_cut_the_same() -> None:
    pieces = Pieces(PodRange("fd00:1::/62", 64), ("10.96.0.0/16",))
    assert [pieces.take("a"), pieces.take("b")] == ["fd00:1::/64", "fd00:1:0:1::/64"]


def test_a_node_is_given_its_ranges_by_one_patch() -> None:
    spec = {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24", "fd00::/64"]}
    expected = [Patch(NODE.ref("", "a"), {"spec": spec}, uid="uid-a")]
    assert plan(node("a"), ("10.244.0.0/24", "fd00::/64")) == expected


def test_a_node_for_which_nothing_is_left_is_told_in_upstreams_words() -> None:
    found = node("a")
    text = "Node a status is now: CIDRNotAvailable"
    assert refuse(found) == [Tell(found, "CIDRNotAvailable", text)]
