"""What a large cluster takes: thousands of nodes and pods, a rollout, and rest.

Run: PYTHONPATH=src python bench/scale.py [whole | crowd | rollout | rest ...]. All nodes are
simulated; controllers and Events are on, the API is asked over TLS, the store is durable.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

import simulated
from row import Row
from simulated import Cluster, client_of, until

from steersman.client.client import APIClient
from steersman.model.kind import Document
from steersman.model.kinds.deployment import DEPLOYMENT, Deployment
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import POD
from steersman.model.types.condition import is_true

NODES, PODS = 5_000, 10_000
ROLLED, ROLLED_NODES = 1_000, 100
RESTING, RESTING_NODES = 1_000, 10
SIZE = f"{NODES} nodes and {PODS} pods"
SETTLE_SECONDS = 30.0  # until what was made has come to rest
MEASURED_SECONDS = 30.0


def deployment(name: str, replicas: int) -> Document:
    """Returns a Deployment of small pods."""
    labels = {"app": name}
    resources = {"requests": {"cpu": "10m", "memory": "10Mi"}}
    containers = [{"name": "c", "image": "bench:1", "resources": resources}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def is_ready(node: Node) -> bool:
    """Says whether a node is ready."""
    return is_true(node.status.conditions, "Ready")


def is_whole(found: Deployment) -> bool:
    """Says whether a Deployment has all of its pods, ready and of its newest template."""
    status, wanted = found.status, found.spec.replicas
    return status.observed_generation == found.metadata.generation and all(
        number == wanted
        for number in (status.replicas, status.updated_replicas, status.available_replicas)
    )


async def share(made: Cluster) -> float:
    """Returns how much of a core a cluster uses that is left alone, in percent."""
    await asyncio.sleep(SETTLE_SECONDS)
    before = made.cpu_seconds()
    await asyncio.sleep(MEASURED_SECONDS)
    return (made.cpu_seconds() - before) / MEASURED_SECONDS * 100


async def fill(client: APIClient) -> None:
    """Has one Deployment make thousands of pods, until all of them run."""
    seen = until(client, POD, PODS, lambda it: it.status.phase == "Running", "default")
    waiting = asyncio.create_task(seen)
    await client.create(DEPLOYMENT, deployment("crowd", PODS), namespace="default")
    await waiting


async def crowd(client: APIClient, made: Cluster, began: float) -> list[Row]:
    """Thousands of nodes come, then thousands of pods; nodes and controllers are a process."""
    await until(client, NODE, NODES, is_ready)
    there = time.perf_counter() - began
    leases = await share(made)
    before, asked = made.cpu_seconds(), time.perf_counter()
    await fill(client)
    ran = time.perf_counter() - asked
    used = made.cpu_seconds() - before
    shown = f"{there + ran:.1f} s: nodes {there:.1f} s, pods {ran:.1f} s"
    each, raw = f"{used / PODS * 1e6:.0f} µs", [there, ran, used]
    return [
        Row(f"{SIZE} Running, nodes in a second process", shown, "30 s", each, raw),
        await memory(made, "the same in two processes", ""),
        Row(f"leases of {NODES} nodes, of a core", f"{leases:.1f} %", "", raw=leases),
    ]


async def whole(client: APIClient, made: Cluster, _began: float) -> list[Row]:
    """The same crowd where all is one process, as it is by default."""
    await until(client, NODE, NODES, is_ready)
    await fill(client)
    what = f"memory of the control plane at {SIZE}, the nodes within"
    return [await memory(made, what, "300 MB")]


async def memory(made: Cluster, what: str, wanted: str) -> Row:
    """Returns what a cluster takes that has come to rest."""
    await asyncio.sleep(SETTLE_SECONDS)
    parts = made.megabytes()
    each = f" ({' and '.join(f'{it:.0f}' for it in parts)})" if parts[1:] else ""
    return Row(what, f"{sum(parts):.0f} MB{each}", wanted, raw=parts)


async def rollout(client: APIClient, made: Cluster, _began: float) -> list[Row]:
    """One Deployment comes up, and changes all of its pods."""
    await until(client, NODE, ROLLED_NODES, is_ready)
    await asyncio.sleep(5)

    async def timed(what: str, wanted: str, write: Callable[[], Any]) -> Row:
        before, began = made.cpu_seconds(), time.perf_counter()
        await write()
        await until(client, DEPLOYMENT, 1, is_whole, "default")
        took, used = time.perf_counter() - began, made.cpu_seconds() - before
        return Row(what, f"{took:.2f} s", wanted, f"{used / ROLLED * 1e6:.0f} µs", [took, used])

    document = deployment("rolled", ROLLED)
    containers = [{"name": "c", "image": "bench:2"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    ref = DEPLOYMENT.ref("default", "rolled")
    return [
        await timed(
            f"one Deployment from 0 to {ROLLED} ready replicas, {ROLLED_NODES} nodes",
            "2.5 s",
            lambda: client.create(DEPLOYMENT, document, namespace="default"),
        ),
        await timed(
            f"rolling update of all {ROLLED} replicas",
            "6 s",
            lambda: client.patch(ref, patch, how="strategic"),
        ),
    ]


async def rest(client: APIClient, made: Cluster, _began: float) -> list[Row]:
    """Many Deployments, and nothing to do."""
    await until(client, NODE, RESTING_NODES, is_ready)
    for number in range(RESTING):
        await client.create(DEPLOYMENT, deployment(f"d{number}", 1), namespace="default")
    await until(client, DEPLOYMENT, RESTING, is_whole, "default")
    used = await share(made)
    what = f"idle cluster with {RESTING} Deployments, {RESTING_NODES} nodes, of a core"
    return [Row(what, f"{used:.2f} %", "under 1 %", raw=used)]


PARTS = {
    "whole": (whole, NODES, ()),
    "crowd": (crowd, NODES, ("--split",)),
    "rollout": (rollout, ROLLED_NODES, ()),
    "rest": (rest, RESTING_NODES, ()),
}


def rows(*names: str) -> list[Row]:
    """Starts a cluster for each part, measures, ends it."""
    found = []
    for name in names or PARTS:
        work, nodes, words = PARTS[name]
        began = time.perf_counter()
        with simulated.running(nodes, *words) as made:

            async def run(work: Any = work, made: Cluster = made, began: float = began) -> Any:
                async with client_of(made) as client:
                    return await work(client, made, began)

            found += asyncio.run(run())
    return found


if __name__ == "__main__":
    for row in rows(*sys.argv[1:]):
        print(row)
