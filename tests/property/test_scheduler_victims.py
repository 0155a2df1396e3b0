"""Laws of preemption on small random clusters: victims are less important, without them the pod
fits, and none of them goes in vain."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scheduler_cluster import Cluster, asking, node
from steersman.model import selectors
from steersman.scheduler.decide import Chosen
from steersman.scheduler.preemption import Budget, Candidate, Trials, preempt
from steersman.scheduler.standing import Fit

NEAR = {"topologyKey": "rack", "labelSelector": {"matchLabels": {"app": "x"}}}
APART = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [NEAR]}}
NODES = st.lists(st.sampled_from(["1", "2", "3"]), min_size=1, max_size=4)  # their racks
PODS = st.lists(
    st.fixed_dictionaries(
        {
            "cpu": st.integers(0, 2),
            "priority": st.integers(0, 3),
            "app": st.sampled_from(["x", "y"]),
            "apart": st.booleans(),
            "node": st.integers(0, 3),
        }
    ),
    max_size=10,
)
NEW = st.fixed_dictionaries(
    {"cpu": st.integers(0, 5), "priority": st.integers(1, 3), "apart": st.booleans()}
)


def cluster_of(racks: Any, pods: Any) -> Cluster:
    room = {"cpu": "4", "memory": "1Gi", "pods": "4"}
    cluster = Cluster(
        *(node(f"n{at}", room, labels={"rack": rack}) for at, rack in enumerate(racks))
    )
    for at, it in enumerate(pods):
        cluster.put(make(f"p{at}", it), on=f"n{it['node'] % len(racks)}")
    return cluster


def make(name: str, it: Any) -> Any:
    affinity = APART if it["apart"] else {}
    labels = {"app": it.get("app", "x")}
    cpu, priority = str(it["cpu"]), it["priority"]
    return asking(cpu, name=name, priority=priority, labels=labels, affinity=affinity)


def fits(cluster: Cluster, found: Any, name: str) -> bool:
    return name in cluster.fitting(found)


@given(NODES, PODS, NEW, st.floats(0, 0.999), st.integers(0, 2))
def test_victims_are_less_important_enough_and_all_needed(
    racks: Any, pods: Any, new: Any, draw: float, allowed: int
) -> None:
    cluster, found = cluster_of(racks, pods), make("new", new)
    ask, answer = cluster.ask(found), cluster.decide(found)
    if isinstance(answer, Chosen):
        return
    budgets = [Budget("default", selectors.of_map({"app": "y"}), allowed)]
    trials = Trials()
    best = preempt(ask, answer, budgets, draw=draw, trials=trials)
    assert preempt(ask, answer, budgets, draw=draw, trials=trials) == best
    if not isinstance(best, Candidate):
        assert best.startswith(f"0/{len(racks)} nodes are available: ")
        assert nobody_helps(cluster, found)
        return
    assert all(it.demand.priority < new["priority"] for it in best.victims)
    assert all(it.state is best.node for it in best.victims)
    for victim in best.victims:
        cluster.snapshot.remove(victim.pod.metadata.uid)
    assert fits(cluster, found, best.node.name)
    for victim in best.victims:
        cluster.snapshot.put(victim.pod, best.node.name)
        assert not fits(cluster, found, best.node.name)
        cluster.snapshot.remove(victim.pod.metadata.uid)


def nobody_helps(cluster: Cluster, found: Any) -> bool:
    """Says whether no node takes the pod even without all less important pods of that node."""
    for state in list(cluster.snapshot.nodes):
        assert state is not None
        there = list(cluster.snapshot.pods_on(state))
        gone = [it for it in there if it.demand.priority < found.spec.priority]
        for it in gone:
            cluster.snapshot.remove(it.pod.metadata.uid)
        helped = fits(cluster, found, state.name)
        for it in gone:
            cluster.snapshot.put(it.pod, state.name)
        if helped:
            return False
    return True


@given(NODES, PODS, NEW)
def test_what_is_remembered_of_nodes_is_what_they_are(racks: Any, pods: Any, new: Any) -> None:
    cluster, found = cluster_of(racks, []), make("new", new)
    for at, it in enumerate(pods):
        ask = cluster.ask(found)
        for place, state in enumerate(cluster.snapshot.nodes):
            assert state is not None
            fresh = ask.standing.rule.judge(ask.demand, state, cluster.snapshot)
            assert ask.standing.verdict(place) == fresh
            assert bool(ask.standing.fits >> place & 1) is isinstance(fresh, Fit)
        cluster.put(make(f"p{at}", it), on=f"n{it['node'] % len(racks)}")
