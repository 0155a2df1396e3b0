"""Rules over a cluster's state: what each finds, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.testing.invariants.lifetimes import Lifetimes
from steersman.testing.invariants.rollouts import Broken
from steersman.testing.invariants.state import (
    BUDGETS,
    DEPLOYMENTS,
    JOBS,
    NODES,
    PODS,
    REPLICASETS,
    STATEFULSETS,
    State,
    check,
    requests,
)

MAPS = Resource("", "configmaps")
GONE = "2026-01-01T00:00:00Z"


def thing(name: str, owner: str = "", kind: str = "", **fields: Any) -> Document:
    """Returns an object whose uid is its name; `owner` is the uid of who controls it."""
    metadata: Document = {"name": name, "namespace": "default", "uid": name, "generation": 1}
    if owner:
        reference = {"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": owner}
        metadata["ownerReferences"] = [{**reference, "controller": True}]
    metadata |= fields.pop("metadata", {})
    status = {"observedGeneration": 1, **fields.pop("status", {})}
    return {"metadata": metadata, "status": status, **fields}


def pod(name: str, owner: str = "", kind: str = "ReplicaSet", **fields: Any) -> Document:
    ready = [{"type": "Ready", "status": "True"}]
    status = {"phase": "Running", "conditions": ready, **fields.pop("status", {})}
    spec = fields.pop("spec", {})
    return thing(name, owner, kind, spec=spec, status=status, **fields)


def found(objects: dict[Resource, list[Document]]) -> list[tuple[str, str, str]]:
    return [(it.path, it.rule, it.message) for it in check(State(objects))]


def deployment(replicas: int, **metadata: Any) -> Document:
    rolling = {"maxSurge": "50%", "maxUnavailable": 0}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    spec = {"replicas": replicas, "strategy": strategy}
    return thing("web", spec=spec, metadata=metadata)


def rollout(count: int, **metadata: Any) -> dict[Resource, list[Document]]:
    sets = [thing(name, "web", "Deployment", spec={}) for name in ("old", "new")]
    pods = [pod(f"p-{number}", ("old", "new")[number % 2]) for number in range(count)]
    return {DEPLOYMENTS: [deployment(2, **metadata)], REPLICASETS: sets, PODS: pods}


def test_more_pods_than_wanted_and_surge_are_found() -> None:
    assert found(rollout(3)) == []
    path = "/apis/apps/v1/namespaces/default/deployments/web"
    assert found(rollout(4)) == [(path, "surge", "4 pods are active, at most 3 may be")]


def test_a_controller_that_has_not_seen_the_spec_breaks_no_bound() -> None:
    assert found(rollout(4, generation=2)) == []
    unseen = rollout(4)
    unseen[REPLICASETS][0]["metadata"]["generation"] = 2
    assert found(unseen) == []


def test_pods_that_have_ended_or_go_do_not_count() -> None:
    objects = rollout(4)
    objects[PODS][0]["status"]["phase"] = "Failed"
    assert found(objects) == []
    objects = rollout(4)
    objects[PODS][0]["metadata"] |= {"deletionTimestamp": GONE, "deletionGracePeriodSeconds": 30}
    assert found(objects) == []


def test_an_ordinal_that_is_there_twice_is_found() -> None:
    pods = [pod(name, "db", "StatefulSet") for name in ("db-0", "db-1", "other-1")]
    ((path, rule, message),) = found({STATEFULSETS: [thing("db", spec={})], PODS: pods})
    assert (path, rule) == ("/apis/apps/v1/namespaces/default/statefulsets/db", "ordinal-twice")
    assert message.startswith("ordinals 1 are there more than once")
    assert found({STATEFULSETS: [thing("db", spec={})], PODS: pods[:2]}) == []


def test_a_job_with_too_many_pods_or_an_index_twice_is_found() -> None:
    def marked(name: str, index: str) -> Document:
        marks = {"annotations": {"batch.kubernetes.io/job-completion-index": index}}
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j"}
        made = pod(name, metadata=marks)
        made["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
        return made

    pods = [marked("a", "0"), marked("b", "1"), marked("c", "1")]
    said = found({JOBS: [thing("j", spec={"parallelism": 2})], PODS: pods})
    assert [(rule, message) for _, rule, message in said] == [
        ("parallelism", "3 pods are active, at most 2 may be"),
        ("parallelism", "indexes 1 run more than once"),
    ]
    assert found({JOBS: [thing("j", spec={"parallelism": 2})], PODS: pods[:2]}) == []
    assert found({JOBS: [thing("j", spec={"parallelism": 2})], PODS: [pods[0]]}) == []


@pytest.mark.parametrize(
    ("allowed", "healthy", "wrong"), [(1, 3, False), (2, 3, True), (0, 1, False), (1, 2, True)]
)
def test_a_budget_that_lets_too_many_go_is_found(allowed: int, healthy: int, wrong: bool) -> None:
    spec = {"minAvailable": 2, "selector": {"matchLabels": {"a": "b"}}}
    status = {"disruptionsAllowed": allowed, "desiredHealthy": 2, "expectedPods": 3}
    budget = thing("pdb", spec=spec, status=status)
    pods = [pod(f"p-{number}", metadata={"labels": {"a": "b"}}) for number in range(healthy)]
    pods += [pod("sick", metadata={"labels": {"a": "b"}}, status={"conditions": []}), pod("other")]
    said = found({BUDGETS: [budget], PODS: pods})
    assert [rule for _, rule, _ in said] == (["budget"] if wrong else [])
    budget["metadata"]["generation"] = 2
    assert found({BUDGETS: [budget], PODS: pods}) == []


def test_a_budget_of_a_share_counts_what_is_expected() -> None:
    spec = {"minAvailable": "50%", "selector": {}}
    status = {"disruptionsAllowed": 1, "desiredHealthy": 0, "expectedPods": 4}
    budgets = [thing("pdb", spec=spec, status=status)]
    assert found({BUDGETS: budgets, PODS: [pod("a"), pod("b")]}) == [
        (
            "/apis/policy/v1/namespaces/default/poddisruptionbudgets/pdb",
            "budget",
            "1 of 2 healthy pods may go, 2 must stay",
        )
    ]


def test_a_node_with_more_than_it_has_room_for_is_found() -> None:
    room = {"cpu": "2", "memory": "1Gi", "pods": "3"}
    node = thing("n", metadata={"namespace": ""}, status={"allocatable": room})

    def asking(name: str, cpu: str) -> Document:
        resources = {"requests": {"cpu": cpu}}
        return pod(name, spec={"nodeName": "n", "containers": [{"resources": resources}]})

    fits = [asking("a", "1500m"), asking("b", "500m"), pod("c", spec={"nodeName": "n"})]
    assert found({NODES: [node], PODS: fits}) == []
    assert found({NODES: [node], PODS: [fits[0], asking("b", "501m")]}) == [
        ("/api/v1/nodes/n", "overcommitted", "2 pods ask for 2001m of cpu, it has 2")
    ]
    assert [message for *_, message in found({NODES: [node], PODS: [*fits, asking("d", "0")]})] == [
        "4 pods ask for 4 of pods, it has 3"
    ]


def test_what_a_pod_asks_for_counts_sidecars_init_containers_overhead_and_its_own_word() -> None:
    def one(cpu: str, **fields: Any) -> Document:
        return {"resources": {"requests": {"cpu": cpu}}, **fields}

    spec: Document = {
        "initContainers": [one("1", restartPolicy="Always"), one("5"), one("100m")],
        "containers": [one("1"), one("2"), {}],
        "overhead": {"cpu": "250m", "memory": "1Mi"},
    }
    asked = {name: str(amount) for name, amount in requests({"spec": spec}).items()}
    assert asked == {"cpu": "6250m", "memory": "1Mi"}
    spec["initContainers"][1] = one("2")
    assert str(requests({"spec": spec})["cpu"]) == "4250m"
    spec["resources"] = {"requests": {"cpu": "10"}}
    assert str(requests({"spec": spec})["cpu"]) == "10250m"


def test_what_outlives_its_finalizers_or_its_owners_is_found() -> None:
    late = thing("late", metadata={"deletionTimestamp": GONE})
    held = thing("held", metadata={"deletionTimestamp": GONE, "finalizers": ["a/b"]})
    alone = thing("alone", "gone", "Deployment")
    elsewhere = thing("elsewhere", "gone", "Widget")
    owned = thing("owned", "web", "Deployment")
    objects = {MAPS: [late, held, alone, elsewhere, owned], DEPLOYMENTS: [deployment(1)]}
    path = "/api/v1/namespaces/default/configmaps"
    assert found(objects) == [
        (
            f"{path}/late",
            "finalizers-first",
            f"was deleted at {GONE}, has no finalizer, and is still there",
        ),
        (f"{path}/alone", "owner-gone", "its owners are gone: Deployment/gone"),
    ]


def test_an_object_with_a_finalizer_does_not_go_before_it_is_deleted() -> None:
    lives = Lifetimes()
    lives.see(MAPS, "default", "a", thing("a", metadata={"finalizers": ["a/b"]}))
    with pytest.raises(Broken, match="went before"):
        lives.see(MAPS, "default", "a", None)
    marked = {"finalizers": ["a/b"], "deletionTimestamp": GONE}
    lives.see(MAPS, "default", "b", thing("b", metadata=marked))
    lives.see(MAPS, "default", "b", None)


def test_a_namespace_does_not_go_before_what_is_in_it() -> None:
    namespaces = Resource("", "namespaces")
    lives = Lifetimes()
    for name in ("full", "empty"):
        lives.see(namespaces, "", name, thing(name))
        lives.see(MAPS, name, "a", thing("a"))
        lives.see(Resource("", "events"), name, "e", thing("e"))
    lives.see(MAPS, "empty", "a", None)
    lives.see(namespaces, "", "empty", None)
    with pytest.raises(Broken, match="the namespace full went before"):
        lives.see(namespaces, "", "full", None)


def test_who_owns_an_object_and_lives_is_known() -> None:
    lives = Lifetimes()
    lives.see(DEPLOYMENTS, "default", "web", deployment(1))
    owned = thing("owned", "web", "Deployment")
    assert lives.living_owners(owned) == ["web"]
    assert lives.living_owners(thing("other", "gone", "Deployment")) == []
    lives.see(DEPLOYMENTS, "default", "web", deployment(1, deletionTimestamp=GONE))
    assert lives.living_owners(owned) == []
    lives.see(DEPLOYMENTS, "default", "web", deployment(1))
    lives.see(DEPLOYMENTS, "default", "web", None)
    assert lives.living_owners(owned) == []
