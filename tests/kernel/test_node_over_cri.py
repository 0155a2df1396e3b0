"""A node of ours over `steer cri`: both sides of the interface are ours, and events are told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cri_kubelet import until
from node_cluster import (
    ROOT,
    SECONDS,
    SLEEP,
    Cluster,
    Session,
    build_image,
    clusters,
    ended,
    needs_root,
    runs,
)

from ports import free_port
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD, ContainerStatus, Pod
from steersman.wire.channels import STDOUT, Channels, Data
from steersman.wire.websocket import WebSocket

pytestmark = [*needs_root, pytest.mark.xdist_group("over cri")]


@contextmanager
def engine(home: Path) -> Iterator[str]:
    """Runs `steer cri`; yields its endpoint. Nothing of it is left."""
    words = [sys.executable, "-P", "-m", "steersman", "cri", "--data-dir", str(home / "data")]
    words += ["--listen", str(home / "cri.sock"), "--pod-cidr", "10.252.0.0/24"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        assert {"state": "ready"} in (json.loads(process.stdout.readline()) for _ in range(2))
        yield f"unix://{home / 'cri.sock'}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
        process.stdout.close()
        subprocess.run([*words, "--clean"], check=True, timeout=SECONDS, env=environment)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose node runs its pods by it."""
    home = tmp_path_factory.mktemp("cri")
    build_image(home / "data" / "images")
    with (
        engine(home) as endpoint,
        clusters("--container-runtime-endpoint", endpoint) as made,
    ):
        yield made


def app(pod: Pod) -> ContainerStatus:
    return pod.status.container_statuses[0]


async def execute(session: Session, name: str, *command: str) -> bytes:
    """Runs a command in a pod; returns what it wrote."""
    query = "&".join([*(f"command={it}" for it in command), "stdout=true"])
    channel = await session.client.stream(POD.ref("default", name), "exec", query)
    channels, said = Channels("v5.channel.k8s.io", WebSocket(mask=lambda: b"mask")), b""
    while data := await channel.read():
        for event in channels.feed(data):
            if isinstance(event, Data) and event.channel == STDOUT:
                said += event.data
    return said


def test_the_life_of_a_pod_from_creation_to_removal(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        probe = {"exec": {"command": ["cat", "/etc/passwd"]}, "periodSeconds": 1}
        await session.create("life", script=f"echo hello; {SLEEP}", readinessProbe=probe)
        pod = await session.until("life", lambda it: runs(it) and app(it).ready)
        assert pod.status.pod_ip.startswith("10.252.0.")
        assert app(pod).container_id.startswith("steersman://")
        assert await execute(session, "life", "echo", "said") == b"said\n"
        (node,) = (await session.client.list(NODE)).items
        summary = await session.client.read(
            f"/api/v1/nodes/{node.metadata.name}/proxy/stats/summary"
        )
        (told,) = [it for it in summary["pods"] if it["podRef"]["name"] == "life"]
        assert told["containers"][0]["memory"]["workingSetBytes"] > 0
        await session.delete("life")
        assert not (cluster.data / "node" / "pods" / pod.metadata.uid).exists()

    cluster.run(scenario)


def test_an_image_is_a_volume_whole_and_in_part_and_outlives_the_agent(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        pod = await session.create(
            "data",
            script="cat /whole/etc/passwd /part/passwd; touch /whole/x; "
            "until test -e /go; do sleep 0.1; done",
            volumeMounts=[
                {"name": "image", "mountPath": "/whole"},
                {"name": "image", "mountPath": "/part", "subPath": "etc"},
            ],
            spec={"volumes": [{"name": "image", "image": {"reference": "node-test:1"}}]},
        )
        pod = await session.until("data", runs)
        entry = "root:x:0:0::/root:/bin/sh\n"
        await until(
            lambda: cluster.log(pod) == f"{entry}{entry}touch: /whole/x: Read-only file system\n"
        )
        agent = cluster.agent()
        handle = os.pidfd_open(agent)
        os.kill(agent, signal.SIGKILL)
        await cluster.ended(handle)
        await session.create("after", script="exit 0", spec={"restartPolicy": "Never"})
        await session.until("after", ended)  # the next agent is there
        await execute(session, "data", "touch", "/go")
        await session.until("data", lambda it: runs(it) and app(it).restart_count == 1)
        assert await execute(session, "data", "cat", "/part/passwd") == entry.encode()
        for name in ("data", "after"):
            await session.delete(name, 0)

    cluster.run(scenario)


def test_an_image_that_lacks_the_part_is_told_in_the_status(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create(
            "lacks",
            script=SLEEP,
            volumeMounts=[{"name": "image", "mountPath": "/v", "subPath": "nowhere"}],
            spec={"volumes": [{"name": "image", "image": {"reference": "node-test:1"}}]},
        )

        def is_refused(pod: Pod) -> bool:
            shown = pod.status.container_statuses
            waits = shown[0].state.waiting if shown else None
            return waits is not None and waits.reason == "CreateContainerError"

        refused = app(await session.until("lacks", is_refused)).state.waiting
        assert refused is not None
        assert "No such file or directory" in refused.message
        await session.delete("lacks", 0)

    cluster.run(scenario)


def test_ends_are_told_and_not_looked_for(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("short", script="exit 3", spec={"restartPolicy": "Never"})
        over = app(await session.until("short", ended)).state.terminated
        assert over is not None and over.exit_code == 3
        assert over.finished_at is not None
        told = (cluster.data / "logs" / "node.log").read_text()
        assert "tells no events" not in told
        await session.delete("short", 0)

    cluster.run(scenario)


def test_a_pod_has_users_of_its_own_where_the_runtime_can_give_them(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        show: dict[str, Any] = {"script": f"cat /proc/self/uid_map; {SLEEP}"}
        pod = await session.create("users", **show, spec={"hostUsers": False})
        await session.until("users", runs)
        await until(lambda: bool(cluster.log(pod)))
        first, host, count = cluster.log(pod).split()
        assert (first, count) == ("0", "65536")
        assert int(host) >= 65536
        await session.delete("users", 0)

    cluster.run(scenario)


def test_pods_outlive_the_agent(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("stays", script=SLEEP)
        before = await session.until("stays", runs)
        agent = cluster.agent()
        handle = os.pidfd_open(agent)
        os.kill(agent, signal.SIGKILL)
        await cluster.ended(handle)
        await session.create("later", script="exit 0", spec={"restartPolicy": "Never"})
        await session.until("later", ended)
        found: Pod = await session.client.get(POD.ref("default", "stays"))
        assert app(found) == app(before)
        for name in ("stays", "later"):
            await session.delete(name, 0)

    cluster.run(scenario)


def test_a_runtime_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    words = [sys.executable, "-P", "-m", "steersman", "up", "--data-dir", str(tmp_path / "data")]
    words += ["--kubeconfig", str(tmp_path / "config"), "--port", str(free_port())]
    words += ["--container-runtime-endpoint", f"unix://{tmp_path}/none.sock"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False
    )
    assert done.returncode != 0
    told = f'the node cannot start: validate CRI v1 runtime API for endpoint "unix://{tmp_path}'
    assert told in done.stderr
    assert "no such file or directory" in done.stderr
    id = json.loads((tmp_path / "data" / "cluster.json").read_text())["id"]
    assert not [name for name in os.listdir("/sys/class/net") if id in name]
