"""Parts of the machine that containers have for themselves, on a real node: processors that others
leave, places that cannot be had, and what stays over the death of the agent."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from node_cluster import (
    IMAGE,
    ROOT,
    SLEEP,
    Cluster,
    Session,
    clusters,
    ended,
    hears,
    needs_root,
    runs,
)

from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD, Pod
from steersman.node.machine import parse_swap

pytestmark = [
    *needs_root,
    pytest.mark.xdist_group("swap"),  # what the machine has is added to it
    pytest.mark.skipif(
        not Path("/sys/fs/cgroup/cpuset").is_dir(), reason="control groups of version 1 are read"
    ),
    pytest.mark.skipif(
        len(os.sched_getaffinity(0)) != 2, reason="this kernel has not two processors"
    ),
]
OPTIONS = (
    "--cpu-manager-policy=static",
    "--reserved-cpus=0",
    "--topology-manager-policy=single-numa-node",
    "--memory-manager-policy=Static",
    "--reserved-memory=0:memory=100Mi",  # that which the default of --eviction-hard leaves free
)
PAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
ONCE = {"restartPolicy": "Never"}
WHOLE = {"limits": {"cpu": "1", "memory": "64Mi"}}


def waits_for(cpus: str) -> str:
    """A script that ends when its processors are these."""
    pattern = f"Cpus_allowed_list:[[:space:]]*{cpus}$"
    return f"until grep -q '{pattern}' /proc/self/status; do sleep 0.05; done"


@pytest.fixture(scope="module")
def pinned() -> Iterator[Cluster]:
    """A node that gives out one of two processors and two huge pages, and has some swap."""
    before = PAGES.read_text()
    PAGES.write_text("2")
    try:
        with swapping(), clusters(*OPTIONS) as found:
            yield found
    finally:
        PAGES.write_text(before)


@contextlib.contextmanager
def swapping() -> Iterator[None]:
    """A machine with a mebibyte of swap more."""
    with tempfile.NamedTemporaryFile(prefix="steer-swap-") as file:
        file.write(bytes(1 << 20))
        file.flush()
        subprocess.run(["mkswap", file.name], check=True, capture_output=True, timeout=60)
        subprocess.run(["swapon", file.name], check=True, capture_output=True, timeout=60)
        try:
            yield
        finally:
            subprocess.run(["swapoff", file.name], check=True, timeout=60)


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

        asked = {
            "limits": {"cpu": "1", "memory": "80Mi"},
            "requests": {"cpu": "1", "memory": "80Mi"},
        }
        spec = {"spec": {"containers": [{"name": "app", "resources": asked}]}}
        ref = POD.ref("default", "own")
        await session.client.patch(ref, spec, how="strategic", subresource="resize")
        text = "Resize is infeasible for Guaranteed Pods alongside CPU Manager static policy"
        assert text in await hears(session, own, "ResizeInfeasible")

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


def test_what_a_pod_had_is_there_for_the_next_one(pinned: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        spec = {"nodeName": node.metadata.name, **ONCE}  # it comes as soon as it can
        for number in range(4):
            await session.create(f"next{number}", script="true", resources=WHOLE, spec=spec)
            pod = await session.until(f"next{number}", ended)
            assert (pod.status.phase, pod.status.reason) == ("Succeeded", "")
        for number in range(4):
            await session.delete(f"next{number}")

    pinned.run(scenario)


@pytest.mark.parametrize("by", ["this agent", "the next agent"])
def test_what_a_pod_has_that_was_deleted_by_force_is_waited_for(pinned: Cluster, by: str) -> None:
    async def scenario(session: Session) -> None:
        deaf = f"trap '' TERM; {SLEEP.partition('; ')[2]}"
        await session.create("old", script=deaf, resources=WHOLE)
        old = await session.until("old", runs)
        agent = pinned.agent()
        handle = os.pidfd_open(agent)
        if by == "the next agent":
            os.kill(agent, signal.SIGSTOP)
        await session.delete("old", 0)
        spec = {"nodeName": old.spec.node_name, **ONCE}
        await session.create("new", script=waits_for("1"), resources=WHOLE, spec=spec)
        if by == "the next agent":
            os.kill(agent, signal.SIGKILL)
            await pinned.ended(handle)
        else:
            os.close(handle)
        new = await session.until("new", ended)
        assert (new.status.phase, new.status.reason) == ("Succeeded", "")
        await session.delete("new")

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


def test_a_node_tells_its_swap_and_gives_none_of_it(pinned: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        path = f"/api/v1/nodes/{node.metadata.name}"
        capacity = (await session.client.read(path))["status"]["nodeInfo"]["swap"]["capacity"]
        assert capacity == parse_swap(Path("/proc/meminfo").read_text()) > 0
        await session.create("own", script=SLEEP, resources=WHOLE)
        own = await session.until("own", runs)
        assert pinned.limit(own, "memory.memsw.limit_in_bytes") == 64 << 20
        summary = await session.client.read(f"{path}/proxy/stats/summary")
        assert summary["node"]["swap"]["swapAvailableBytes"] > 0
        (pod,) = (it for it in summary["pods"] if it["podRef"]["name"] == "own")
        assert pod["containers"][0]["swap"]["swapUsageBytes"] == 0
        assert pod["containers"][0]["swap"]["swapAvailableBytes"] == 64 << 20
        await session.delete("own")

    pinned.run(scenario)


def huge(amount: str, medium: str = "HugePages") -> dict[str, Any]:
    limits = {"cpu": "100m", "memory": "16Mi", "hugepages-2Mi": amount}
    return {
        "resources": {"limits": limits},
        "volumeMounts": [{"name": "huge", "mountPath": "/huge"}],
        "spec": {"volumes": [{"name": "huge", "emptyDir": {"medium": medium}}], **ONCE},
    }


def test_huge_pages_are_told_mounted_and_refused_where_there_are_too_few(pinned: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        assert node.status.capacity["hugepages-2Mi"] == "4Mi"
        kib = [
            int(it["memory"].removesuffix("Ki"))
            for it in (node.status.capacity, node.status.allocatable)
        ]
        assert kib[0] - kib[1] == 104 * 1024  # the pages, and what is left free at any price
        await session.create("huge", script="grep /huge /proc/mounts", **huge("2Mi"))
        pod = await session.until("huge", ended)
        assert pinned.log(pod).split()[1:3] == ["/huge", "hugetlbfs"]
        assert "pagesize=2M" in pinned.log(pod)

        much = huge("6Mi")
        much["spec"]["nodeName"] = node.metadata.name
        await session.create("much", script="true", **much)
        pod = await session.until("much", ended)
        text = "hugepages-2Mi, requested: 6291456, used: 0, capacity: 4194304"
        assert pod.status.reason == "OutOfhugepages-2Mi"
        assert pod.status.message.endswith(f"Node didn't have enough resource: {text}")

        await session.create("other", script="true", **huge("2Mi", "HugePages-1Gi"))
        other = await session.until("other", lambda _: True)
        text = "hugepages storage requested, but there is no resource request for huge pages"
        assert text in await hears(session, other, "FailedMount")
        for name in ("huge", "much", "other"):
            await session.delete(name)

    pinned.run(scenario)


LIMIT = """
from steersman.node.render.huge_pages import render_limits
from steersman.runtime.kernel import cgroups

assert cgroups.has_controller("hugetlb")
hierarchies = cgroups.find_hierarchies()
group = cgroups.opener(hierarchies)("/steersman-test/pages")
group.create()
limits = render_limits({"hugepages-2Mi": "4Mi"}, (2 << 20, 1 << 30))
group.limit({"hugepageLimits": limits})
place = hierarchies.version1["hugetlb"] + group.path
for size in ("2MB", "1GB"):
    print(open(f"{place}/hugetlb.{size}.limit_in_bytes").read())
group.remove()
group.prune()
"""


def _is_in_use(controller: str) -> bool:
    table = Path("/proc/cgroups").read_text().splitlines()
    return any(line.split()[:2] != [controller, "0"] for line in table if controller in line)


def _let_go(controller: str, place: Path) -> None:
    """A hierarchy whose last mount went while removed groups were still being freed is there until
    it is mounted once more; containerd's shims look for its groups until then."""
    words = ["unshare", "--mount", "mount", "-t", "cgroup", "-o", controller, "none", str(place)]
    give_up = time.monotonic() + 20
    while _is_in_use(controller):
        assert time.monotonic() < give_up, Path("/proc/cgroups").read_text()
        subprocess.run(words, check=False, capture_output=True)
        time.sleep(0.05)


def test_huge_pages_are_limited_by_the_kernel(tmp_path: Path) -> None:
    """In a mount namespace of its own, for machines that have the controller mounted nowhere."""
    script = 'mount -t cgroup -o hugetlb none "$1" && exec "$2" -c "$3"'
    words = ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, LIMIT]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    unused = not _is_in_use("hugetlb")
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    if unused:
        _let_go("hugetlb", tmp_path)
    if "mount" in done.stderr:
        pytest.skip(f"this kernel uses the controller elsewhere: {done.stderr.strip()}")
    assert done.stderr == ""
    assert done.stdout.split() == ["4194304", "0"]
