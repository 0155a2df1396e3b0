"""A law of nominations: a pod fits where it fits now, and also once the pods that are nominated for
that node and no less important have come there."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scheduler_cluster import Cluster, node, pod
from steersman.model.kinds.pod import Pod

NODES = ("a", "b", "c", "d")
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
APPS = st.sampled_from(("x", "y"))
KEYS = st.sampled_from(("zone", "host"))
TERMS = st.builds(
    lambda app, key: {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}},
    APPS,
    KEYS,
)
PODS = st.fixed_dictionaries(
    {
        "app": APPS,
        "priority": st.integers(0, 1),
        "near": st.none() | TERMS,
        "apart": st.none() | TERMS,
        "spread": st.none() | TERMS,
        "cpu": st.integers(0, 2),
    }
)
PLACED = st.lists(st.tuples(PODS, st.sampled_from(NODES)), max_size=4)


def made(name: str, given_pod: Any) -> Pod:
    affinity = {}
    if given_pod["near"]:
        affinity["podAffinity"] = {REQUIRED: [given_pod["near"]]}
    if given_pod["apart"]:
        affinity["podAntiAffinity"] = {REQUIRED: [given_pod["apart"]]}
    spread = []
    if given_pod["spread"]:
        spread = [{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", **given_pod["spread"]}]
    return pod(
        name,
        labels={"app": given_pod["app"]},
        priority=given_pod["priority"],
        affinity=affinity or None,
        topologySpreadConstraints=spread,
        container={"resources": {"requests": {"cpu": str(given_pod["cpu"])}}},
    )


def cluster(placed: Any) -> Cluster:
    nodes = [node(name, labels={"host": name, "zone": "zx"[name > "b"]}) for name in NODES]
    found = Cluster(*nodes)
    for at, (given_pod, where) in enumerate(placed):
        found.put(made(f"there-{at}", given_pod), on=where)
    return found


@given(PLACED, PLACED, PODS)
def test_nominated_pods_count_on_their_node_alone_for_all_that_is_filtered(
    placed: Any, nominated: Any, asked: Any
) -> None:
    wanted = made("wanted", asked)
    found = cluster(placed)
    for at, (given_pod, where) in enumerate(nominated):
        found.snapshot.nominate(made(f"coming-{at}", given_pod), where)
    expected = cluster(placed).fitting(wanted)
    for name in NODES:
        later = cluster(placed)
        for at, (given_pod, where) in enumerate(nominated):
            if where == name and given_pod["priority"] >= asked["priority"]:
                later.put(made(f"coming-{at}", given_pod), on=name)
        if name not in later.fitting(wanted):
            expected.discard(name)
    assert found.fitting(wanted) == expected
    for at, (given_pod, _) in enumerate(nominated):
        found.snapshot.nominate(made(f"coming-{at}", given_pod), "")
    assert found.fitting(wanted) == cluster(placed).fitting(wanted)
    assert not found.snapshot.expected()
