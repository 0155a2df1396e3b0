"""`steer debug lint` on a live cluster: quiet where all is well, and exact where it is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clusters import Cluster, Said

pytestmark = pytest.mark.system


def lint(cluster: Cluster, *words: str) -> Said:
    """Runs the command."""
    return cluster.steer("debug", "lint", "--kubeconfig", str(cluster.kubeconfig), *words)


def test_a_cluster_in_which_everything_holds_says_so(cluster: Cluster) -> None:
    cluster.ok("create", "deployment", "linted", "--image=example.com/web:1", "--replicas=3")
    cluster.ok("rollout", "status", "deployment/linted", "--timeout=60s")
    said = lint(cluster)
    assert (said.code, said.out, said.err) == (0, "everything holds\n", "")
    assert json.loads(lint(cluster, "-o", "json").out) == []
    cluster.ok("delete", "deployment", "linted")


def test_a_node_that_was_given_too_much_is_named_by_its_path(cluster: Cluster) -> None:
    resources = {"requests": {"cpu": "33"}}
    container = {"name": "c", "image": "example.com/c:1", "resources": resources}
    pod: Any = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "too-much"}}
    pod["spec"] = {"nodeName": "simulated-0", "containers": [container]}
    cluster.ok("create", "-f", "-", stdin=json.dumps(pod))
    said = lint(cluster)
    assert said.code == 1
    (line,) = said.out.splitlines()
    assert line.startswith("/api/v1/nodes/simulated-0: overcommitted: ")
    assert line.endswith(" ask for 33 of cpu, it has 32")
    (found,) = json.loads(lint(cluster, "-o", "json").out)
    assert (found["path"], found["rule"]) == ("/api/v1/nodes/simulated-0", "overcommitted")
    cluster.ok("delete", "pod", "too-much")
    assert lint(cluster).code == 0


def test_a_cluster_that_is_not_there_is_told_in_one_line(cluster: Cluster) -> None:
    said = cluster.steer("debug", "lint", "--kubeconfig", str(cluster.directory / "none"))
    assert (said.code, said.err.count("\n")) == (1, 1)
