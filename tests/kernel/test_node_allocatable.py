"""A node whose control groups hold pods and the system to what is theirs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_cluster import ROOT, SECONDS, SLEEP, Cluster, Session, clusters, ended, needs_root, runs

from ports import free_port
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.node import NODE
from steersman.node.pressure import enforcing
from steersman.runtime.kernel import cgroups
from steersman.world.real import RealWorld

GROUPS = Path("/sys/fs/cgroup")
pytestmark = [
    *needs_root,
    pytest.mark.skipif(
        not (GROUPS / "memory").is_dir(), reason="control groups of version 1 are read"
    ),
]
MIB = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")
SYSTEM, KUBE = f"/steer-test-system-{os.getpid()}", f"/steer-test-kube-{os.getpid()}"


def value(path: str, name: str) -> int:
    return int((GROUPS / name.split(".")[0] / path.strip("/") / name).read_text())


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with parts of its machine for others, in control groups that are there."""
    mounts = set(cgroups.find_hierarchies().version1.values())
    for mount in mounts:
        for path in (SYSTEM, KUBE):
            os.mkdir(mount + path)
    options = {
        "--kube-reserved": "memory=200Mi,cpu=500m,pid=500",
        "--system-reserved": "memory=100Mi,cpu=250m,pid=300",
        "--enforce-node-allocatable": "pods,system-reserved,kube-reserved-compressible",
        "--system-reserved-cgroup": SYSTEM,
        "--kube-reserved-cgroup": KUBE,
        "--pod-max-pids": "30",
        "--max-pods": "7",
    }
    try:
        with clusters(*(f"{name}={text}" for name, text in options.items())) as made:
            yield made
    finally:
        for mount in mounts:
            for path in (SYSTEM, KUBE):
                os.rmdir(mount + path)


async def told(session: Session, reason: str) -> set[str]:
    """The messages of the node's events, once three are there."""
    async with asyncio.timeout(SECONDS):
        while True:
            listing = await session.client.list(EVENT, "default", fields=f"reason={reason}")
            found = {str(it.message) for it in listing.items}
            if len(found) == 3:
                return found
            watching = session.client.watch(EVENT, "default", after=listing.revision)
            async for _ in watching:
                break


def test_pods_have_what_is_not_reserved_and_keep_to_it_when_none_is_left(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        messages = await told(session, "NodeAllocatableEnforced")
        assert messages == {
            "Updated Node Allocatable limit across pods",
            f"Updated limits on system reserved cgroup {SYSTEM}",
            f"Updated limits on kube reserved cgroup {KUBE}",
        }
        path = f"steersman-{cluster.id}"
        memory = os.sysconf("SC_PHYS_PAGES") * PAGE
        processes = min(
            int(Path(f"/proc/sys/kernel/{it}").read_text()) for it in ("pid_max", "threads-max")
        )
        cpus = len(os.sched_getaffinity(0))

        def check() -> None:
            assert value(path, "memory.limit_in_bytes") == memory - 300 * MIB
            assert value(path, "pids.max") == processes - 800
            assert value(path, "cpu.shares") == (cpus * 1000 - 750) * 1024 // 1000

        check()
        await session.create("one", script=SLEEP)
        await session.until("one", runs)
        await session.delete("one", 0)
        check()  # though the last pod has taken its groups with it
        assert value(SYSTEM, "memory.limit_in_bytes") == 100 * MIB
        assert value(SYSTEM, "pids.max") == 300
        assert value(SYSTEM, "cpu.shares") == 256
        assert value(KUBE, "cpu.shares") == 512
        assert value(KUBE, "memory.limit_in_bytes") > memory

    cluster.run(scenario)


def test_a_pod_has_no_more_processes_than_a_pod_may(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        assert node.status.allocatable["pods"] == "7"
        script = "i=0; while [ $i -lt 60 ]; do sleep 100 & i=$((i+1)); done"
        await session.create("bomb", script=script, spec={"restartPolicy": "Never"})
        pod = await session.until("bomb", ended)
        assert pod.status.phase == "Failed"
        assert "can't fork" in cluster.log(pod)
        await session.delete("bomb")

    cluster.run(scenario)


def test_a_group_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    words = [sys.executable, "-P", "-m", "steersman", "up", "--data-dir", str(tmp_path / "data")]
    words += ["--enforce-node-allocatable=system-reserved", "--system-reserved-cgroup=/no/such"]
    words += ["--kubeconfig", str(tmp_path / "config"), "--port", str(free_port())]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert 'Failed to enforce System Reserved Cgroup Limits on "/no/such": ' in said
    assert 'cgroup ["no" "such"] has some missing paths: /sys/fs/cgroup/' in said


def test_what_pods_use_beyond_the_limit_is_told_and_tried_again() -> None:
    path = f"/steer-test-busy-{os.getpid()}"
    said: list[tuple[str, str, str]] = []
    world = RealWorld()
    group = cgroups.opener(cgroups.find_hierarchies())(path)
    group.create()
    filler = subprocess.Popen(
        [sys.executable, "-c", "x = bytearray(64 << 20); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=group.enter,
    )

    async def scenario() -> None:
        assert filler.stdout is not None and filler.stdin is not None
        await asyncio.to_thread(filler.stdout.readline)
        limits = {"memory": {"limit": 8 << 20}}
        told = asyncio.Event()

        def say(*words: str) -> None:
            said.append((words[0], words[1], words[2]))
            told.set()

        enforcing_ = asyncio.create_task(enforcing.enforce_pods(path, limits, say, world))
        async with asyncio.timeout(SECONDS):
            await told.wait()
        enforcing_.cancel()
        filler.stdin.close()
        await asyncio.to_thread(filler.wait, SECONDS)
        async with asyncio.timeout(SECONDS):
            await enforcing.enforce_pods(path, limits, say, world)

    try:
        asyncio.run(scenario())
        busy = f'Failed to update Node Allocatable Limits ["{path[1:]}"]: '
        assert said[0][:2] == ("Warning", "FailedNodeAllocatableEnforcement")
        assert said[0][2].startswith(busy)
        text = "Updated Node Allocatable limit across pods"
        assert said[-1] == ("Normal", "NodeAllocatableEnforced", text)
        assert value(path, "memory.limit_in_bytes") == 8 << 20
    finally:
        filler.kill()
        filler.wait(SECONDS)
        assert filler.stdout is not None
        filler.stdout.close()
        group.remove()
