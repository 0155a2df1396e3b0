"""What a node says of itself: recorded control groups of both versions, and kubelet's forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from node_documents import observed as seen_of
from node_documents import pod as made

from steersman.api.metrics.scrape import node_usage, parse
from steersman.model.errors import MethodNotAllowed
from steersman.model.figures import Family, Sample, Sources
from steersman.node.acting import counting
from steersman.node.measure import families, summary
from steersman.node.measure.answer import Telling
from steersman.node.measure.configuration import render_configuration, render_pressure
from steersman.node.measure.counts import Counts
from steersman.node.measure.files import Filled, MeasuredFiles, MeasuredVolume
from steersman.node.measure.measuring import MeasuredPod, Measuring
from steersman.node.measure.reading import (
    Reading,
    Traffic,
    parse_memory,
    parse_processor,
    parse_traffic,
)
from steersman.node.observed import Observed, Run, Sandbox, Seen, container_id
from steersman.node.plan import (
    DeletePod,
    KillContainer,
    PrepareVolumes,
    ResizePod,
    StartContainer,
    StartSandbox,
    TearDown,
)
from steersman.node.pressure.images import Bounds
from steersman.node.pressure.monitor import Options
from steersman.node.pressure.thresholds import parse_thresholds
from steersman.runtime.kernel import cgroups
from steersman.runtime.kernel.cgroups import Hierarchies
from steersman.wire import prometheus
from steersman.wire.message import Request
from steersman.world.simulated import SimulatedWorld, simulate

ROOT = "/steersman-test"
MEBI = 1 << 20
UID = "0b1c"
POD = f"{ROOT}/pod{UID}"
DEVICES = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0: 2048 10 1 0 0 0 0 0 4096 20 2 0 0 0 0 0
"""  # noqa: E501
STAT = "cpu  100 20 30 4000 500 6 7 8 9 9\ncpu0 1 2 3 4 5 6 7 8 9 9\nprocs_running 3\n"
MEMINFO = """MemTotal:        8000000 kB
MemFree:         3000000 kB
Inactive(file):  1000000 kB
AnonPages:       2000000 kB
HugePages_Total:       5
"""


def write(directory: Path, **files: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)


def unified(
    root: Path, path: str, cpu: int, memory: int, limit: str = "max", throttled: str = ""
) -> None:
    """Records a group of version 2; `cpu` in microseconds."""
    write(
        root / path.lstrip("/"),
        cpu__stat=f"usage_usec {cpu}\nuser_usec 1\n{throttled}",
        memory__current=f"{memory}\n",
        memory__stat=f"anon {memory // 2}\ninactive_file {MEBI}\n",
        memory__max=f"{limit}\n",
        pids__current="3\n",
    )


def legacy(root: Path, path: str, cpu: int, memory: int, limit: str = "") -> None:
    """Records a group of version 1."""
    below = path.lstrip("/")
    write(root / "cpuacct" / below, cpuacct__usage=f"{cpu * 1000}\n")
    write(
        root / "memory" / below,
        memory__usage_in_bytes=f"{memory}\n",
        memory__stat=f"total_rss {memory // 2}\ntotal_inactive_file {MEBI}\nrss 1\n",
        memory__limit_in_bytes=f"{limit or 9223372036854771712}\n",
    )
    write(root / "pids" / below, pids__current="3\n")


def opener(version: int, root: Path) -> Any:
    if version == 2:
        return cgroups.opener(Hierarchies({}, str(root), frozenset(("memory", "cpu", "pids"))))
    mounts = {name: str(root / name) for name in ("cpuacct", "memory", "pids")}
    return cgroups.opener(Hierarchies(mounts, "", frozenset()))


def proc(directory: Path) -> Path:
    write(directory / "1/net", dev=DEVICES)
    write(directory / "77/net", dev=DEVICES)
    write(directory / "sys/kernel", pid_max="32768\n")
    write(directory, stat=STAT, meminfo=MEMINFO, uptime="500.25 900.0\n")
    return directory


def observed() -> Observed:
    containers = {
        "web": Seen(run=Run(2, "running", started_at=900.0), image="nginx:1"),
        "old": Seen(run=Run(0, "exited")),
        "gone": Seen(run=Run(0, "running")),
        "never": Seen(),
    }
    sandbox = Sandbox(77, "/shm", ())
    return Observed("default", "p", UID, 890.0, sandbox, containers=containers)


def measuring(version: int, directory: Path, world: Any) -> Measuring:
    record = unified if version == 2 else legacy
    root = directory / "groups"
    record(root, POD, 3_000_000, 8 * MEBI, str(64 * MEBI))
    record(root, f"{POD}/web.2", 2_000_000, 5 * MEBI)
    waiting = Observed("default", "w", "w", 1.0)
    return Measuring(
        lambda: [waiting, observed()],
        opener(version, root),
        ROOT,
        directory,
        directory,
        world,
        proc=proc(directory / "proc"),
    )


def look(version: int, directory: Path) -> tuple[Measuring, list[MeasuredPod]]:
    """Looks at a recorded machine at time 1000."""
    made: list[Any] = []

    class Clock:
        def now(self) -> float:
            return 1000.0

    found = measuring(version, directory, Clock())
    made.append(found)
    return found, found.pods()


@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_of_control_groups_are_read(version: int, tmp_path: Path) -> None:
    _, (pod,) = look(version, tmp_path)
    assert (pod.namespace, pod.name, pod.uid, pod.began) == ("default", "p", UID, 890.0)
    assert pod.whole == Reading(1000.0, 3 * 10**9, 8 * MEBI, 7 * MEBI, 4 * MEBI, 64 * MEBI, 3)
    (web,) = pod.containers  # what has ended, has gone or never began says nothing
    assert (web.name, web.id, web.began) == ("web", "web.2", 900.0)
    assert web.reading == Reading(1000.0, 2 * 10**9, 5 * MEBI, 4 * MEBI, 5 * MEBI // 2, 0, 3)
    assert pod.traffic == (Traffic("eth0", 2048, 1, 4096, 2),)


def test_a_machine_is_read_from_proc(tmp_path: Path) -> None:
    machine = look(2, tmp_path)[0].machine()
    kibi = 1024
    # 171 ticks of a hundred in a second were not idle
    assert machine.whole == Reading(
        1000.0,
        1_710_000_000,
        5000000 * kibi,
        4000000 * kibi,
        2000000 * kibi,
        8000000 * kibi,
        3,
        0,
        0,
    )
    assert (machine.booted, machine.most_processes) == (499.75, 32768)
    assert machine.traffic == (Traffic("eth0", 2048, 1, 4096, 2),)
    assert machine.disk.capacity_bytes > machine.disk.available_bytes > 0


def test_odd_lines_of_the_kernels_files_are_passed_over() -> None:
    assert parse_memory("MemTotal: 2 kB\nodd\nHugePages_Total: 7\nX: y kB\n") == {
        "MemTotal": 2048,
        "HugePages_Total": 7,
    }
    assert parse_processor("cpu 1 1 1 9 9 1 1 1\nintr 5\n") == (6, 0)
    assert parse_traffic("a\nb\nlo: " + "1 " * 16 + "\nshort: 1 2\n") == []


def test_resource_metrics_are_what_a_metrics_server_reads(tmp_path: Path) -> None:
    found, pods = look(2, tmp_path)
    text = prometheus.render(families.resource_metrics(found.machine(), pods))
    lines = text.decode().splitlines()
    place = 'container="web",namespace="default",pod="p"'
    for line in (
        "# TYPE container_cpu_usage_seconds_total counter",
        f"container_cpu_usage_seconds_total{{{place}}} 2 1000000",
        f"container_memory_working_set_bytes{{{place}}} {4 * MEBI} 1000000",
        f"container_start_time_seconds{{{place}}} 900",
        "node_cpu_usage_seconds_total 1.71 1000000",
        f"node_memory_working_set_bytes {4000000 * 1024} 1000000",
        'pod_cpu_usage_seconds_total{namespace="default",pod="p"} 3 1000000',
        f'pod_memory_working_set_bytes{{namespace="default",pod="p"}} {7 * MEBI} 1000000',
        "resource_scrape_error 0",
    ):
        assert line in lines
    scrape = parse(text, 1000.0)
    assert scrape.cpus["default", "p", "web"] == (2.0, 1000.0)
    assert scrape.began["default", "p", "web"] == 900.0
    assert node_usage(scrape, scrape) is None


def test_labels_are_escaped() -> None:
    value = Sample((("a", 'x"\\\n'),), 1.5)
    family = Family("m", "h", "gauge", [value])
    assert prometheus.render([family]) == (b'# HELP m h\n# TYPE m gauge\nm{a="x\\"\\\\\\n"} 1.5\n')
    assert prometheus.render([Family("m", "h", "gauge", [])]) == b""


def test_container_metrics_have_cadvisors_names(tmp_path: Path) -> None:
    _, pods = look(2, tmp_path)
    lines = prometheus.render(families.container_metrics(ROOT, pods)).decode().splitlines()
    rest = 'namespace="default",pod="p"'
    name = container_id(UID, "web", 2).removeprefix("steersman://")
    own = f'container="web",id="{POD}/web.2",image="nginx:1",name="{name}",{rest}'
    whole = f'container="",id="{POD}",image="",name="",{rest}'
    for line in (
        f"container_cpu_usage_seconds_total{{{own}}} 2 1000000",
        f"container_cpu_usage_seconds_total{{{whole}}} 3 1000000",
        f"container_memory_usage_bytes{{{own}}} {5 * MEBI} 1000000",
        f"container_memory_working_set_bytes{{{own}}} {4 * MEBI} 1000000",
        f"container_memory_rss{{{own}}} {5 * MEBI // 2} 1000000",
        f"container_spec_memory_limit_bytes{{{whole}}} {64 * MEBI} 1000000",
        f"container_processes{{{own}}} 3 1000000",
        f"container_start_time_seconds{{{own}}} 900",
        f'container_network_receive_bytes_total{{{whole},interface="eth0"}} 2048',
        f'container_network_transmit_errors_total{{{whole},interface="eth0"}} 2',
    ):
        assert line in lines


def test_who_has_a_quota_is_told_how_often_it_held_them_back(tmp_path: Path) -> None:
    found, _ = look(2, tmp_path)
    throttled = "nr_periods 9\nnr_throttled 2\nthrottled_usec 1500000\n"
    unified(tmp_path / "groups", f"{POD}/web.2", 1, MEBI, throttled=throttled)
    text = prometheus.render(families.container_metrics(ROOT, found.pods())).decode()
    told = {line.split("{")[0]: line.split()[-2] for line in text.splitlines() if "_cfs_" in line}
    told = {name: value for name, value in told.items() if name.startswith("container_")}
    assert told == {
        "container_cpu_cfs_periods_total": "9",
        "container_cpu_cfs_throttled_periods_total": "2",
        "container_cpu_cfs_throttled_seconds_total": "1.5",
    }


def test_a_summary_has_rates_from_the_second_time_on(tmp_path: Path) -> None:
    found, pods = look(2, tmp_path)
    machine = found.machine()
    first = summary.summary("n", machine, pods, {}, {})
    assert "usageNanoCores" not in first["node"]["cpu"]
    (pod,) = first["pods"]
    assert pod["podRef"] == {"name": "p", "namespace": "default", "uid": UID}
    assert pod["startTime"] == "1970-01-01T00:14:50Z"
    time = "1970-01-01T00:16:40Z"
    assert pod["cpu"] == {"time": time, "usageCoreNanoSeconds": 3 * 10**9}
    assert pod["memory"] == {
        "time": time,
        "usageBytes": 8 * MEBI,
        "workingSetBytes": 7 * MEBI,
        "rssBytes": 4 * MEBI,
        "availableBytes": 57 * MEBI,
    }
    assert pod["process_stats"] == {"process_count": 3}
    assert (pod["network"]["name"], pod["network"]["rxBytes"]) == ("eth0", 2048)
    assert "availableBytes" not in pod["containers"][0]["memory"]
    node = first["node"]
    assert (node["nodeName"], node["rlimit"]["maxpid"]) == ("n", 32768)
    assert node["fs"]["capacityBytes"] == machine.disk.capacity_bytes
    assert node["runtime"]["imageFs"]["usedBytes"] == machine.images.used_bytes
    before = {
        name: Reading(990.0, reading.cpu_nanos - 10**9, 0, 0, 0, 0, 0)
        for name, reading in summary.readings(machine, pods).items()
    }
    second = summary.summary("n", machine, pods, before, {})
    shown = (second["node"], second["pods"][0], second["pods"][0]["containers"][0])
    assert [one["cpu"]["usageNanoCores"] for one in shown] == [10**8] * 3
    short = summary.only_cpu_and_memory(second)
    assert set(short["node"]) == {"nodeName", "startTime", "cpu", "memory"}
    assert set(short["pods"][0]) == {"podRef", "startTime", "cpu", "memory", "containers"}


def test_a_summary_tells_what_pods_have_on_disks(tmp_path: Path) -> None:
    found, pods = look(2, tmp_path)
    machine = found.machine()
    full, part = Filled(5.0, 600, 1000, 400, 90, 100, 10), Filled(5.0, 600, 1000, 400)
    volumes = (MeasuredVolume("data", "claim", part), MeasuredVolume("room", "", full))
    known = {UID: MeasuredFiles(5.0, volumes, {"web": full}, {"web": full}, full)}
    (pod,) = summary.summary("n", machine, pods, {}, known)["pods"]
    time = {"time": "1970-01-01T00:00:05Z"}
    bytes_told = {**time, "availableBytes": 600, "capacityBytes": 1000, "usedBytes": 400}
    told = {**bytes_told, "inodesFree": 90, "inodes": 100, "inodesUsed": 10}
    claim = {"name": "claim", "namespace": "default"}
    assert pod["volume"] == [
        {"name": "data", **bytes_told, "pvcRef": claim},
        {"name": "room", **told},
    ]
    assert pod["ephemeral-storage"] == told
    (container,) = pod["containers"]
    assert container["rootfs"] == container["logs"] == told


def test_the_agent_tells_what_it_has_and_how_full_claims_are() -> None:
    containers = {
        "web": Seen(run=Run(2, "running")),
        "init": Seen(run=Run(0, "exited")),
        "new": Seen(),
    }
    seen = Observed("default", "p", UID, 890.0, Sandbox(7, "/shm", ()), containers=containers)
    full, part = Filled(5.0, 600, 1000, 400, 90, 100, 10), Filled(5.0, 600, 1000, 400)
    volumes = (
        MeasuredVolume("data", "b", part),
        MeasuredVolume("more", "a", full),
        MeasuredVolume("room", "", full),
    )
    known = {UID: MeasuredFiles(5.0, volumes)}
    lines = prometheus.render(families.agent_metrics("n", [seen], known)).decode().splitlines()
    assert 'kubelet_running_containers{container_state="running"} 1' in lines
    assert 'kubelet_running_containers{container_state="exited"} 1' in lines
    of = {it: f'{{namespace="default",persistentvolumeclaim="{it}"}}' for it in "ab"}
    told = [line for line in lines if line.startswith("kubelet_volume_stats_")]
    assert told == [
        f"kubelet_volume_stats_{name}{of[claim]} {amount}"
        for name, amounts in (
            ("available_bytes", {"a": 600, "b": 600}),
            ("capacity_bytes", {"a": 1000, "b": 1000}),
            ("inodes", {"a": 100}),
            ("inodes_free", {"a": 90}),
            ("inodes_used", {"a": 10}),
            ("used_bytes", {"a": 400, "b": 400}),
        )
        for claim, amount in amounts.items()
    ]


def test_what_a_worker_does_is_counted_in_the_kubelets_words() -> None:
    counts, waiting = Counts(), made(status={"phase": "Pending"})
    runs, now = made(status={"phase": "Running"}), 1_000_000.0
    done = [
        (waiting, StartSandbox(), True),
        (waiting, StartSandbox(), False),
        (waiting, PrepareVolumes(), False),
        (waiting, StartContainer("app", 0), False),
        (runs, StartContainer("app", 1), False),
        (runs, ResizePod(), False),
        (runs, KillContainer("app", 0, 30.0, ""), False),
        (runs, TearDown(), False),
        (runs, DeletePod(), False),
    ]
    for given, action, failed in done:
        counting.count(counts, given, action, 0.2, failed=failed)
    counting.count_start(counts, waiting, seen_of(), {"phase": "Running"}, now)
    counting.count_start(counts, runs, seen_of(), {"phase": "Running"}, now)
    counting.count_start(counts, waiting, seen_of(), {"phase": "Failed"}, now)
    counts.evicted("memory.available")
    lines = prometheus.render(counts.families()).decode().splitlines()
    for line in (
        'kubelet_runtime_operations_total{operation_type="run_podsandbox"} 2',
        'kubelet_runtime_operations_errors_total{operation_type="run_podsandbox"} 1',
        'kubelet_runtime_operations_total{operation_type="start_container"} 2',
        'kubelet_runtime_operations_total{operation_type="stop_container"} 1',
        'kubelet_runtime_operations_total{operation_type="remove_podsandbox"} 1',
        'kubelet_runtime_operations_total{operation_type="update_container_resources"} 1',
        'kubelet_pod_worker_duration_seconds_count{operation_type="create"} 4',
        'kubelet_pod_worker_duration_seconds_count{operation_type="sync"} 1',
        'kubelet_pod_worker_duration_seconds_count{operation_type="update"} 1',
        'kubelet_pod_worker_duration_seconds_count{operation_type="kill"} 3',
        'kubelet_pod_worker_duration_seconds_bucket{operation_type="sync",le="0.25"} 1',
        'kubelet_pod_worker_duration_seconds_bucket{operation_type="sync",le="0.1"} 0',
        "kubelet_pod_start_duration_seconds_count 1",
        "kubelet_pod_start_duration_seconds_sum 100.000000",
        'kubelet_evictions{eviction_signal="memory.available"} 1',
    ):
        assert line in lines


class NoFiles:
    """Nothing on disks; see `node.measure.files.Files`."""

    async def look(self) -> dict[str, MeasuredFiles]:
        return {}


def test_the_configuration_says_when_pods_and_images_go() -> None:
    found = parse_thresholds(
        "memory.available<100Mi,nodefs.available<7.5%",
        "pid.available<2000",
        "pid.available=1m30s",
        "memory.available=64Mi,nodefs.available=2%",
    )
    assert render_pressure(Options(found, 5.0), Bounds()) == {
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "7.5%"},
        "evictionSoft": {"pid.available": "2000"},
        "evictionSoftGracePeriod": {"pid.available": "1m30s"},
        "evictionMaxPodGracePeriod": 5,
        "evictionMinimumReclaim": {"memory.available": "64Mi", "nodefs.available": "2%"},
        "evictionPressureTransitionPeriod": "5m0s",
        "imageGCHighThresholdPercent": 85,
        "imageGCLowThresholdPercent": 80,
        "imageMinimumGCAge": "2m0s",
        "imageMaximumGCAge": "0s",
    }
    assert "evictionHard" not in render_pressure(Options(), Bounds())


def test_paths_of_the_port_answer(tmp_path: Path) -> None:
    async def main(world: SimulatedWorld) -> None:
        async def pods() -> dict[str, Any]:
            return {"kind": "PodList", "items": []}

        configuration = render_configuration(
            *("10.0.0.1", 10250, ROOT, "10.96.0.10", "cluster.local"),
            {"failSwapOn": False, "maxPods": 110},
            {"imageGCHighThresholdPercent": 85},
        )
        measured, files = measuring(2, tmp_path, world), cast(Any, NoFiles())
        own = Sources()
        own.add(Counts().families)
        telling = Telling("n", ROOT, measured, files, own, pods, configuration)

        async def get(path: str, query: str = "") -> Any:
            assert telling.knows(path)
            answer = await telling.answer(Request("GET", path, query))
            assert isinstance(answer.body, bytes) and answer.status == 200
            return answer.body

        assert await get("/healthz") == await get("/healthz/ping") == b"ok"
        assert orjson.loads(await get("/pods")) == {"kind": "PodList", "items": []}
        told = orjson.loads(await get("/configz"))["kubeletconfig"]
        assert told["kind"] == "KubeletConfiguration"
        assert (told["maxPods"], told["clusterDNS"]) == (110, ["10.96.0.10"])
        assert told["containerLogMaxSize"] == "10Mi"
        assert (told["failSwapOn"], told["imageGCHighThresholdPercent"]) == (False, 85)
        assert b"node_cpu_usage_seconds_total" in await get("/metrics/resource")
        assert b"container_cpu_usage_seconds_total" in await get("/metrics/cadvisor")
        metrics = (await get("/metrics")).decode().splitlines()
        assert 'kubelet_node_name{node="n"} 1' in metrics
        assert "kubelet_running_pods 1" in metrics
        assert "kubelet_pod_start_duration_seconds_count 0" in metrics
        first = orjson.loads(await get("/stats/summary"))
        assert "usageNanoCores" not in first["node"]["cpu"] and "fs" in first["node"]
        await world.sleep(5)
        second = orjson.loads(await get("/stats/summary", "only_cpu_and_memory=true"))
        assert second["node"]["cpu"]["usageNanoCores"] == 0 and "fs" not in second["node"]
        assert not telling.knows("/exec") and not telling.knows("/metrics/probes")
        with pytest.raises(MethodNotAllowed):
            await telling.answer(Request("POST", "/pods"))

    simulate(1, main)
