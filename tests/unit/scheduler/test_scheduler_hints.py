"""Queueing hints, explanations, and images: what could help, what is missing, what is there."""

from __future__ import annotations

from typing import Any

from scheduler_cluster import Cluster, HeldViews, asking, node, pod, state
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.poddisruptionbudget import PODDISRUPTIONBUDGET
from steersman.model.kinds.replicaset import REPLICASET
from steersman.model.kinds.replicationcontroller import REPLICATIONCONTROLLER
from steersman.model.kinds.service import SERVICE
from steersman.scheduler.budgets import Budgets
from steersman.scheduler.decide import Unfit
from steersman.scheduler.hints import (
    Waits,
    blocked_by,
    helped_by_node,
    helped_by_pod,
    helped_by_volume,
)
from steersman.scheduler.owners import Owners
from steersman.scheduler.scores import image_locality
from steersman.scheduler.standing import Fit
from steersman.scheduler.state.demand import demand_of, full_name
from steersman.scheduler.state.snapshot import Placed
from steersman.scheduler.why import Why, explain

MEBIBYTE = 1024 * 1024
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
NEAR_X = {
    "podAffinity": {
        REQUIRED: [{"topologyKey": "rack", "labelSelector": {"matchLabels": {"app": "x"}}}]
    }
}


def waiting(cluster: Cluster, found: Pod, uid: str = "") -> Waits:
    ask, answer = cluster.ask(found), cluster.decide(found)
    assert isinstance(answer, Unfit)
    blockers = blocked_by(answer.blockers)
    return Waits(ask.demand, ask.standing.rule, ask.hood, blockers, uid)


def placed(cluster: Cluster, found: Pod, on: str) -> Placed:
    cluster.put(found, on=on)
    there = cluster.snapshot.placed(found.metadata.uid)
    assert there is not None
    return there


def test_room_on_a_node_helps_only_whom_it_is_enough_for() -> None:
    cluster = Cluster(node("n")).put(asking("4", name="full"), on="n")
    two, three = (waiting(cluster, asking(cpu)) for cpu in ("2", "3"))
    assert two.blockers == frozenset()
    there = cluster.snapshot.state("n")
    assert there is not None
    assert not helped_by_node(two, there, reshaped=False)
    cluster.snapshot.remove("uid-full")
    small = placed(cluster, asking("2", name="small"), "n")
    assert helped_by_node(two, there, reshaped=False)
    assert not helped_by_node(three, there, reshaped=False)
    assert helped_by_pod(two, there, small.flock, small.rules)
    assert not helped_by_pod(two, None, small.flock, small.rules)


def test_a_nominated_pod_is_helped_by_whatever_leaves_its_node() -> None:
    cluster = Cluster(node("n")).put(asking("4", name="full"), on="n")
    new = asking("2", name="new")
    waits = waiting(cluster, new, "uid-new")
    cluster.snapshot.nominate(new, "n")
    there = cluster.snapshot.state("n")
    assert there is not None
    assert helped_by_node(waits, there, reshaped=False)
    assert not helped_by_node(waiting(cluster, asking("2")), there, reshaped=False)


def test_a_pod_that_wants_neighbours_is_helped_by_those_it_wants_and_no_others() -> None:
    cluster = Cluster(node("n", labels={"rack": "1"}))
    waits = waiting(cluster, pod(affinity=NEAR_X))
    assert waits.blockers == {"InterPodAffinity"}
    friend = placed(cluster, pod("friend", labels={"app": "x"}), "n")
    other = placed(cluster, pod("other", labels={"app": "y"}), "n")
    assert helped_by_pod(waits, None, friend.flock, friend.rules)
    assert not helped_by_pod(waits, None, other.flock, other.rules)
    there = cluster.snapshot.state("n")
    assert there is not None
    assert helped_by_node(waits, there, reshaped=True)


def test_only_those_who_wait_for_volumes_are_helped_by_them() -> None:
    cluster = Cluster(node("n")).put(asking("4", name="full"), on="n")
    waits = waiting(cluster, asking("2"))
    assert not helped_by_volume(waits)
    by_volume = blocked_by(Unfit(1, early="x", plugin="VolumeBinding").blockers)
    assert helped_by_volume(Waits(waits.demand, waits.rule, waits.hood, by_volume))


def test_it_is_said_how_far_a_node_is_from_fitting() -> None:
    cluster = Cluster(node("n"), node("t", taints=[{"key": "k", "effect": "NoExecute"}]), node("f"))
    cluster.put(asking("3", "7Gi", name="there"), on="n")
    cluster.snapshot.nominate(asking("3", name="soon"), "t")
    assert explain(cluster.ask(asking("2", "2Gi"))) == [
        Why(
            "n",
            "NodeResourcesFit",
            ("Insufficient cpu", "Insufficient memory"),
            False,
            {"cpu": 1000, "memory": 1024**3},
        ),
        Why(
            "t",
            "TaintToleration",
            ("node(s) had untolerated taint(s)",),
            True,
            {"cpu": 1000},
        ),
    ]


def image(name: str, mebibytes: int) -> Any:
    return {"names": [name], "sizeBytes": mebibytes * MEBIBYTE}


def test_nodes_that_hold_large_images_are_better() -> None:
    cluster = Cluster(node("a"), node("b", images=[image("web:1", 900)]))
    found = pod(container={"image": "web:1"})
    assert [cluster.chosen(found, draw=draw) for draw in (0.0, 0.9)] == ["b", "b"]
    emptied = node("b")
    cluster.snapshot.node_changed(node("b", images=[image("web:1", 900)]), emptied)
    assert [cluster.chosen(found, draw=draw) for draw in (0.0, 0.9)] == ["a", "b"]
    assert cluster.snapshot.images == {}


def test_a_remembered_score_forgets_how_many_nodes_had_an_image() -> None:
    cluster = Cluster(node("a", images=[image("web:1", 900)]), node("b"))
    found = pod(container={"image": "web:1"})
    before = cluster.ask(found).standing.verdict(0)
    cluster.snapshot.node_changed(node("b"), node("b", images=[image("web:1", 900)]))
    after = cluster.ask(found).standing.verdict(0)
    assert isinstance(before, Fit)
    assert isinstance(after, Fit)
    assert after.score > before.score


def test_pods_of_a_node_that_is_gone_count_nowhere() -> None:
    far = {"podAntiAffinity": NEAR_X["podAffinity"]}
    gone = node("gone", labels={"rack": "1"})
    cluster = Cluster(gone, node("near", labels={"rack": "1"}))
    cluster.put(pod("x", labels={"app": "x"}), on="gone")
    assert cluster.fitting(pod(affinity=far)) == set()
    cluster.snapshot.node_changed(gone, None)
    cluster.snapshot.node_changed(None, node("new", labels={"rack": "2"}))
    assert cluster.fitting(pod(affinity=far)) == {"near", "new"}


def test_an_image_counts_by_its_size_and_the_share_of_nodes_that_have_it() -> None:
    found = demand_of(pod(container={"image": "web"}).spec)
    where = state(images=[image("web:latest", 500)])

    def score(mebibytes: int, count: int, nodes: int) -> int:
        images = {"web:latest": (mebibytes * MEBIBYTE, count)}
        return image_locality.score(found, where, images, nodes)

    assert score(500, 1, 1) == 100 * (500 - 23) // (1000 - 23)
    assert score(500, 1, 2) == 100 * (250 - 23) // (1000 - 23)
    assert (score(22, 1, 1), score(5000, 1, 1)) == (0, 100)
    assert image_locality.score(found, state(), {"web:latest": (10**9, 1)}, 1) == 0


def test_names_of_images_are_completed() -> None:
    assert full_name("web") == "web:latest"
    assert full_name("host:5000/web") == "host:5000/web:latest"
    assert full_name("host:5000/web:1") == "host:5000/web:1"
    assert full_name("web@sha256:ab") == "web@sha256:ab"


def service(name: str, **selector: str) -> Any:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"selector": selector}}


def replicaset(**labels: str) -> Any:
    metadata = {"name": "rs", "namespace": "default", "uid": "u"}
    return {"metadata": metadata, "spec": {"selector": {"matchLabels": labels}}}


def test_pods_are_spread_among_those_of_their_services_and_their_controller() -> None:
    views = HeldViews((SERVICE, service("a", app="x")), (SERVICE, service("b", app="y")))
    owners = Owners(views)  # type: ignore[arg-type]
    owner = {"kind": "ReplicaSet", "name": "rs", "uid": "u", "controller": True}
    plain = pod(labels={"app": "x", "hash": "1"})
    owned = pod(labels={"app": "x", "hash": "1"}, metadata={"ownerReferences": [owner]})
    assert str(owners.selector(plain)) == "app=x"
    assert str(owners.selector(owned)) == "app=x"
    views.put(REPLICASET, replicaset(hash="1"))
    assert str(owners.selector(owned)) == "app=x,hash=1"
    assert owners.selector(pod(labels={"app": "z"})) is None
    assert owners.selector(pod(labels={"app": "x"}, namespace="other")) is None
    views.put(SERVICE, service("a", app="z"))
    assert owners.selector(plain) is None
    views.put(REPLICATIONCONTROLLER, {**replicaset(), "spec": {"selector": {"app": "x"}}})
    controlled = pod(
        labels={"app": "x"},
        metadata={"ownerReferences": [{**owner, "kind": "ReplicationController"}]},
    )
    assert str(owners.selector(controlled)) == "app=x"


def test_budgets_are_understood_once_for_each_change() -> None:
    metadata = {"name": "web", "namespace": "default"}
    selector = {"matchLabels": {"app": "x"}}
    document = {
        "metadata": metadata,
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": 2, "disruptedPods": {"p": "2026-01-01T00:00:00Z"}},
    }
    views = HeldViews((PODDISRUPTIONBUDGET, document))
    budgets = Budgets(views)  # type: ignore[arg-type]
    (found,) = budgets.all()
    assert (found.namespace, found.allowed, found.disrupted) == ("default", 2, {"p"})
    assert found.selector({"app": "x"})
    assert budgets.all() is budgets.all()
    views.put(PODDISRUPTIONBUDGET, {**document, "status": {}})
    (found,) = budgets.all()
    assert found.allowed == 0
