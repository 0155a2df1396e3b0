"""Preemption: who goes, from which node, and what is said where nobody can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from scheduler_cluster import Cluster, asking, node, pod
from steersman.model import selectors
from steersman.model.kinds.pod import Pod
from steersman.scheduler.decide import Unfit
from steersman.scheduler.preemption import (
    NEVER,
    WAITING,
    Budget,
    Candidate,
    Trials,
    ineligible,
    preempt,
    violating,
)

RACK = {"topologyKey": "rack", "labelSelector": {"matchLabels": {"app": "x"}}}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def important(cpu: str = "4", **spec: Any) -> Pod:
    return asking(cpu, name="new", priority=100, **spec)


def small(name: str, cpu: str = "1", priority: int = 0, **spec: Any) -> Pod:
    return asking(cpu, name=name, priority=priority, **spec)


def started(second: int) -> Any:
    return {"startTime": f"2026-01-01T00:00:{second:02}Z"}


def found(
    cluster: Cluster, new: Pod, budgets: Sequence[Budget] = (), **how: Any
) -> Candidate | str:
    ask, answer = cluster.ask(new), cluster.decide(new)
    assert isinstance(answer, Unfit)
    return preempt(ask, answer, budgets, **how)


def victims(
    cluster: Cluster, new: Pod, budgets: Sequence[Budget] = (), **how: Any
) -> tuple[str, list[str]]:
    """Returns the chosen node and the names of the victims."""
    answer = found(cluster, new, budgets, **how)
    assert isinstance(answer, Candidate)
    return answer.node.name, [it.pod.metadata.name for it in answer.victims]


def test_only_as_many_go_as_must_and_the_least_important_first() -> None:
    cluster = Cluster(node("n")).put(
        small("low"), small("middle", priority=5), small("high", priority=9), small("self"), on="n"
    )
    assert victims(cluster, important("2")) == ("n", ["low", "self"])
    assert victims(cluster, important("3")) == ("n", ["middle", "low", "self"])


def test_among_equals_those_go_that_have_run_for_less_long() -> None:
    pods = [small(f"p{second}", status=started(second)) for second in (3, 1, 2)]
    cluster = Cluster(node("n", room={"cpu": "3", "pods": "10"})).put(*pods, on="n")
    assert victims(cluster, important("1")) == ("n", ["p3"])


def test_pods_of_the_same_or_higher_priority_stay() -> None:
    cluster = Cluster(node("n")).put(small("same", "4", priority=100), on="n")
    assert found(cluster, important()) == (
        "0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )


def test_what_does_not_help_is_said_by_reason() -> None:
    cluster = Cluster(node("n"), node("m"), node("t", taints=[{"key": "k", "effect": "NoExecute"}]))
    cluster.put(small("stays", "3", priority=200), small("low", "1"), on="n")
    cluster.put(small("high", "4", priority=200), on="m")
    assert found(cluster, important("2")) == (
        "0/3 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming "
        "pod, 1 Preemption is not helpful for scheduling."
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # the lower highest priority, though the sum is higher
        ([("a", "2", 5), ("b", "2", 5)], [("c", "4", 9)]),
        # the lower sum
        ([("a", "2", 5), ("b", "2", 3)], [("c", "2", 5), ("d", "2", 4)]),
        # fewer victims: the sums count the number of pods before everything
        ([("a", "4", 5)], [("c", "2", 5), ("d", "2", -9)]),
    ],
)
def test_the_node_with_the_least_loss_is_chosen(first: Any, second: Any) -> None:
    for names in (("good", "bad"), ("bad", "good")):
        cluster = Cluster(*(node(name) for name in names))
        for name, pods in (("good", first), ("bad", second)):
            cluster.put(*(small(it, cpu, priority) for it, cpu, priority in pods), on=name)
        for draw in (0.0, 0.6):
            assert victims(cluster, important(), draw=draw)[0] == "good"


def test_the_node_whose_most_important_victims_started_last_is_chosen() -> None:
    cluster = Cluster(node("old"), node("young"))
    cluster.put(small("a", "4", status=started(1)), on="old")
    cluster.put(small("b", "4", status=started(9)), on="young")
    assert victims(cluster, important()) == ("young", ["b"])


def budget(allowed: int, *disrupted: str, app: str = "web") -> Budget:
    selector = selectors.of_map({"app": app})
    return Budget("default", selector, allowed, frozenset(disrupted))


def test_budgets_are_kept_where_another_node_can_be_had() -> None:
    cluster = Cluster(node("guarded"), node("free"))
    cluster.put(small("a", "4", labels={"app": "web"}), on="guarded")
    cluster.put(small("b", "4", priority=50), on="free")
    assert victims(cluster, important(), [budget(0)])[0] == "free"
    assert victims(cluster, important(), [budget(1)])[0] == "guarded"


def test_those_under_a_budget_are_put_back_first() -> None:
    cluster = Cluster(node("n")).put(
        small("web", "2", labels={"app": "web"}), small("plain", "2", priority=7), on="n"
    )
    assert victims(cluster, important("2"), [budget(0)]) == ("n", ["plain"])
    assert victims(cluster, important("2")) == ("n", ["web"])


def test_a_budget_is_used_up_in_the_order_of_importance() -> None:
    cluster = Cluster(node("n"))
    pods = [small(name, labels={"app": "web"}) for name in ("a", "b", "c")]
    cluster.put(*pods, on="n")
    state = cluster.snapshot.state("n")
    assert state is not None
    placed = list(cluster.snapshot.pods_on(state))
    assert list(violating(placed, [budget(1)])) == ["uid-b", "uid-c"]
    assert list(violating(placed, [budget(1, "a")])) == ["uid-c"]
    assert list(violating(placed, [budget(0, app="other")])) == []
    everything = Budget("default", selectors.everything(), 0)
    assert list(violating(placed, [everything])) == []


def test_anti_affinity_is_solved_by_victims_on_the_node_itself() -> None:
    cluster = Cluster(node("n", labels={"rack": "1"}), node("m", labels={"rack": "1"}))
    apart = {"podAntiAffinity": {REQUIRED: [RACK]}}
    cluster.put(small("enemy", labels={"app": "x"}), on="n")
    assert victims(cluster, important("1", affinity=apart)) == ("n", ["enemy"])
    cluster.put(small("other", labels={"app": "x"}), on="m")
    assert found(cluster, important("1", affinity=apart)) == (
        "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."
    )


def test_a_pod_that_cannot_bear_the_new_one_goes() -> None:
    apart = {"podAntiAffinity": {REQUIRED: [RACK]}}
    cluster = Cluster(node("n", labels={"rack": "1"}))
    cluster.put(small("shy", affinity=apart), small("calm"), on="n")
    assert victims(cluster, important("1", labels={"app": "x"})) == ("n", ["shy"])


def test_who_attracts_itself_is_the_first_only_where_nobody_is_left_elsewhere() -> None:
    near = {"podAffinity": {REQUIRED: [RACK]}}
    new = important(labels={"app": "x"}, affinity=near)
    cluster = Cluster(node("n", labels={"rack": "1"}), node("m", labels={"rack": "2"}))
    cluster.put(small("friend", "4", labels={"app": "x"}), on="n")
    cluster.put(small("full", "4", priority=500), on="m")
    assert victims(cluster, new) == ("n", ["friend"])
    cluster = Cluster(node("n", labels={"rack": "1"}), node("m", labels={"rack": "2"}))
    cluster.put(small("friend", "4", labels={"app": "x"}), on="n")
    cluster.put(small("other", "4", priority=500, labels={"app": "x"}), on="m")
    assert found(cluster, new) == (
        "0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 node(s) didn't "
        "match pod affinity rules."
    )


def test_spreading_is_solved_by_victims() -> None:
    spread = {**RACK, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    cluster = Cluster(node("n", labels={"rack": "1"}), node("m", labels={"rack": "2"}))
    cluster.put(small("a", labels={"app": "x"}), on="n")
    cluster.put(small("full", "4", priority=500), on="m")
    new = important("1", labels={"app": "x"}, topologySpreadConstraints=[spread])
    assert victims(cluster, new) == ("n", ["a"])


def test_room_kept_for_a_nominated_pod_is_not_given_away() -> None:
    cluster = Cluster(node("n"))
    cluster.snapshot.nominate(asking("3", name="first", priority=100), "n")
    assert cluster.refused(asking("2", name="later")) == {"n": ("Insufficient cpu",)}
    assert cluster.refused(important("2")) == {"n": ("Insufficient cpu",)}
    assert cluster.chosen(asking("2", name="more", priority=101)) == "n"
    cluster.snapshot.nominate(asking("3", name="first", priority=100), "")
    assert cluster.chosen(asking("2", name="later")) == "n"


def test_who_may_not_preempt_is_told_why() -> None:
    cluster = Cluster(node("n"))
    gone = {
        "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        "status": {
            "conditions": [
                {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
            ]
        },
    }
    cluster.put(small("going", "4", **gone), on="n")
    new = important()
    ask, answer = cluster.ask(new), cluster.decide(new)
    assert isinstance(answer, Unfit)
    assert ineligible(ask, answer, "") == ""
    assert ineligible(ask, answer, "n") == WAITING
    assert ineligible(ask, answer, "unknown") == ""
    never = important(preemptionPolicy="Never")
    assert ineligible(cluster.ask(never), answer, "") == NEVER


def test_a_trial_holds_until_its_node_or_a_budget_changes() -> None:
    cluster, trials = Cluster(node("n"), node("m")), Trials()
    cluster.put(small("a", "4"), on="n").put(small("b", "4", priority=1), on="m")
    budgets: list[Budget] = []
    assert victims(cluster, important(), budgets, trials=trials) == ("n", ["a"])
    cluster.snapshot.remove("uid-a")
    cluster.put(small("c", "4", priority=2, labels={"app": "web"}), on="n")
    assert victims(cluster, important(), budgets, trials=trials) == ("m", ["b"])
    cluster.put(small("d", "0", priority=99), on="m")
    assert victims(cluster, important(), budgets, trials=trials) == ("m", ["b"])
    assert victims(cluster, important(), [budget(0)], trials=trials) == ("m", ["b"])


def test_where_even_the_empty_node_is_too_small_nobody_goes() -> None:
    cluster = Cluster(node("n", room={"cpu": "1", "pods": "10"})).put(small("a"), on="n")
    assert found(cluster, important("2")) == (
        "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )


def test_a_place_among_the_pods_of_a_node_can_be_won() -> None:
    cluster = Cluster(node("n", room={"pods": "1"})).put(pod("a"), on="n")
    assert victims(cluster, important("0")) == ("n", ["a"])
