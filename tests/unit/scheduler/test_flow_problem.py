"""The scheduler `flow`: what annotations say, what places cost, and the problem that is solved."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler_cluster import Cluster, asking, node, pod
from steersman.model import selectors
from steersman.model.kinds.pod import Pod
from steersman.scheduler.flow import costs
from steersman.scheduler.flow.classes import PodClass, sort
from steersman.scheduler.flow.moves import _within
from steersman.scheduler.flow.plan import distribute
from steersman.scheduler.flow.policy import BadPolicy, Data, Policy, parse_policy, told
from steersman.scheduler.flow.problem import SINK, WAITING, Arc, Group, problem_of, room
from steersman.scheduler.preemption import Budget

PREFIX = "flow.steersman.dev/"
NOW = 1_000_000.0


def policy(**given: str) -> Policy:
    return parse_policy(tuple(given.items()))


def classes(cluster: Cluster, *pods: Pod) -> tuple[PodClass, ...]:
    return sort(pods, cluster.snapshot, cluster.ask).classes


# Moves


def test_moves_use_a_budget_up_one_after_the_other() -> None:
    labels = {"app": "x"}
    cluster = Cluster(node("n"))
    cluster.put(*(pod(name, labels=labels) for name in "abc"), pod("free"), on="n")
    going = sorted(
        cluster.snapshot.pods_on(cluster.snapshot.at(0)), key=lambda it: it.pod.metadata.name
    )
    selector = selectors.of_map(labels)
    budget = Budget("default", selector, 2, frozenset())
    assert [it.pod.metadata.name for it in _within(going, [budget])] == ["a", "b", "free"]


# Annotations


def test_annotations_are_read_and_others_left_alone() -> None:
    given = {PREFIX + "policy": "pack", PREFIX + "movable": "true", "other/policy": "x"}
    assert told(given) == (("policy", "pack"), ("movable", "true"))
    assert told({}) == told({"a": "b"}) == ()
    found = policy(policy="pack", movable="true", deadline="1970-01-01T01:00:00+01:00")
    assert (found.packs, found.movable, found.deadline) == (True, True, 0.0)
    assert (policy().packs, policy().movable) == (False, False)
    found = policy(data="zone=a:1Ki, host=n-1:2", avoid="app in (x,y)")
    assert found.data == (Data("zone", "a", 1024), Data("host", "n-1", 2))
    assert found.avoid is not None
    assert found.avoid({"app": "y"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("policy", ""),
        ("data", "zone=a"),
        ("data", "zone:1"),
        ("data", "zone=a:-1"),
        ("data", ",".join(["a=b:1"] * 65)),
        ("avoid", "a in"),
        ("deadline", "tomorrow"),
        ("deadline", "2026-01-01T00:00:00"),
        ("movable", "yes"),
    ],
)
def test_what_cannot_be_understood_is_named(name: str, text: str) -> None:
    with pytest.raises(BadPolicy, match=f"annotation {PREFIX}{name}: "):
        policy(**{name: text})
    assert len(policy(data=",".join(["a=b:1"] * 64)).data) == 64


# Costs


def test_each_further_pod_on_a_node_costs_more() -> None:
    cluster = Cluster(node())
    demand = cluster.ask(asking("1", "1Gi")).demand
    state = cluster.snapshot.at(0)
    steps = [costs.load(demand, state, number) for number in range(4)]
    # of 4 CPU: 1, 3, 5 and 7 parts in 32; of 8 GiB: 1, 3, 5 and 7 in 128
    assert steps == [39_062, 117_187, 195_312, 273_437]
    cluster.put(asking("1", "1Gi"), on="n")
    assert costs.load(demand, state) == steps[1]


def test_waiting_is_dearer_than_any_place_and_the_nearer_the_deadline_the_dearer() -> None:
    plain = costs.waiting(Policy(), NOW)
    due, soon, later = (
        costs.waiting(Policy(deadline=NOW + left), NOW) for left in (-5, 3600, 10**6)
    )
    assert plain == later < soon < due == 2 * plain
    assert plain > 100 * costs.UNIT


def test_fixed_costs_are_distance_neighbours_and_emptiness() -> None:
    cluster = Cluster(node("a", labels={"zone": "a"}), node("b", labels={"zone": "b"}))
    cluster.put(pod("noisy", labels={"noise": "much"}), asking("2", metadata={"uid": "u"}), on="b")
    here, there = cluster.snapshot.at(0), cluster.snapshot.at(1)

    def fixed(one: Policy) -> tuple[int, int]:
        found = [costs.fixed(one, state, cluster.snapshot) for state in (here, there)]
        return found[0], found[1]

    assert fixed(Policy()) == (0, 0)
    assert fixed(policy(data="zone=a:3,zone=b:1")) == (costs.UNIT // 4, costs.UNIT * 3 // 4)
    assert fixed(policy(data="zone=c:0")) == (0, 0)
    assert fixed(policy(avoid="noise=much")) == (0, costs.EACH_AVOIDED)
    empty, half = fixed(policy(policy="pack"))
    assert empty == costs.UNIT
    assert half < empty - costs.UNIT // 4
    assert costs.each(policy(avoid="a=b"), {"a": "b"}) == costs.EACH_AVOIDED
    assert costs.each(policy(avoid="a=b"), {"a": "c"}) == 0


# Classes and the problem


def test_equal_pods_are_one_class_and_those_that_mind_others_are_single() -> None:
    cluster = Cluster(node())
    told_of = {"annotations": {PREFIX + "policy": "pack"}}
    bad = {"annotations": {PREFIX + "policy": "best"}}
    term = {"topologyKey": "h", "labelSelector": {"matchLabels": {"a": "b"}}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    port = {"container": {"ports": [{"containerPort": 1, "hostPort": 1}]}}
    pods = [
        pod("a"),
        pod("b"),
        pod("packs", metadata=told_of),
        pod("other", labels={"a": "b"}),
        pod("apart", affinity=apart),
        pod("port", **port),
        pod("waits"),
        pod("bad", metadata=bad),
    ]
    cluster.snapshot.nominate(pods[6], "n")
    found = sort(pods, cluster.snapshot, cluster.ask)
    names = [[it.metadata.name for it in one.pods] for one in found.classes]
    assert names == [["a", "b"], ["packs"], ["other"]]
    assert [it.metadata.name for it in found.single] == ["apart", "port", "waits"]
    assert [it.metadata.name for it, _ in found.bad] == ["bad"]


def test_equal_machines_are_one_group_and_a_machine_takes_what_fits_of_the_largest() -> None:
    big = {"cpu": "8", "memory": "8Gi", "pods": "10"}
    cluster = Cluster(node("a"), node("b"), node("big", big))
    small, large = asking("1"), asking("2", "1Gi", metadata={"uid": "l"})
    problem = problem_of(classes(cluster, small, large), cluster.snapshot, NOW)
    assert [(it.places, it.slots) for it in problem.groups] == [((0, 1), 2), ((2,), 4)]
    assert [dict(it.reach) for it in problem.groups] == [
        {0: (4, 0), 1: (2, 0)},
        {0: (8, 0), 1: (4, 0)},
    ]
    assert problem.supplies == (1, 1)
    assert problem.nodes == 8
    to_sink = [arc for arc in problem.arcs if arc.head == SINK]
    assert [arc.capacity for arc in to_sink] == [2, 4, 4]
    assert Arc(2, WAITING, 1, costs.WAITING) in problem.arcs


def test_pods_that_pack_pay_for_the_place_and_not_for_the_load() -> None:
    cluster = Cluster(node("a"), node("b"))
    packs = {"annotations": {PREFIX + "policy": "pack"}}
    one = asking("1", metadata={**packs, "uid": "p"})
    problem = problem_of(classes(cluster, one), cluster.snapshot, NOW)
    assert [it.places for it in problem.groups] == [(0,), (1,)]  # the first one costs less
    assert sorted(arc.cost for arc in problem.arcs if arc.group >= 0) == [
        costs.UNIT,
        costs.UNIT + 1,
    ]
    assert not [arc for arc in problem.arcs if arc.group < 0 < arc.cost < costs.WAITING]


def test_room_is_what_the_scarcest_resource_leaves() -> None:
    cluster = Cluster(node())
    state = cluster.snapshot.at(0)
    assert room(cluster.ask(asking("1", "1Gi")).demand, state) == 4
    assert room(cluster.ask(asking("100m", "3Gi")).demand, state) == 2
    assert room(cluster.ask(pod()).demand, state) == 10
    assert room(cluster.ask(asking("5")).demand, state) == 0


def test_a_group_is_dealt_out_in_turn_or_filled_one_by_one() -> None:
    cluster = Cluster(node())

    def dealt(flow: int, counts: list[int], **given: str) -> tuple[list[int], list[int]]:
        made = PodClass(cluster.ask(pod(labels={"a": "b"})), policy(**given), [])
        group: Any = Group((0, 1, 2), 3, {0: (3, 0)})
        return list(distribute(made, group, counts, flow)), counts

    assert dealt(4, [0, 0, 0]) == ([0, 1, 2, 0], [2, 1, 1])
    assert dealt(2, [2, 1, 1]) == ([1, 2], [2, 2, 2])
    assert dealt(4, [0, 0, 0], policy="pack") == ([0, 0, 0, 1], [3, 1, 0])
    assert dealt(3, [3, 2, 0], policy="pack") == ([1, 2, 2], [3, 3, 2])
    assert dealt(3, [0, 0, 0], policy="pack", avoid="a=b") == ([0, 1, 2], [1, 1, 1])
