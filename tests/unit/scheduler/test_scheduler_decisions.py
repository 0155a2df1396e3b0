"""Filters, scores and messages of the scheduler, one sentence each."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from scheduler_cluster import ROOM, Cluster, asking, demand, final, node, pod, reasons, state
from steersman.scheduler.decide import Chosen, Unfit, enough
from steersman.scheduler.message import NO_NODES, fit_error
from steersman.scheduler.preemption import ineligible, preempt
from steersman.scheduler.scores import balanced_allocation
from steersman.scheduler.scores.allocation import LEAST
from steersman.scheduler.state.demand import requested
from steersman.scheduler.state.snapshot import Snapshot


def test_requests_are_those_of_all_containers_or_of_the_hungriest_beginning() -> None:
    def container(cpu: str, **more: Any) -> dict[str, Any]:
        return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}

    plain = pod(containers=[container("1"), container("500m")])
    assert requested(plain.spec) == {"cpu": 1500}
    hungry = pod(containers=[container("1")], initContainers=[container("3"), container("2")])
    assert requested(hungry.spec) == {"cpu": 3000}
    sidecar = container("1", restartPolicy="Always")
    beside = pod(containers=[container("1")], initContainers=[sidecar, container("3")])
    assert requested(beside.spec) == {"cpu": 4000}
    before = pod(containers=[container("1")], initContainers=[container("3"), sidecar])
    assert requested(before.spec) == {"cpu": 3000}
    heavy = pod(containers=[container("1")], overhead={"cpu": "250m", "memory": "1Mi"})
    assert requested(heavy.spec) == {"cpu": 1250, "memory": 1024**2}


def test_a_pod_without_requests_counts_a_little_for_scores_only() -> None:
    found = demand(pod())
    assert found.requests == {}
    assert found.scored == {"cpu": 100, "memory": 200 * 1024**2}


def test_what_does_not_fit_is_named_and_final_where_the_empty_node_is_too_small() -> None:
    assert reasons(asking("4", "8Gi"), state()) == ()
    full = state(pods=(asking("3"),))
    assert reasons(asking("2"), full) == ("Insufficient cpu",)
    assert not final(asking("2"), full)
    assert reasons(asking("5", "9Gi"), state()) == ("Insufficient cpu", "Insufficient memory")
    assert final(asking("5"), state())
    crowded = state(room={**ROOM, "pods": "1"}, pods=(pod("other"),))
    assert reasons(pod(), crowded) == ("Too many pods",)
    special = pod(container={"resources": {"requests": {"example.com/gpu": "1"}}})
    assert reasons(special, state()) == ("Insufficient example.com/gpu",)


def test_a_cordoned_node_takes_only_who_tolerates_it() -> None:
    cordoned = state(unschedulable=True)
    assert reasons(pod(), cordoned) == ("node(s) were unschedulable",)
    key = "node.kubernetes.io/unschedulable"
    brave = pod(tolerations=[{"key": key, "operator": "Exists", "effect": "NoSchedule"}])
    assert reasons(brave, cordoned) == ()


def test_who_has_all_containers_begin_anew_runs_where_the_node_says_that_it_can() -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    plain, able = state(), state()
    features = ("RestartAllContainersOnContainerExits",)
    status = replace(able.node.status, declared_features=features)
    able.set_node(replace(able.node, status=status))
    needy = pod(container={"restartPolicyRules": [rule]})
    assert reasons(needy, plain) == ("node(s) didn't match Pod's required features",)
    assert final(needy, plain)
    assert reasons(needy, able) == ()
    modest = pod(container={"restartPolicyRules": [{**rule, "action": "Restart"}]})
    assert reasons(modest, plain) == ()


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        (None, False),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "value": "w", "effect": "NoSchedule"}, False),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, False),
        ({"operator": "Exists"}, True),
        ({"key": "j", "operator": "Exists"}, False),
    ],
)
def test_untolerated_taints_keep_pods_away(toleration: Any, fits: bool) -> None:
    tainted = state(taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
    found = pod(tolerations=[toleration] if toleration else [])
    expected = () if fits else ("node(s) had untolerated taint(s)",)
    assert reasons(found, tainted) == expected


@pytest.mark.parametrize(
    ("operator", "value", "fits"),
    [
        ("Gt", "4", True),
        ("Gt", "5", False),
        ("Gt", "6", False),
        ("Lt", "4", False),
        ("Lt", "5", False),
        ("Lt", "6", True),
        ("Lt", "many", False),
        ("Other", "5", False),
    ],
)
def test_a_taint_with_a_number_is_tolerated_above_or_below_another(
    operator: str, value: str, fits: bool
) -> None:
    tainted = state(taints=[{"key": "k", "value": "5", "effect": "NoSchedule"}])
    found = pod(tolerations=[{"key": "k", "operator": operator, "value": value}])
    assert (not reasons(found, tainted)) == fits


def test_preferred_taints_only_make_a_node_worse() -> None:
    mild = state(taints=[{"key": "k", "effect": "PreferNoSchedule"}])
    assert reasons(pod(), mild) == ()
    taints = [{"key": "k", "effect": "PreferNoSchedule"}]
    cluster = Cluster(node("mild", taints=taints), node("good"))
    for draw in (0.0, 0.5, 0.99):
        assert cluster.chosen(pod(), draw=draw) == "good"


TEXT = ("node(s) didn't match Pod's node affinity/selector",)


def affinity(**rules: Any) -> dict[str, Any]:
    return {"nodeAffinity": rules}


@pytest.mark.parametrize(
    ("term", "fits"),
    [
        ({"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}, True),
        ({"matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["ssd"]}]}, False),
        ({"matchExpressions": [{"key": "disk", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["7"]}]}, True),
        ({"matchExpressions": [{"key": "cores", "operator": "Lt", "values": ["8"]}]}, False),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}, True),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["m"]}]}, False),
        ({}, False),
    ],
)
def test_required_affinity_is_a_choice_of_terms(term: Any, fits: bool) -> None:
    where = state(labels={"disk": "ssd", "cores": "8"})
    never = {"matchExpressions": [{"key": "x", "operator": "Exists"}]}
    required = {"nodeSelectorTerms": [never, term]}
    found = pod(affinity=affinity(requiredDuringSchedulingIgnoredDuringExecution=required))
    assert reasons(found, where) == (() if fits else TEXT)


def test_a_node_selector_must_match_whole() -> None:
    where = state(labels={"a": "1"})
    assert reasons(pod(nodeSelector={"a": "1"}), where) == ()
    assert reasons(pod(nodeSelector={"a": "1", "b": "2"}), where) == TEXT


def test_preferred_affinity_draws_by_weight() -> None:
    cluster = Cluster(node("plain"), node("liked", labels={"disk": "ssd"}))
    term = {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}
    preferred = [{"weight": 5, "preference": term}]
    found = pod(affinity=affinity(preferredDuringSchedulingIgnoredDuringExecution=preferred))
    assert cluster.chosen(found, draw=0.0) == "liked"
    assert cluster.chosen(found, draw=0.99) == "liked"


def port(number: int, address: str = "", protocol: str = "TCP") -> dict[str, Any]:
    one = {"containerPort": 80, "hostPort": number, "protocol": protocol}
    return {"container": {"ports": [{**one, "hostIP": address}]}}


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (port(80), False),
        (port(81), True),
        (port(80, protocol="UDP"), True),
        (port(80, "10.0.0.2"), True),
        (port(80, "10.0.0.1"), False),
    ],
)
def test_a_port_of_a_node_is_had_once(wanted: Any, fits: bool) -> None:
    where = state(pods=(pod("other", **port(80, "10.0.0.1")),))
    text = ("node(s) didn't have free ports for the requested pod ports",)
    assert reasons(pod(**wanted), where) == (() if fits else text)


def test_a_port_of_a_node_is_given_back_and_one_of_a_container_is_none() -> None:
    cluster = Cluster(node())
    cluster.put(pod("other", **port(80)), on="n")
    assert cluster.fitting(pod(**port(80))) == set()
    cluster.snapshot.remove("uid-other")
    assert cluster.fitting(pod(**port(80))) == {"n"}
    own = {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}
    cluster.put(pod("other", **own), on="n")
    assert cluster.fitting(pod(**own)) == {"n"}


def test_a_pod_that_names_its_node_goes_nowhere_else() -> None:
    assert reasons(pod(nodeName="n"), state()) == ()
    text = ("node(s) didn't match the requested node name",)
    assert reasons(pod(nodeName="m"), state()) == text


def test_scores_prefer_empty_and_even_nodes() -> None:
    found = demand(asking("1", "2Gi"))
    assert LEAST.score(found, state()) == 75
    assert LEAST.score(found, state(pods=(asking("1", "2Gi", name="x"),))) == 50
    assert balanced_allocation.score(found, state()) == 100
    assert balanced_allocation.score(demand(asking("4")), state()) == 50


def message(cluster: Cluster, found: Any) -> str:
    """Returns what is said of a pod that fits nowhere and can displace nobody."""
    ask, answer = cluster.ask(found), cluster.decide(found)
    assert isinstance(answer, Unfit)
    why = ineligible(ask, answer, "") or preempt(ask, answer, ())
    assert isinstance(why, str)
    return fit_error(answer, why)


def test_the_message_counts_reasons_in_order_and_says_what_preemption_could_do() -> None:
    cluster = Cluster(node("a", taints=[{"key": "k", "effect": "NoExecute"}]), node("b"), node("c"))
    for name in ("b", "c"):
        cluster.put(asking("4", name=f"big-{name}"), on=name)
    assert message(cluster, asking("1")) == (
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. "
        "no new claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is "
        "not helpful for scheduling, 2 No preemption victims found for incoming pod."
    )
    never = message(cluster, asking("1", preemptionPolicy="Never"))
    assert never.endswith(" deallocate, preemption: not eligible due to preemptionPolicy=Never.")


def test_without_nodes_there_is_one_sentence() -> None:
    answer = Cluster().decide(pod())
    assert isinstance(answer, Unfit)
    assert fit_error(answer) == NO_NODES


def test_the_search_ends_when_enough_nodes_fit_and_goes_on_where_it_stopped() -> None:
    assert [enough(n) for n in (5, 99, 100, 1000, 5000, 100_000)] == [5, 99, 100, 420, 500, 5000]
    assert [enough(1000, percent) for percent in (5, 20, 100)] == [100, 200, 1000]
    cluster = Cluster(*(node(f"n{number}") for number in range(300)))
    answer = cluster.decide(pod(), start=100, most=10)
    assert isinstance(answer, Chosen)
    assert (answer.node.name, answer.start) == ("n100", 164)
    assert cluster.chosen(pod(), start=164, most=100, draw=0.999) == "n227"
    assert cluster.chosen(pod(), start=228, most=300, draw=0.999) == "n299"


def test_a_remembered_verdict_holds_until_the_node_changes() -> None:
    cluster = Cluster(node("n"))
    big = asking("3")
    assert cluster.ask(big).demand is cluster.ask(asking("3", name="same")).demand
    assert cluster.chosen(big) == "n"
    cluster.snapshot.put(big, "n", assumed=True)
    assert cluster.refused(big) == {"n": ("Insufficient cpu",)}
    cluster.snapshot.remove("uid-p")
    assert cluster.chosen(big) == "n"


def test_an_assumed_pod_counts_once_and_can_be_given_up() -> None:
    snapshot = Snapshot()
    where = snapshot.node_changed(None, node("n"))
    snapshot.put(asking("1"), "n", assumed=True)
    snapshot.put(asking("1"), "n")
    assert (where.count, where.free("cpu"), where.free("pods")) == (1, 3000, 9)
    assert snapshot.remove("uid-p", only_assumed=True) is None
    gone = snapshot.remove("uid-p")
    assert gone is not None
    assert gone.state is where
    assert (where.count, where.free("cpu")) == (0, 4000)
    snapshot.put(asking("1"), "n", assumed=True)
    assert snapshot.remove("uid-p", only_assumed=True) is not None


def test_a_pod_seen_elsewhere_leaves_where_it_was_assumed() -> None:
    snapshot = Snapshot()
    one = snapshot.node_changed(None, node("one"))
    two = snapshot.node_changed(None, node("two"))
    snapshot.put(asking("1"), "one", assumed=True)
    snapshot.put(asking("1"), "two")
    assert (one.count, two.count) == (0, 1)


def test_a_removed_node_is_not_chosen_and_its_pods_still_count_when_it_returns() -> None:
    snapshot = Snapshot()
    first = node("n")
    snapshot.node_changed(None, first)
    snapshot.put(asking("3"), "n")
    snapshot.node_changed(first, None)
    assert snapshot.all == 0
    back = snapshot.node_changed(None, first)
    assert snapshot.all == 1 << back.place
    assert back.free("cpu") == 1000
