"""What a node's pods cost: how soon they run, answer and are gone, and what they weigh at rest.

Every pod is one container of a static busybox, its image present; it ends on SIGTERM. What is
measured is seen by a client over TLS, as a person would see it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import processes
from row import Row

from steersman.client import kubeconfig
from steersman.client.client import APIClient
from steersman.client.http import HTTPTransport
from steersman.model.kinds.pod import POD, Pod
from steersman.wire.channels import ERROR, Channels, Data
from steersman.wire.websocket import WebSocket
from steersman.world.real import RealWorld

IMAGE = "bench:1"
CONTAINERFILE = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\nCOPY lines /lines\n"
NAMESPACE = "default"
SINGLE = 30  # pods started, and then deleted, one after another
AT_ONCE = 50
EXECS = 30
IDLE_SECONDS = 20.0
LOG_FILE_MEGABYTES, LOG_TIMES = 16, 250
LOG_MEGABYTES = LOG_FILE_MEGABYTES * LOG_TIMES
LINE = b"x" * 127 + b"\n"
WAITS = "trap 'exit 0' TERM; /bin/busybox sleep 3600 & wait"
WRITES = f"i=0; while [ $i -lt {LOG_TIMES} ]; do /bin/busybox cat /lines; i=$((i+1)); done"
WAIT_SECONDS = 120.0


class Node:
    """The pods of a cluster as a client follows them."""

    def __init__(self, client: APIClient) -> None:
        self.client = client
        self.pods: dict[str, Pod] = {}
        self._changed = asyncio.Event()

    async def follow(self) -> None:
        """Follows the pods for ever."""
        listing = await self.client.list(POD, NAMESPACE)
        async for some in self.client.watch(POD, NAMESPACE, after=listing.revision):
            for change in some:
                if change.object is None:
                    continue
                if change.type == "DELETED":
                    self.pods.pop(change.object.metadata.name, None)
                else:
                    self.pods[change.object.metadata.name] = change.object
            self._changed.set()

    async def until(self, done: Callable[[], bool]) -> None:
        """Waits until the pods are as wanted."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not done():
                self._changed.clear()
                await self._changed.wait()

    async def create(self, name: str, command: str = WAITS) -> None:
        """Creates a pod that runs a shell command."""
        container = {
            "name": "main",
            "image": IMAGE,
            "imagePullPolicy": "Never",
            "command": ["/bin/sh", "-c", command],
        }
        spec = {"containers": [container], "restartPolicy": "Never"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        await self.client.create(POD, pod, namespace=NAMESPACE)

    async def delete(self, name: str) -> None:
        """Asks for a pod's end."""
        await self.client.delete(POD.ref(NAMESPACE, name))

    def phase(self, name: str) -> str:
        """Returns a pod's phase, empty where there is no pod."""
        return self.pods[name].status.phase if name in self.pods else ""

    def ready(self) -> int:
        """Returns how many pods are Ready."""
        return sum(
            any(it.type == "Ready" and it.status == "True" for it in pod.status.conditions)
            for pod in self.pods.values()
        )

    async def exec(self, name: str) -> None:
        """Runs a command in a pod, and waits for its exit code."""
        query = "command=/bin/busybox&command=true&stdout=true&stderr=true"
        channel = await self.client.stream(POD.ref(NAMESPACE, name), "exec", query)
        channels = Channels("v5.channel.k8s.io", WebSocket(mask=lambda: b"mask"))
        while data := await channel.read():
            found = channels.feed(data)
            if any(isinstance(it, Data) and it.channel == ERROR for it in found):
                channel.close()
                return
        raise RuntimeError("the stream ended without an exit code")


async def _timed(act: Any) -> float:
    began = time.perf_counter()
    await act
    return time.perf_counter() - began


async def _start_one(node: Node, name: str) -> None:
    await node.create(name)
    await node.until(lambda: node.phase(name) == "Running")


async def _end_one(node: Node, name: str) -> None:
    await node.delete(name)
    await node.until(lambda: name not in node.pods)


async def _start_many(node: Node) -> None:
    await asyncio.gather(*[node.create(f"many-{number}") for number in range(AT_ONCE)])
    await node.until(lambda: node.ready() == AT_ONCE)


async def _end_many(node: Node) -> None:
    await asyncio.gather(*[node.delete(f"many-{number}") for number in range(AT_ONCE)])
    await node.until(lambda: not node.pods)


async def singly(node: Node) -> list[Row]:
    """One pod after another: until it runs, a command in it, until it is gone."""
    names = [f"one-{number}" for number in range(SINGLE)]
    starts = [await _timed(_start_one(node, name)) for name in names]
    execs = [await _timed(node.exec(names[0])) for _ in range(EXECS)]
    ends = [await _timed(_end_one(node, name)) for name in names]
    return [
        Row(
            "Pod create to Running, image present",
            f"{_middle(starts)}, slowest of {SINGLE} {_last(starts)}",
            "80 ms; 50 ms, p99 120 ms",
            raw=starts,
        ),
        Row("exec round trip through the API", _middle(execs), "30 ms", raw=execs),
        Row("Pod delete to gone, ends on SIGTERM", _middle(ends), "100 ms", raw=ends),
    ]


async def at_once(node: Node, directory: Path) -> list[Row]:
    """Many pods at once, what they weigh, and what they cost at rest."""
    took = [await _timed(_start_many(node))]
    server = processes.find("steer-server", str(directory))
    agent = processes.find("steer-node", str(directory))
    await asyncio.sleep(IDLE_SECONDS / 4)  # shims end when there is nothing left to do
    ours = [each for each in processes.tree(agent) if processes.name(each).startswith("steer-")]
    node_bytes = sum(map(processes.pss_bytes, ours))
    before = sum(map(processes.cpu_seconds, (server, *ours)))
    await asyncio.sleep(IDLE_SECONDS)
    after = sum(map(processes.cpu_seconds, (server, *ours)))
    used = (after - before) / IDLE_SECONDS * 100
    ended = [await _timed(_end_many(node))]
    return [
        Row(f"{AT_ONCE} Pods at once to all Ready", f"{took[0]:.2f} s", "2 s", raw=took),
        Row(
            f"memory of the node with {AT_ONCE} Pods: agent, parent, {len(ours) - 2} keepers (PSS)",
            f"{node_bytes / 1e6:.0f} MB",
            f"{45 + 0.8 * AT_ONCE:.0f} MB",
        ),
        Row(f"processor with {AT_ONCE} idle Pods, server and all", f"{used:.2f} %", "under 1 %"),
        Row(f"{AT_ONCE} Pods deleted at once to gone", f"{ended[0]:.2f} s", "", raw=ended),
    ]


async def logs(node: Node) -> list[Row]:
    """How fast a container's output is taken."""
    await node.create("writer", WRITES)
    await node.until(lambda: node.phase("writer") in ("Succeeded", "Failed"))
    state = node.pods["writer"].status.container_statuses[0].state.terminated
    assert state is not None and state.exit_code == 0, state
    took = (state.finished_at - state.started_at).total_seconds()
    await _end_one(node, "writer")
    rate = f"{LOG_MEGABYTES / max(took, 0.5):.0f} MB/s"
    return [Row("log of one container, 128 bytes a line", rate, "500 MB/s", raw=[took])]


def _middle(seconds: Iterable[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f} ms"


def _last(seconds: list[float]) -> str:
    return f"{sorted(seconds)[-1] * 1000:.0f} ms"


def context(place: Path) -> Path:
    """Makes the folder that the image is built from."""
    folder = place / "context"
    folder.mkdir()
    (folder / "busybox").write_bytes(Path("/usr/bin/busybox").read_bytes())
    (folder / "busybox").chmod(0o755)
    (folder / "lines").write_bytes(LINE * (LOG_FILE_MEGABYTES * 1_000_000 // len(LINE)))
    (folder / "Containerfile").write_text(CONTAINERFILE)
    return folder


async def measure(config: Path, directory: Path) -> list[Row]:
    """Runs everything on a cluster that has the image."""
    client = APIClient(HTTPTransport(kubeconfig.read(config)), RealWorld())
    node = Node(client)
    following = asyncio.ensure_future(node.follow())
    try:
        return [*await singly(node), *await at_once(node, directory), *await logs(node)]
    finally:
        following.cancel()
        await client.close()
