"""How fast pods are bound, end to end: created over TLS, decided on, written durably, seen by a
client; with nodes that start them, in the server's process.

Run: PYTHONPATH=src python bench/bound.py [nodes] [pods] [shape ...]. Each shape of pod has a
namespace of its own. Seconds are from the first creation to the last binding that the client sees.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import simulated
from row import Row
from simulated import Cluster, client_of, namespace_of, until

from steersman.client.client import APIClient
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.priorityclass import PRIORITYCLASS
from steersman.model.types.condition import is_true

NODES, PODS = 5_000, 10_000
WRITERS = 64
REST_SECONDS = 15.0  # until nodes that have come are annotated with what a cluster of so many has
CPU = 32  # of a simulated node, in cores
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
EVERY = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "Exists"}]}


def affinity(side: str, key: str) -> dict[str, Any]:
    """Returns a spec with a term that takes the pods of all namespaces."""
    term = {
        "topologyKey": key,
        "labelSelector": {"matchLabels": {"app": "bench"}},
        "namespaceSelector": EVERY,
    }
    return {"affinity": {side: {REQUIRED: [term]}}}


SHAPES: dict[str, dict[str, Any]] = {
    "basic": {},
    "flow": {"schedulerName": "flow"},
    "affinity": affinity("podAffinity", "kubernetes.io/os"),
    "preemption": {"priorityClassName": "high"},  # last: it needs nodes that are full
}
WANTED = {"basic": "2,000/s", "affinity": "1,000/s", "preemption": "600/s"}


def pod(name: str, spec: dict[str, Any], cpu: str = "10m") -> dict[str, Any]:
    """Returns a pod that asks for a little."""
    resources = {"requests": {"cpu": cpu, "memory": "10Mi"}}
    containers = [{"name": "c", "image": "bench:1", "resources": resources}]
    metadata = {"name": name, "labels": {"app": "bench"}}
    return {"metadata": metadata, "spec": {"containers": containers, **spec}}


async def create(
    client: APIClient, namespace: str, count: int, spec: dict[str, Any], cpu: str = "10m"
) -> None:
    """Creates pods, many at a time."""
    names = iter(range(count))

    async def write() -> None:
        for number in names:
            await client.create(POD, pod(f"p{number}", spec, cpu), namespace=namespace)

    await asyncio.gather(*(write() for _ in range(WRITERS)))


def is_bound(found: Pod) -> bool:
    """Says whether a pod has a node."""
    return bool(found.spec.node_name)


async def fill(client: APIClient, nodes: int) -> None:
    """Leaves no room on any node but that of pods that are worth less."""
    await client.create(PRIORITYCLASS, {"metadata": {"name": "high"}, "value": 1000})
    namespace = await namespace_of(client, "bench-low")
    full = f"{CPU * 1000 - 900}m"
    await create(client, namespace, nodes, {"terminationGracePeriodSeconds": 0}, full)
    await until(client, POD, nodes, lambda it: it.status.phase == "Running", namespace)


async def measure(made: Cluster, client: APIClient, name: str, nodes: int, count: int) -> Row:
    """Creates pods of one shape and waits for their bindings."""
    cpu = "10m"
    if name == "preemption":
        cpu, count = "4", min(count, nodes)
        await fill(client, nodes)
    namespace = await namespace_of(client, f"bench-{name}")
    seen = asyncio.create_task(until(client, POD, count, is_bound, namespace))
    await asyncio.sleep(0.5)  # its watch is there
    before, began = made.cpu_seconds(), time.perf_counter()
    await create(client, namespace, count, SHAPES[name], cpu)
    created = time.perf_counter() - began
    await seen
    took, used = time.perf_counter() - began, made.cpu_seconds() - before
    what = f"{name} pods bound, end to end, {nodes} nodes"
    each = f"{used / count * 1e6:.0f} µs"
    return Row(what, f"{count / took:.0f}/s", WANTED.get(name, ""), each, [created, took, used])


async def run(made: Cluster, nodes: int, count: int, *shapes: str) -> list[Row]:
    """Waits for the nodes and measures each shape."""
    async with client_of(made) as client:
        await until(client, NODE, nodes, lambda it: is_true(it.status.conditions, "Ready"))
        await asyncio.sleep(REST_SECONDS)
        return [await measure(made, client, name, nodes, count) for name in shapes or SHAPES]


def rows(nodes: int = NODES, count: int = PODS, *shapes: str) -> list[Row]:
    """Starts a cluster, measures, ends it."""
    with simulated.running(nodes) as made:
        return asyncio.run(run(made, nodes, count, *shapes))


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:3]]
    for row in rows(*numbers, *sys.argv[3:]):
        print(row)
