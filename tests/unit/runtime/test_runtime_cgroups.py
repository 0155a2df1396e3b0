"""Control groups: which machine has which, and what is written, against recorded trees."""

from __future__ import annotations

import os
import pathlib
import struct

import pytest

from steersman.runtime.kernel import cgroups, device_filter, devices
from steersman.runtime.kernel.cgroups1 import LegacyCgroup
from steersman.runtime.kernel.cgroups2 import UnifiedCgroup, convert_shares, render_limits

HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
UNIFIED = "26 20 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_mounts_of_a_hybrid_machine_are_told_by_controller() -> None:
    version1, unified = cgroups.parse_mountinfo(HYBRID)
    assert version1 == {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "memory": "/sys/fs/cgroup/memory",
        "name=systemd": "/sys/fs/cgroup/systemd",
    }
    assert unified == "/sys/fs/cgroup/unified"
    assert cgroups.parse_mountinfo(UNIFIED) == ({}, "/sys/fs/cgroup")


def test_version_2_is_used_only_where_it_has_the_controllers() -> None:
    version1, unified = cgroups.parse_mountinfo(HYBRID)
    hybrid = cgroups.Hierarchies(version1, unified, frozenset())
    assert isinstance(cgroups.opener(hybrid)("/x"), LegacyCgroup)
    modern = cgroups.Hierarchies({}, "/sys/fs/cgroup", frozenset({"cpu", "memory"}))
    assert isinstance(cgroups.opener(modern)("/x"), UnifiedCgroup)


@pytest.mark.parametrize("path", ["", "/", "x", "//", "/a/../b", "/a/./b", ".."])
def test_a_path_that_is_the_root_or_climbs_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="cgroup path"):
        cgroups.check_path(path)


def test_a_path_is_tidied() -> None:
    assert cgroups.check_path("/a//b/") == "/a/b"


def test_a_group_in_which_something_is_left_is_not_removed(tmp_path: pathlib.Path) -> None:
    group = UnifiedCgroup(str(tmp_path), "/g")
    (tmp_path / "g" / "below").mkdir(parents=True)
    assert not cgroups.remove_empty(group)
    (tmp_path / "g" / "below").rmdir()
    assert cgroups.remove_empty(group)
    assert not (tmp_path / "g").exists()
    assert cgroups.remove_empty(group)


@pytest.mark.parametrize(
    ("shares", "weight"), [(0, 1), (2, 1), (1024, 39), (262144, 10000), (1 << 30, 10000)]
)
def test_shares_become_weight_as_in_kep_2254(shares: int, weight: int) -> None:
    assert convert_shares(shares) == weight


BLOCKS = {
    "weight": 10,
    "leafWeight": 20,
    "weightDevice": [{"major": 8, "minor": 0, "weight": 1000, "leafWeight": 30}],
    "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}],
    "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 7}],
}


def test_bounds_of_devices_and_of_bursts_on_version_2() -> None:
    assert render_limits({"blockIO": BLOCKS}) == [
        ("io.weight", "1"),
        ("io.weight", "8:0 10000"),
        ("io.max", "8:0 rbps=1024"),
        ("io.max", "8:16 wiops=7"),
    ]
    assert render_limits({"cpu": {"idle": 1, "burst": 500}}) == [
        ("cpu.idle", "1"),
        ("cpu.max.burst", "500"),
    ]
    with pytest.raises(ValueError, match=r"realtimeRuntime: control groups of version 2"):
        render_limits({"cpu": {"realtimeRuntime": 5}})


def test_bounds_of_devices_and_of_bursts_on_version_1(tmp_path: pathlib.Path) -> None:
    for controller in ("blkio", "cpu"):
        (tmp_path / controller / "g").mkdir(parents=True)
    names = ("weight", "leaf_weight", "weight_device", "leaf_weight_device")
    names += ("throttle.read_bps_device", "throttle.write_iops_device")
    record(tmp_path / "blkio/g", {f"blkio.{name}": "" for name in names})
    files = ("cfs_burst_us", "rt_period_us", "rt_runtime_us", "idle")
    record(tmp_path / "cpu/g", {f"cpu.{name}": "" for name in files})
    mounts = {name: str(tmp_path / name) for name in ("blkio", "cpu", "memory")}
    (tmp_path / "memory/g").mkdir(parents=True)
    cpu = {"burst": 1, "realtimePeriod": 2, "realtimeRuntime": 3, "idle": 0}
    LegacyCgroup(mounts, "/g").limit({"blockIO": BLOCKS, "cpu": cpu})
    written = {path.name: path.read_text() for path in (tmp_path / "blkio/g").iterdir()}
    assert written == {
        "blkio.weight": "10",
        "blkio.leaf_weight": "20",
        "blkio.weight_device": "8:0 1000",
        "blkio.leaf_weight_device": "8:0 30",
        "blkio.throttle.read_bps_device": "8:0 1024",
        "blkio.throttle.write_iops_device": "8:16 7",
    }
    written = {path.name: path.read_text() for path in (tmp_path / "cpu/g").iterdir()}
    assert written == {
        "cpu.cfs_burst_us": "1",
        "cpu.rt_period_us": "2",
        "cpu.rt_runtime_us": "3",
        "cpu.idle": "0",
    }


@pytest.mark.parametrize("section", ["network", "rdma"])
def test_a_section_of_resources_that_there_is_not_is_refused(
    section: str, tmp_path: pathlib.Path
) -> None:
    resources = {section: {"x": 1}}
    with pytest.raises(ValueError, match=f"linux.resources.{section} is not supported"):
        render_limits(resources)
    with pytest.raises(ValueError, match=f"linux.resources.{section} is not supported"):
        LegacyCgroup({}, "/g").limit(resources)


def test_limits_of_version_2() -> None:
    resources = {
        "memory": {"limit": 1000, "swap": 1500, "reservation": 500},
        "cpu": {"shares": 1024, "quota": 50_000, "period": 200_000, "cpus": "0-1", "mems": "0"},
        "pids": {"limit": 7},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4096}],
        "blockIO": {"weight": 1000},
        "unified": {"memory.high": "900"},
    }
    assert render_limits(resources) == [
        ("cpu.weight", "39"),
        ("cpu.max", "50000 200000"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("memory.swap.max", "500"),
        ("memory.max", "1000"),
        ("memory.low", "500"),
        ("pids.max", "7"),
        ("hugetlb.2MB.max", "4096"),
        ("io.weight", "10000"),
        ("memory.high", "900"),
    ]


def test_no_limit_is_max_in_version_2_and_absent_is_left_alone() -> None:
    resources = {"memory": {"limit": -1, "swap": -1}, "cpu": {"quota": -1}, "pids": {"limit": -1}}
    assert render_limits(resources) == [
        ("cpu.max", "max 100000"),
        ("memory.swap.max", "max"),
        ("memory.max", "max"),
        ("pids.max", "max"),
    ]
    assert render_limits({}) == []


def test_bounds_of_version_2_that_are_just_possible() -> None:
    assert render_limits({"memory": {"limit": 100, "swap": 100}}) == [
        ("memory.swap.max", "0"),
        ("memory.max", "100"),
    ]
    assert render_limits({"pids": {"limit": 0}}) == [("pids.max", "max")]
    assert render_limits({"memory": {"reservation": -1}}) == [("memory.low", "max")]
    assert render_limits({"blockIO": {"weight": 10}}) == [("io.weight", "1")]


@pytest.mark.parametrize(
    "resources",
    [
        {"memory": {"swap": 100}},
        {"memory": {"limit": -1, "swap": 100}},
        {"memory": {"limit": 200, "swap": 100}},
        {"unified": {"a/b": "1"}},
    ],
)
def test_contradictions_of_version_2_are_refused(resources: dict) -> None:
    with pytest.raises(ValueError, match=r"linux\.resources"):
        render_limits(resources)


def record(directory: pathlib.Path, files: dict[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text)


def test_a_version_2_group_is_made_with_controllers_handed_down(tmp_path: pathlib.Path) -> None:
    given = {"cgroup.controllers": "cpu memory pids rdma", "cgroup.subtree_control": "cpu"}
    record(tmp_path, given)
    record(tmp_path / "steer", {**given, "cgroup.subtree_control": ""})
    group = UnifiedCgroup(str(tmp_path), "/steer/pod")
    group.create()
    assert (tmp_path / "steer" / "pod").is_dir()
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (tmp_path / "steer" / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
def test_a_group_of_version_2_is_delegated_with_the_files_that_the_kernel_names(
    tmp_path: pathlib.Path,
) -> None:
    record(tmp_path / "g", {"cgroup.procs": "", "cgroup.subtree_control": "", "memory.max": "max"})
    UnifiedCgroup(str(tmp_path), "/g").delegate(4242)
    owners = {path.name: path.stat().st_uid for path in (tmp_path / "g").iterdir()}
    assert owners == {"cgroup.procs": 4242, "cgroup.subtree_control": 4242, "memory.max": 0}
    assert (tmp_path / "g").stat().st_uid == 4242


def test_counters_of_version_2(tmp_path: pathlib.Path) -> None:
    record(
        tmp_path / "g",
        {
            "memory.current": "5000\n",
            "memory.stat": "anon 3000\nfile 900\ninactive_file 1200\n",
            "memory.max": "max\n",
            "memory.swap.current": "4096\n",
            "memory.swap.max": "8192\n",
            "cpu.stat": "usage_usec 77\nuser_usec 3\n",
            "pids.current": "4\n",
            "memory.events": "low 0\noom 2\noom_kill 3\n",
            "cgroup.procs": "12\n7\n",
        },
    )
    record(tmp_path / "g" / "below", {"cgroup.procs": "9\n7\n"})
    group = UnifiedCgroup(str(tmp_path), "/g")
    assert group.statistics() == {
        "cpu_usage_nanoseconds": 77_000,
        "memory_usage_bytes": 5000,
        "memory_working_set_bytes": 3800,
        "memory_rss_bytes": 3000,
        "memory_limit_bytes": (1 << 63) - 1,
        "pids_current": 4,
        "swap_usage_bytes": 4096,
        "swap_limit_bytes": 8192,
    }
    record(tmp_path / "g", {"memory.swap.max": "max\n"})
    assert group.statistics()["swap_limit_bytes"] == (1 << 63) - 1
    record(tmp_path / "g", {"cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_usec 7\n"})
    assert throttling(group) == (9, 2, 7000)
    (tmp_path / "g/memory.swap.current").unlink()
    assert "swap_usage_bytes" not in group.statistics()
    assert group.oom_kills() == 3
    assert group.processes() == [7, 9, 12]
    assert group.views() == [("", str(tmp_path / "g"))]


def throttling(group: LegacyCgroup | UnifiedCgroup) -> tuple[int, int, int]:
    found = group.statistics()
    throttled = found["cpu_throttled_periods"], found["cpu_throttled_nanoseconds"]
    return found["cpu_periods"], *throttled


def legacy(tmp_path: pathlib.Path) -> tuple[LegacyCgroup, pathlib.Path]:
    """A recorded version 1 tree; cpu and cpuacct are one hierarchy."""
    mounts = {name: str(tmp_path / name) for name in ("memory", "pids", "devices", "cpuset")}
    mounts["cpu"] = mounts["cpuacct"] = str(tmp_path / "cpu,cpuacct")
    for mount in set(mounts.values()):
        record(pathlib.Path(mount, "pod"), {"tasks": "", "cgroup.procs": ""})
    record(
        tmp_path / "memory" / "pod",
        {
            "memory.limit_in_bytes": "9223372036854771712",
            "memory.memsw.limit_in_bytes": "5000",
            "memory.soft_limit_in_bytes": "",
            "memory.swappiness": "60",
            "memory.usage_in_bytes": "4000",
            "memory.stat": "cache 1\ntotal_inactive_file 1000\ntotal_rss 2500\n",
            "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        },
    )
    cpu = {"cpu.shares": "", "cpu.cfs_quota_us": "", "cpu.cfs_period_us": "", "cpuacct.usage": "9"}
    record(tmp_path / "cpu,cpuacct" / "pod", cpu)
    record(tmp_path / "pids" / "pod", {"pids.max": "", "pids.current": "6"})
    record(tmp_path / "devices" / "pod", {"devices.allow": "", "devices.deny": ""})
    return LegacyCgroup(mounts, "/pod"), tmp_path


def test_limits_of_version_1(tmp_path: pathlib.Path) -> None:
    group, _ = legacy(tmp_path)
    memory = {"limit": 3000, "swap": 4000, "reservation": 10, "swappiness": 0}
    cpu = {"shares": 1, "quota": 20, "period": 30}
    group.limit({"memory": memory, "cpu": cpu, "pids": {"limit": 0}})
    texts = {path.name: path.read_text() for path in tmp_path.glob("*/pod/*")}
    assert texts["memory.limit_in_bytes"].startswith("3000")
    assert texts["memory.memsw.limit_in_bytes"] == "4000"
    assert texts["memory.soft_limit_in_bytes"] == "10"
    assert texts["memory.swappiness"].startswith("0")
    assert texts["cpu.shares"] == "2"
    assert (texts["cpu.cfs_quota_us"], texts["cpu.cfs_period_us"]) == ("20", "30")
    assert texts["pids.max"] == "max"


@pytest.mark.parametrize(
    ("limit", "swap", "first"),
    [(3000, 4000, "limit"), (6000, 6000, "memsw"), (-1, -1, "memsw")],
)
def test_memory_and_swap_of_version_1_never_cross_as_limits_rise_fall_or_go(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, limit: int, swap: int, first: str
) -> None:
    group, _ = legacy(tmp_path)
    written: list[str] = []
    monkeypatch.setattr(cgroups, "write", lambda _directory, name, _value: written.append(name))
    group.limit({"memory": {"limit": limit, "swap": swap}})
    names = [name.split(".")[1].removesuffix("_in_bytes") for name in written]
    assert sorted(names) == ["limit", "memsw"]
    assert names[0] == first


def test_counters_of_version_1(tmp_path: pathlib.Path) -> None:
    group, _ = legacy(tmp_path)
    record(tmp_path / "memory" / "pod", {"memory.limit_in_bytes": "8000"})
    assert group.statistics() == {
        "cpu_usage_nanoseconds": 9,
        "memory_usage_bytes": 4000,
        "memory_working_set_bytes": 3000,
        "memory_rss_bytes": 2500,
        "memory_limit_bytes": 8000,
        "pids_current": 6,
        "swap_usage_bytes": 0,
        "swap_limit_bytes": 5000,
    }
    (tmp_path / "memory/pod/memory.memsw.limit_in_bytes").unlink()
    assert "swap_usage_bytes" not in group.statistics()  # the kernel does not count it
    record(tmp_path / "cpu,cpuacct" / "pod", {"cpu.stat": "nr_periods 0\nnr_throttled 0\n"})
    assert "cpu_periods" not in group.statistics()  # there is no quota
    record(
        tmp_path / "cpu,cpuacct" / "pod",
        {"cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_time 7\n"},
    )
    assert throttling(group) == (9, 2, 7)
    assert group.oom_kills() == 2


def test_a_process_enters_version_1_by_writing_0_to_tasks_of_each_hierarchy_once(
    tmp_path: pathlib.Path,
) -> None:
    group, _ = legacy(tmp_path)
    group.enter()
    entered = {path.parent.parent.name for path in tmp_path.glob("*/pod/tasks") if path.read_text()}
    assert entered == {"memory", "pids", "devices", "cpu,cpuacct", "cpuset"}
    assert {path.read_text() for path in tmp_path.glob("*/pod/tasks")} == {"0"}
    assert {name for name, _ in group.views()} == entered
    assert group.birthplace() == -1


def test_removal_takes_the_group_and_what_is_below_and_prune_the_empty_ones_above(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "memory" / "steer" / "pods" / "p" / "c").mkdir(parents=True)
    (tmp_path / "memory" / "steer" / "other").mkdir()
    group = LegacyCgroup({"memory": str(tmp_path / "memory")}, "/steer/pods/p")
    group.remove()
    assert os.listdir(tmp_path / "memory" / "steer" / "pods") == []
    group.prune()
    assert os.listdir(tmp_path / "memory" / "steer") == ["other"]
    group.remove()


def test_device_rules_default_to_nothing_but_the_harmless() -> None:
    texts = [(rule.allow, rule.text()) for rule in devices.parse_rules([])]
    assert texts[:3] == [(False, "a *:* rwm"), (True, "c *:* m"), (True, "b *:* m")]
    assert (True, "c 1:3 rwm") in texts
    assert (True, "c 136:* rwm") in texts
    assert (True, "c 5:2 rwm") in texts


def test_device_rules_of_a_privileged_container_are_taken_alone() -> None:
    rules = devices.parse_rules([{"allow": True, "access": "rwm"}])
    assert [(rule.allow, rule.text()) for rule in rules] == [(True, "a *:* rwm")]


def test_given_device_rules_come_before_the_default_ones() -> None:
    given = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "b", "major": 8, "minor": 0, "access": "r"},
    ]
    texts = [rule.text() for rule in devices.parse_rules(given)]
    assert texts[:3] == ["a *:* rwm", "b 8:0 r", "c *:* m"]


@pytest.mark.parametrize(
    "entry",
    [{"type": "x"}, {"type": "c", "access": "rx"}, {"type": "a", "major": 1}],
)
def test_a_device_rule_that_is_none_is_refused(entry: dict) -> None:
    with pytest.raises(ValueError, match=r"linux\.resources\.devices"):
        devices.parse_rules([entry])


def decide(program: bytes, kind: str, major: int, minor: int, access: str) -> int:
    """Runs the eBPF program as the kernel would."""
    bits = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
    context = struct.pack("=III", {"b": 1, "c": 2}[kind] | bits << 16, major, minor)
    registers = [0] * 11
    code = list(struct.iter_unpack("=BBhi", program))
    position = 0
    while True:
        operation, operands, offset, number = code[position]
        target, source = operands & 15, operands >> 4
        position += 1
        if operation == 0x61:
            (registers[target],) = struct.unpack_from("=I", context, offset)
        elif operation == 0xB7:
            registers[target] = number
        elif operation == 0xBC:
            registers[target] = registers[source]
        elif operation == 0x54:
            registers[target] &= number
        elif operation == 0x74:
            registers[target] >>= number
        elif operation == 0x55:
            position += offset if registers[target] != number else 0
        elif operation == 0x5D:
            position += offset if registers[target] != registers[source] else 0
        elif operation == 0x15:
            position += offset if registers[target] == number else 0
        else:
            assert operation == 0x95
            return registers[0]


def test_the_device_program_decides_by_the_last_rule_that_matches() -> None:
    rules = devices.parse_rules(
        [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "b", "major": 8, "minor": 0, "access": "r"},
        ]
    )
    program = device_filter.render_program(rules)
    assert decide(program, "c", 1, 3, "rw") == 1
    assert decide(program, "c", 136, 42, "rw") == 1
    assert decide(program, "b", 8, 0, "r") == 1
    assert decide(program, "b", 8, 0, "rw") == 0
    assert decide(program, "b", 8, 1, "r") == 0
    assert decide(program, "c", 8, 0, "r") == 0
    assert decide(program, "b", 8, 1, "m") == 1
    assert decide(program, "c", 1, 1, "r") == 0


def test_the_device_program_refuses_any_access_that_a_refusal_names() -> None:
    allow_all = devices.Rule(True, "a", -1, -1, "rwm")
    refuse = devices.Rule(False, "b", 8, -1, "w")
    program = device_filter.render_program((allow_all, refuse))
    assert decide(program, "b", 8, 0, "r") == 1
    assert decide(program, "b", 8, 0, "w") == 0
    assert decide(program, "b", 8, 0, "rw") == 0
    assert decide(program, "b", 9, 0, "rw") == 1
    assert decide(device_filter.render_program(()), "c", 1, 3, "r") == 0
