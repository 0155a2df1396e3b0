"""Fifty replicas and back: nothing of them is left on the machine."""

from __future__ import annotations

import time

from steered import TIMEOUT, Cluster, deployment, service

REPLICAS = 50


def test_scaling_to_fifty_and_back_leaves_nothing_behind(cluster: Cluster, namespace: str) -> None:
    cluster.apply(namespace, deployment("many", 0), service("many"))
    cluster.kubectl("rollout", "status", "deployment/many", "-n", namespace, TIMEOUT)
    before = cluster.traces()
    began = time.monotonic()
    scale(cluster, namespace, REPLICAS)
    cluster.kubectl("rollout", "status", "deployment/many", "-n", namespace, TIMEOUT)
    print(f"{REPLICAS} replicas are ready after {time.monotonic() - began:.1f} s")
    there = cluster.traces()
    assert len(there["links"] - before["links"]) == REPLICAS
    scale(cluster, namespace, 0)
    cluster.kubectl("wait", "pod", "-l", "app=many", "--for=delete", "-n", namespace, TIMEOUT)
    print(f"none is left after {time.monotonic() - began:.1f} s")
    after = cluster.traces()
    rules = after.pop("rules")
    left = {what: found - before[what] for what, found in after.items()}
    assert not any(left.values()), left
    assert len(rules) <= len(before["rules"])


def scale(cluster: Cluster, namespace: str, replicas: int) -> None:
    """Scales the deployment."""
    cluster.kubectl("scale", "deployment/many", f"--replicas={replicas}", "-n", namespace)
