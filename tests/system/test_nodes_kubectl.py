"""Simulated nodes on a running cluster: made, used, removed, as kubectl sees it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clusters import NODES, Cluster, Said
from steersman.model.kinds.lease import RENEWS_EVERY

pytestmark = pytest.mark.system


def nodes(cluster: Cluster, *words: str) -> Said:
    """Runs `steer nodes`."""
    return cluster.steer("nodes", *words, "--kubeconfig", str(cluster.kubeconfig))


def names(cluster: Cluster, *words: str) -> list[str]:
    """Returns the names of nodes."""
    found: list[Any] = json.loads(cluster.ok("get", "nodes", "-o", "json", *words))["items"]
    return sorted(node["metadata"]["name"] for node in found)


def test_nodes_come_take_pods_and_go(cluster: Cluster) -> None:
    before = names(cluster)
    how = ["--cpu", "2", "--label", "zone=late", "--taint", "only=late:NoSchedule", "-o", "json"]
    said = nodes(cluster, "simulate", "2", *how)
    assert said.code == 0, said.err
    made = sorted(json.loads(said.out))
    assert made == names(cluster, "-l", "zone=late") == [f"simulated-{NODES + n}" for n in (0, 1)]
    spec = {
        "nodeSelector": {"zone": "late"},
        "tolerations": [{"key": "only", "operator": "Exists"}],
        "containers": [
            {"name": "c", "image": "c:1", "resources": {"requests": {"cpu": "1500m"}}},
        ],
    }
    for number in range(3):
        metadata = {"name": f"late-{number}"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        cluster.ok("create", "-f", "-", stdin=json.dumps(pod))
        if number < 2:
            cluster.ok("wait", "pod", f"late-{number}", "--for=condition=Ready", "--timeout=30s")
    cluster.ok(
        *("wait", "pod/late-2", "--timeout=30s"),
        "--for=jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}=Unschedulable",
    )
    said = nodes(cluster, "remove-simulated", *made)
    assert said.out.splitlines() == [f"node/{name} removed" for name in made]
    assert names(cluster) == before
    cluster.ok("delete", "pod", "late-0", "late-1", "late-2", "--ignore-not-found")


def test_nothing_is_made_where_a_label_or_a_size_cannot_be(cluster: Cluster) -> None:
    before = names(cluster)
    for words in (("--label", "zone=a b"), ("--cpu", "many"), ("--taint", "a=b:Never")):
        said = nodes(cluster, "simulate", "3", *words)
        assert said.code == 1
        assert said.err.count("\n") == 1
    assert names(cluster) == before


def test_a_lease_beside_the_server_is_read_as_renewed_and_not_written(cluster: Cluster) -> None:
    found = json.loads(cluster.ok("get", "lease", "-n", "kube-node-lease", "-o", "json"))
    leases = {it["metadata"]["name"]: it for it in found["items"]}
    for name in names(cluster, "-l", "steersman.dev/simulated=true"):
        assert leases[name]["metadata"]["annotations"][RENEWS_EVERY] == "10"
        renewed = datetime.fromisoformat(leases[name]["spec"]["renewTime"])
        assert timedelta(0) <= datetime.now(UTC) - renewed < timedelta(seconds=20)


def test_only_what_is_simulated_can_be_removed(cluster: Cluster) -> None:
    said = nodes(cluster, "remove-simulated", "simulated-0", "another")
    assert (said.code, said.err) == (1, "steer: there is no simulated node another\n")
    assert "simulated-0" in names(cluster)


def test_a_file_says_how_pods_behave_and_is_refused_whole_with_its_line(
    cluster: Cluster, tmp_path: Path
) -> None:
    before = names(cluster)
    file = tmp_path / "behaviour.yaml"
    file.write_text("pods:\n- runFor: 1s\n- crashAfter: soon\n")
    said = nodes(cluster, "simulate", "2", "--behaviour", str(file))
    assert said.code == 1
    assert said.err.startswith(
        f"steer: --behaviour {file}: line 3: pods[1].crashAfter: 'soon' is no duration"
    )
    assert names(cluster) == before
    file.write_text("pods:\n- match: {app: typo}\n  pullFails: no such host\n")
    said = nodes(cluster, "simulate", "1", "--label", "z=b", "--behaviour", str(file))
    assert said.code == 0, said.err
    for app in ("typo", "good"):
        spec = {"nodeSelector": {"z": "b"}, "containers": [{"name": "c", "image": "c:1"}]}
        metadata = {"name": app, "labels": {"app": app}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        cluster.ok("create", "-f", "-", stdin=json.dumps(pod))
    cluster.ok("wait", "pod/good", "--for=condition=Ready", "--timeout=30s")
    reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImagePull"
    cluster.ok("wait", "pod/typo", f"--for={reason}", "--timeout=30s")
    assert "ErrImagePull" in cluster.ok("get", "pod", "typo")
    assert 'Failed to pull image "c:1": no such host' in cluster.ok("describe", "pod", "typo")
    cluster.ok("delete", "pod", "typo", "good")
    assert nodes(cluster, "remove-simulated", *(set(names(cluster)) - set(before))).code == 0
