"""How fast pods are bound, end to end: created over TLS, decided on, written durably, seen by a
client.

Run: PYTHONPATH=src python bench/bound.py [nodes] [pods] [shape ...]. Starts a cluster of simulated
nodes in a directory of its own and ends it; each line is one shape of pod in a namespace of its
own. Seconds are from the first creation to the last binding that the client sees.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from steersman.client import kubeconfig
from steersman.client.client import APIClient
from steersman.client.http import HTTPTransport
from steersman.model.kinds.namespace import NAMESPACE
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT
from steersman.world.real import RealWorld

WRITERS = 64
WAIT_SECONDS = 600.0
SETTLE_SECONDS = 5.0  # after the last node is there, before the first pod is created
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
}


def pod(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Returns a pod that asks for a little."""
    resources = {"requests": {"cpu": "10m", "memory": "10Mi"}}
    containers = [{"name": "c", "image": "bench:1", "resources": resources}]
    metadata = {"name": name, "labels": {"app": "bench"}}
    return {"metadata": metadata, "spec": {"containers": containers, **spec}}


async def bound(client: APIClient, namespace: str, count: int) -> None:
    """Waits until so many pods of a namespace have a node."""
    there: set[str] = set()
    listing = await client.list(POD, namespace)
    async for changes in client.watch(POD, namespace, after=listing.revision):
        for change in changes:
            if change.object is not None and change.object.spec.node_name:
                there.add(change.object.metadata.name)
        if len(there) >= count:
            return


async def measure(client: APIClient, name: str, count: int) -> None:
    """Creates pods of one shape and waits for their bindings."""
    namespace = f"bench-{name}"
    await client.create(NAMESPACE, {"metadata": {"name": namespace}})
    account = SERVICEACCOUNT.ref(namespace, "default")
    async with asyncio.timeout(WAIT_SECONDS):
        listing = await client.list(SERVICEACCOUNT, namespace)
        if not any(it.key == account[1:] for it in listing.items):
            await anext(client.watch(SERVICEACCOUNT, namespace, after=listing.revision))
    names = iter(range(count))

    async def write() -> None:
        for number in names:
            document = pod(f"p{number}", SHAPES[name])
            await client.create(POD, document, namespace=namespace)

    seen = asyncio.create_task(bound(client, namespace, count))
    await asyncio.sleep(0.5)  # its watch is there
    began = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(WRITERS)))
    created = time.perf_counter() - began
    async with asyncio.timeout(WAIT_SECONDS):
        await seen
    took = time.perf_counter() - began
    print(
        f"{name:10} {count} created in {created:6.2f} s, bound in {took:6.2f} s, "
        f"{count / took:6.0f}/s",
        flush=True,
    )


async def run(path: Path, nodes: int, count: int) -> None:
    """Waits for the nodes and measures each shape."""
    world = RealWorld()
    transport = HTTPTransport(kubeconfig.read(path))
    client = APIClient(transport, world)
    async with asyncio.timeout(WAIT_SECONDS):
        listing = await client.list(NODE)
        known = {it.metadata.name for it in listing.items}
        async for changes in client.watch(NODE, after=listing.revision):
            known |= {it.object.metadata.name for it in changes if it.object is not None}
            if len(known) >= nodes:
                break
    await asyncio.sleep(SETTLE_SECONDS)
    for name in sys.argv[3:] or SHAPES:
        await measure(client, name, count)
    await transport.close()


def main() -> None:
    """Starts a cluster, measures, ends it."""
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    steer = [sys.executable, "-m", "steersman"]
    with tempfile.TemporaryDirectory(prefix="steer-bench-") as home:
        data, path = Path(home, "data"), Path(home, "kubeconfig")
        place = ["--data-dir", str(data), "--kubeconfig", str(path)]
        how = ["--no-node", "--simulated-nodes", str(nodes), "--port", "17555"]
        subprocess.run([*steer, "up", "--detach", *place, *how], check=True)
        try:
            asyncio.run(run(path, nodes, count))
        finally:
            subprocess.run([*steer, "down", "--data-dir", str(data)], check=True)


if __name__ == "__main__":
    main()
