"""`steer why` on a cluster: the chain from an object to what has to change."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clusters import Cluster, Said

pytestmark = pytest.mark.system


def why(cluster: Cluster, *words: str) -> Said:
    return cluster.steer("why", *words, "--kubeconfig", str(cluster.kubeconfig))


def test_a_pod_that_asks_for_too_much_is_told_how_far_each_node_is_from_fitting(
    cluster: Cluster, namespace: str
) -> None:
    asks = {"requests": {"cpu": "100"}}
    spec: Any = {"containers": [{"name": "c", "image": "i:1", "resources": asks}]}
    metadata = {"name": "big", "namespace": namespace}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    cluster.ok("create", "-f", "-", stdin=json.dumps(document))
    said = why(cluster, "pod/big", "-n", namespace)
    assert said.code == 0, said.err
    assert said.out.splitlines()[:2] == [
        "pod/big: has no node: all 3 refuse it",
        "  3 of them: Insufficient cpu (simulated-0 lacks 68 cpu, simulated-1 lacks 68 cpu, "
        "simulated-2 lacks 68 cpu)",
    ]
    found = json.loads(why(cluster, "pod", "big", "-n", namespace, "-o", "json").out)
    assert (found["about"], found["sound"], found["unread"]) == ("pod/big", False, {})


def test_a_deployment_that_is_as_wanted_is_said_to_be(cluster: Cluster, namespace: str) -> None:
    cluster.ok("create", "deployment", "web", "--image=web:1", "-n", namespace)
    cluster.ok("wait", "-n", namespace, "--for=condition=Available", "deployment/web")
    said = why(cluster, "deploy/web", "-n", namespace)
    assert said.out == "deployment.apps/web: has its 1 replicas, all of its template\n"


def test_an_object_that_is_not_there_is_a_failure(cluster: Cluster, namespace: str) -> None:
    said = why(cluster, "pvc/none", "-n", namespace)
    assert said.code == 1
    expected = f"persistentvolumeclaim/none: does not exist in the namespace {namespace}\n"
    assert said.out == expected
