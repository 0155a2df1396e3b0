"""`decide` against brute force on small random clusters."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from scheduler_cluster import Cluster
from steersman.model.kinds.node import Node
from steersman.model.kinds.pod import Pod
from steersman.scheduler.decide import Chosen, Unfit
from steersman.scheduler.memory import Memory
from steersman.scheduler.message import fit_error

LABELS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"), max_size=2)
KEYS = st.sampled_from(["k", "j"])
EFFECTS = st.sampled_from(["NoSchedule", "NoExecute", "PreferNoSchedule"])
TAINTS = st.lists(st.fixed_dictionaries({"key": KEYS, "effect": EFFECTS}), max_size=2)
TOLERATIONS = st.lists(
    st.fixed_dictionaries(
        {"key": KEYS, "operator": st.just("Exists"), "effect": st.one_of(EFFECTS, st.just(""))}
    ),
    max_size=2,
)
NODES = st.lists(
    st.fixed_dictionaries(
        {
            "cpu": st.integers(0, 4),
            "memory": st.integers(0, 4),
            "pods": st.integers(0, 4),
            "labels": LABELS,
            "taints": TAINTS,
            "cordoned": st.booleans(),
        }
    ),
    max_size=6,
)
PODS = st.lists(
    st.fixed_dictionaries(
        {
            "cpu": st.integers(0, 3),
            "memory": st.integers(0, 3),
            "port": st.sampled_from([0, 0, 80, 81]),
            "selector": LABELS,
            "tolerations": TOLERATIONS,
        }
    ),
    min_size=1,
    max_size=10,
)


def make_node(at: int, given: Any) -> Node:
    room = {"cpu": str(given["cpu"]), "memory": str(given["memory"]), "pods": str(given["pods"])}
    document = {
        "metadata": {"name": f"n{at}", "labels": given["labels"]},
        "spec": {"taints": given["taints"], "unschedulable": given["cordoned"]},
        "status": {"allocatable": room},
    }
    return msgspec.convert(document, Node)


def make_pod(at: int, given: Any) -> Pod:
    requests = {"cpu": str(given["cpu"]), "memory": str(given["memory"])}
    container: dict[str, Any] = {"name": "c", "resources": {"requests": requests}}
    if given["port"]:
        container["ports"] = [{"containerPort": 1, "hostPort": given["port"]}]
    spec = {
        "containers": [container],
        "nodeSelector": given["selector"],
        "tolerations": given["tolerations"],
    }
    document = {"metadata": {"name": f"p{at}", "uid": f"p{at}"}, "spec": spec}
    return msgspec.convert(document, Pod)


def fits(pod: Any, node: Any, there: list[Any]) -> bool:
    """Says so from the plain numbers, sharing nothing with the code under test."""

    def bears(taint: Any) -> bool:
        return any(
            it["key"] == taint["key"] and it["effect"] in ("", taint["effect"])
            for it in pod["tolerations"]
        )

    hard = [it for it in node["taints"] if it["effect"] != "PreferNoSchedule"]
    return (
        not node["cordoned"]
        and all(map(bears, hard))
        and all(node["labels"].get(key) == value for key, value in pod["selector"].items())
        and len(there) < node["pods"]
        and sum(it["cpu"] for it in there) + pod["cpu"] <= node["cpu"]
        and sum(it["memory"] for it in there) + pod["memory"] <= node["memory"]
        and not (pod["port"] and any(it["port"] == pod["port"] for it in there))
    )


@given(
    NODES,
    PODS,
    st.lists(st.floats(0, 0.999), min_size=10, max_size=10),
    st.sets(st.integers(0, 9)),
)
def test_a_pod_is_placed_exactly_where_it_fits_and_refused_exactly_where_nothing_fits(
    nodes: Any, pods: Any, draws: list[float], leaving: set[int]
) -> None:
    cluster = Cluster(*(make_node(at, given_node) for at, given_node in enumerate(nodes)))
    snapshot = cluster.snapshot
    there: dict[str, dict[int, Any]] = {f"n{at}": {} for at in range(len(nodes))}
    start = 0
    for at, given_pod in enumerate(pods):
        pod = make_pod(at, given_pod)
        answer = cluster.decide(pod, start=start, draw=draws[at])
        possible = {
            f"n{number}"
            for number, node in enumerate(nodes)
            if fits(given_pod, node, list(there[f"n{number}"].values()))
        }
        if isinstance(answer, Unfit):
            assert possible == set()
            text = fit_error(answer)
            assert not nodes or text.startswith(f"0/{len(nodes)} nodes are available: ")
            continue
        assert isinstance(answer, Chosen)
        assert answer.node.name in possible
        start = answer.start
        snapshot.put(pod, answer.node.name, assumed=True)
        there[answer.node.name][at] = given_pod
        if at in leaving:
            snapshot.remove(pod.metadata.uid)
            del there[answer.node.name][at]


@given(NODES, PODS)
def test_memory_changes_no_answer(nodes: Any, pods: Any) -> None:
    cluster = Cluster(*(make_node(at, given_node) for at, given_node in enumerate(nodes)))
    for at, given_pod in enumerate(pods):
        pod = make_pod(at, given_pod)
        remembered = cluster.decide(pod)
        cluster.memory = Memory(cluster.snapshot)
        assert cluster.decide(pod) == remembered
        if isinstance(remembered, Chosen):
            cluster.snapshot.put(pod, remembered.node.name)
