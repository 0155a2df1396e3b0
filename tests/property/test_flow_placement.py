"""Laws of the scheduler `flow`: it places only where pods fit, as many as can be, and never dearer
than the default scheduler; equal pods at the least cost that there is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_cluster import Cluster, node, pod
from steersman.model.kinds.pod import Pod
from steersman.scheduler.decide import Chosen, decide
from steersman.scheduler.flow import costs
from steersman.scheduler.flow.classes import PodClass, sort
from steersman.scheduler.flow.plan import Plan, Price, plan_batch
from steersman.scheduler.flow.solver import NotInstalled, load, solve

try:
    load()
except NotInstalled as error:
    pytest.skip(str(error), allow_module_level=True)

NOW = 1_000_000.0
NODES = st.lists(
    st.fixed_dictionaries(
        {
            "cpu": st.integers(1, 6),
            "memory": st.integers(1, 6),
            "pods": st.integers(1, 6),
            "zone": st.sampled_from("ab"),
            "taken": st.integers(0, 2),
        }
    ),
    min_size=1,
    max_size=5,
)
SHAPES = st.fixed_dictionaries(
    {
        "cpu": st.integers(1, 3),
        "memory": st.integers(1, 3),
        "zone": st.sampled_from(("", "", "a")),
        "priority": st.sampled_from((0, 0, 5)),
        "told": st.fixed_dictionaries(
            {},
            optional={
                "policy": st.sampled_from(("spread", "pack")),
                "data": st.sampled_from(("zone=a:3,zone=b:1", "zone=b:1Gi")),
                "avoid": st.sampled_from(("app=x", "app=y", "old")),
                "deadline": st.sampled_from(("2020-01-01T00:00:00Z", "1970-01-12T14:00:00Z")),
            },
        ),
        "count": st.integers(1, 6),
    }
)


def cluster_of(nodes: Any) -> Cluster:
    made = []
    for at, given_node in enumerate(nodes):
        room = {
            "cpu": str(given_node["cpu"]),
            "memory": f"{given_node['memory']}Gi",
            "pods": str(given_node["pods"]),
        }
        made.append(node(f"n{at}", room, {"zone": given_node["zone"]}))
    cluster = Cluster(*made)
    for at, given_node in enumerate(nodes):
        taken = min(given_node["taken"], given_node["cpu"], given_node["pods"])
        for number in range(taken):
            cluster.put(shaped(f"old-{at}-{number}", 1, 0, labels={"old": "x"}), on=f"n{at}")
    return cluster


def shaped(name: str, cpu: int, memory: int, labels: Any, **rest: Any) -> Pod:
    requests = {"cpu": str(cpu), "memory": f"{memory}Gi"}
    return pod(name, labels=labels, container={"resources": {"requests": requests}}, **rest)


def pods_of(shapes: Any) -> list[Pod]:
    found = []
    for at, shape in enumerate(shapes):
        annotations = {f"flow.steersman.dev/{key}": text for key, text in shape["told"].items()}
        for number in range(shape["count"]):
            rest: Any = {"metadata": {"annotations": annotations}, "priority": shape["priority"]}
            if shape["zone"]:
                rest["nodeSelector"] = {"zone": shape["zone"]}
            labels = {"app": "xy"[at % 2]}
            name = f"p{at}-{number}"
            found.append(shaped(name, shape["cpu"], shape["memory"], labels, **rest))
    return found


def planned(cluster: Cluster, pods: list[Pod]) -> tuple[Plan, Sequence[PodClass]]:
    batch = sort(pods, cluster.snapshot, cluster.ask)
    assert not batch.single
    assert not batch.bad
    classes = batch.classes
    return plan_batch(classes, cluster.snapshot, cluster.ask, solve, NOW), classes


def by_default(cluster: Cluster, classes: Sequence[PodClass], draws: Sequence[float]) -> Plan:
    """Places as the default scheduler does, and prices it."""
    plan, price = Plan([], []), Price(cluster.snapshot)
    drawn = iter(draws)
    for one in sorted(classes, key=lambda it: -it.ask.demand.priority):
        for wanted in one.pods:
            answer = decide(cluster.ask(wanted), draw=next(drawn))
            if isinstance(answer, Chosen):
                plan.cost += price.of(one, answer.node)
                cluster.snapshot.put(wanted, answer.node.name, assumed=True)
                plan.placed.append((wanted, answer.node.name))
            else:
                plan.cost += costs.waiting(one.policy, NOW)
                plan.left.append(wanted)
    return plan


def never_overcommitted(cluster: Cluster) -> None:
    for state in cluster.snapshot.nodes:
        assert state is not None
        assert all(state.free(name) >= 0 for name in ("cpu", "memory", "pods"))


@given(NODES, st.lists(SHAPES, min_size=1, max_size=3))
def test_a_batch_is_placed_where_it_fits_and_no_dearer_than_by_default(
    nodes: Any, shapes: Any
) -> None:
    cluster, pods = cluster_of(nodes), pods_of(shapes)
    plan, classes = planned(cluster, pods)
    names = [it.metadata.name for it, _ in plan.placed] + [it.metadata.name for it in plan.left]
    assert sorted(names) == sorted(it.metadata.name for it in pods)
    for one, place in plan.placed:
        placed = cluster.snapshot.placed(one.metadata.uid)
        assert placed is not None
        assert placed.state.name == place
        wanted = one.spec.node_selector.items()
        assert wanted <= placed.state.node.metadata.labels.items()
    never_overcommitted(cluster)
    other = by_default(cluster_of(nodes), classes, [0.0] * len(pods))
    assert plan.cost <= other.cost
    assert len(plan.left) <= len(other.left) or len({it.policy.deadline for it in classes}) > 1


@given(NODES, SHAPES, st.lists(st.floats(0, 0.999), min_size=6, max_size=6))
def test_equal_pods_are_no_dearer_than_by_default_whatever_its_draws(
    nodes: Any, shape: Any, draws: list[float]
) -> None:
    pods = pods_of([shape])
    plan, classes = planned(cluster_of(nodes), pods)
    other = by_default(cluster_of(nodes), classes, draws)
    assert plan.cost <= other.cost
    assert len(plan.left) == len(other.left)


@given(NODES.filter(lambda found: len(found) <= 3), SHAPES)
def test_equal_pods_are_placed_at_the_least_cost_that_there_is(nodes: Any, shape: Any) -> None:
    shape = {**shape, "count": min(shape["count"], 4)}
    pods = pods_of([shape])
    cluster = cluster_of(nodes)
    plan, (one,) = planned(cluster, pods)
    best = plan.cost
    for places in product([None, *range(len(nodes))], repeat=len(pods)):
        trial, total = cluster_of(nodes), 0
        price = Price(trial.snapshot)
        for wanted, place in zip(pods, places, strict=True):
            if place is None:
                total += costs.waiting(one.policy, NOW)
                continue
            if f"n{place}" not in trial.fitting(wanted):
                break
            total += price.of(one, trial.snapshot.at(place))
            trial.put(wanted, on=f"n{place}")
        else:
            best = min(best, total)
    assert plan.cost == best


@given(NODES, st.lists(SHAPES, min_size=1, max_size=3))
def test_the_same_batch_is_placed_the_same_way(nodes: Any, shapes: Any) -> None:
    first, _ = planned(cluster_of(nodes), pods_of(shapes))
    second, _ = planned(cluster_of(nodes), pods_of(shapes))
    assert first.placed == second.placed
    assert first.cost == second.cost
