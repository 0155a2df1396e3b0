"""Parts of the machine that containers have for themselves, on a real node: processors that others
leave, places that cannot be had, and what stays over the death of the agent."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from node_cluster import IMAGE, SLEEP, Cluster, Session, clusters, ended, needs_root, runs

from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import Pod

pytestmark = [
    *needs_root,
    pytest.mark.skipif(
        not Path("/sys/fs/cgroup/cpuset").is_dir(), reason="control groups of version 1 are read"
    ),
    pytest.mark.skipif(len(os.sched_getaffinity(0)) != 2, reason="written for two processors"),
]
OPTIONS = (
    "--cpu-manager-policy=static",
    "--reserved-cpus=0",
    "--topology-manager-policy=single-numa-node",
    "--memory-manager-policy=Static",
    "--reserved-memory=0:memory=100Mi",  # that which the default of --eviction-hard leaves free
)
ONCE = {"restartPolicy": "Never"}
WHOLE = {"limits": {"cpu": "1", "memory": "64Mi"}}


def waits_for(cpus: str) -> str:
    """A script that ends when its processors are these."""
    pattern = f"Cpus_allowed_list:[[:space:]]*{cpus}$"
    return f"until grep -q '{pattern}' /proc/self/status; do sleep 0.05; done"


@pytest.fixture(scope="module")
def pinned() -> Iterator[Cluster]:
    """A node that gives out one of two processors."""
    with clusters(*OPTIONS) as found:
        yield found


def processors(cluster: Cluster, pod: Pod) -> str:
    """Where the pod's first run of `app` may run, as the kernel tells it."""
    group = next(Path("/sys/fs/cgroup").glob(f"cpuset/**/pod{pod.metadata.uid}/app.0/tasks"))
    status = Path(f"/proc/{group.read_text().split()[0]}/status").read_text()
    lines = dict(line.split(":\t", 1) for line in status.splitlines())
    return lines["Cpus_allowed_list"]


def state(cluster: Cluster, of: str = "cpu") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((cluster.data / f"node/{of}_manager_state").read_text())
    return found


def test_a_whole_processor_is_for_one_container_alone_and_comes_back(pinned: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        assert (node.status.capacity["cpu"], node.status.allocatable["cpu"]) == ("2", "1")
        await session.create("leaves", script=waits_for("0"), spec=ONCE)
        before = await session.until("leaves", runs)
        assert processors(pinned, before) == "0-1"
        await session.create("own", script=SLEEP, resources=WHOLE)
        own = await session.until("own", runs)
        assert processors(pinned, own) == "1"
        assert pinned.limit(own, "cpu.cfs_quota_us") == -1
        assert pinned.limit(own, "cpu.cfs_quota_us", "") == -1
        assert (await session.until("leaves", ended)).status.phase == "Succeeded"
        await session.create("after", script=waits_for("0-1"), spec=ONCE)
        after = await session.until("after", runs)
        assert processors(pinned, after) == "0"
        assert state(pinned)["entries"] == {own.metadata.uid: {"app": "1"}}
        assert state(pinned)["defaultCpuSet"] == "0"
        block = {"numaAffinity": [0], "type": "memory", "size": 64 << 20}
        assert state(pinned, "memory")["entries"] == {own.metadata.uid: {"app": [block]}}
        assert pinned.limit(own, "cpuset.mems") == 0

        os.kill(pinned.agent(), signal.SIGKILL)  # another one goes on with what it gave out
        await session.create("third", script="true", spec=ONCE)
        await session.until("third", ended)
        assert processors(pinned, own) == "1"
        assert processors(pinned, after) == "0"

        await session.delete("own")
        assert (await session.until("after", ended)).status.phase == "Succeeded"
        assert state(pinned)["defaultCpuSet"] == "0-1"
        assert "entries" not in state(pinned)
        assert "entries" not in state(pinned, "memory")
        for name in ("leaves", "after", "third"):
            await session.delete(name)

    pinned.run(scenario)


def test_a_pod_for_which_there_is_no_place_is_refused(pinned: Cluster) -> None:
    """A static pod: nobody else asks for processors that the node does not have to give."""
    container = {"name": "app", "image": IMAGE, "command": ["sleep", "1000"], "resources": WHOLE}
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "file"},
        "spec": {"containers": [container]},
    }

    async def scenario(session: Session) -> None:
        await session.create("own", script=SLEEP, resources=WHOLE)
        await session.until("own", runs)
        (node,) = (await session.client.list(NODE)).items
        path = pinned.data / "manifests/file.yaml"
        path.write_text(yaml.safe_dump(manifest))
        refused = await session.until(f"file-{node.metadata.name}", ended)
        assert (refused.status.phase, refused.status.reason) == ("Failed", "TopologyAffinityError")
        text = "Resources cannot be allocated with Topology locality"
        assert refused.status.message == f"Pod was rejected: {text}"
        path.unlink()
        await session.gone(f"file-{node.metadata.name}")
        await session.delete("own")

    pinned.run(scenario)
