"""A cluster of simulated nodes for one benchmark, over TLS and durable, and a client of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import processes

from steersman.client import kubeconfig
from steersman.client.client import APIClient
from steersman.client.http import HTTPTransport
from steersman.model.errors import Expired
from steersman.model.kind import Kind
from steersman.model.kinds.namespace import NAMESPACE
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT
from steersman.world.real import RealWorld

PORT = 26446
WAIT_SECONDS = 600.0


class Cluster:
    """A cluster that runs: where it is, and what its processes cost."""

    def __init__(self, place: Path) -> None:
        self.directory = place / "cluster"
        self.config = place / "kubeconfig"

    def steer(self, *words: str) -> None:
        """Runs a command of steer."""
        command = [sys.executable, "-P", "-m", "steersman", *words]
        place = ["--data-dir", str(self.directory)]
        subprocess.run([*command, *place], check=True, capture_output=True)

    def processes(self) -> list[int]:
        """Returns the server's process, and that of controllers, scheduler and nodes if any."""
        found = [processes.find("steer-server", str(self.directory))]
        try:
            return [*found, processes.find("steer-control", str(self.directory))]
        except LookupError:
            return found

    def cpu_seconds(self) -> float:
        """Returns the processor time that all of them have used."""
        return sum(map(processes.cpu_seconds, self.processes()))

    def megabytes(self) -> list[float]:
        """Returns the memory of each of them."""
        return [processes.pss_bytes(it) / 1e6 for it in self.processes()]


@contextmanager
def running(nodes: int, *words: str) -> Iterator[Cluster]:
    """Runs a new cluster for the time of a `with`."""
    with tempfile.TemporaryDirectory(prefix="steer-bench-") as place:
        made = Cluster(Path(place))
        how = ["--detach", "--no-node", "--simulated-nodes", str(nodes), "--port", str(PORT)]
        made.steer("up", *how, "--kubeconfig", str(made.config), *words)
        try:
            yield made
        finally:
            made.steer("down")


@asynccontextmanager
async def client_of(made: Cluster) -> AsyncIterator[APIClient]:
    """Gives a client that is the cluster's administrator."""
    transport = HTTPTransport(kubeconfig.read(made.config))
    try:
        yield APIClient(transport, RealWorld())
    finally:
        await transport.close()


async def until(
    client: APIClient, kind: Kind, count: int, holds: Callable[[Any], bool], namespace: str = ""
) -> None:
    """Waits until something holds of so many objects; a watch that was too slow begins anew."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            with suppress(Expired):
                await _until(client, kind, count, holds, namespace)
                return


async def _until(
    client: APIClient, kind: Kind, count: int, holds: Callable[[Any], bool], namespace: str
) -> None:
    there: set[tuple[str, str]] = set()

    def look(found: Any) -> None:
        (there.add if holds(found) else there.discard)(found.key)

    listing = await client.list(kind, namespace)
    for found in listing.items:
        look(found)
    if len(there) >= count:
        return
    async for changes in client.watch(kind, namespace, after=listing.revision):
        for change in changes:
            if change.object is not None:
                look(change.object)
        if len(there) >= count:
            return
    raise RuntimeError("the watch ended")


async def namespace_of(client: APIClient, name: str) -> str:
    """Makes a namespace in which pods can be made."""
    await client.create(NAMESPACE, {"metadata": {"name": name}})
    await until(client, SERVICEACCOUNT, 1, lambda it: it.metadata.name == "default", name)
    return name
