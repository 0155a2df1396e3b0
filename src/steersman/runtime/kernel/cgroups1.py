"""Control groups of version 1: one directory per controller, limits written to each.

Rule: a process enters by writing "0" to `tasks` from its only thread. The kernel then skips the
lock of all threads of the machine, whose grace period costs some ten milliseconds.
Source: cgroup_procs_write_start() in kernel/cgroup/cgroup.c, since 5.4.
"""

from __future__ import annotations

import itertools
import os

from . import cgroups
from .devices import parse_rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# The ones whose limits and counters we use; others are entered only if a limit asks for them.
_ALWAYS = ("memory", "cpu", "cpuacct", "pids", "devices", "freezer")
_ON_DEMAND = ("cpuset", "blkio", "hugetlb")
# cpu.shares below 2 are taken as 2; see sched_group_set_shares().
_MIN_SHARES = 2
_UNLIMITED_PIDS = "max"
_LOOKS = 2
# cpuacct.stat counts in ticks of USER_HZ, which is 100 on every architecture that we know.
_TICK_NANOSECONDS = 10_000_000
# runc's name of a counter, and the file that has it
_CPU_FILES = (
    ("burst", "cpu.cfs_burst_us"),
    ("realtimePeriod", "cpu.rt_period_us"),
    ("realtimeRuntime", "cpu.rt_runtime_us"),
    ("idle", "cpu.idle"),
)
_MEMORY_FILES = (
    ("limit", "limit_in_bytes"),
    ("usage", "usage_in_bytes"),
    ("max", "max_usage_in_bytes"),
    ("failcnt", "failcnt"),
)


class LegacyCgroup:
    """A control group at the same path in several version 1 hierarchies."""

    __slots__ = ("_mounts", "path")

    def __init__(self, mounts: Mapping[str, str], path: str) -> None:
        self._mounts = mounts
        self.path = path

    def _directories(self) -> list[str]:
        """One per hierarchy: controllers mounted together share theirs."""
        points = (self._mounts[name] for name in _ALWAYS if name in self._mounts)
        found = [point + self.path for point in dict.fromkeys(points)]
        return found + [
            self._mounts[name] + self.path
            for name in _ON_DEMAND
            if name in self._mounts and os.path.isdir(self._mounts[name] + self.path)
        ]

    def _at(self, controller: str) -> str:
        if controller not in self._mounts:
            raise OSError(f"this machine has no {controller} controller for {self.path}")
        return self._mounts[controller] + self.path

    def create(self) -> None:
        for controller in _ALWAYS:
            if controller in self._mounts:
                cgroups.make_directories(self._mounts[controller], self.path)

    def limit(self, resources: Mapping[str, Any]) -> None:
        cgroups.check_resources(resources)
        self._limit_memory(resources.get("memory") or {})
        self._limit_cpu(resources.get("cpu") or {})
        pids = (resources.get("pids") or {}).get("limit")
        if pids is not None:
            cgroups.write(self._at("pids"), "pids.max", str(pids) if pids > 0 else _UNLIMITED_PIDS)
        if "devices" in resources:
            self._limit_devices(resources["devices"] or ())
        for limit in resources.get("hugepageLimits") or ():
            self._create_on_demand("hugetlb")
            name = f"hugetlb.{limit['pageSize']}.limit_in_bytes"
            cgroups.write(self._at("hugetlb"), name, str(limit["limit"]))
        self._limit_blocks(resources.get("blockIO") or {})

    def _limit_blocks(self, block: Mapping[str, Any]) -> None:
        values = [
            (cgroups.THROTTLES[key][0], f"{device} {rate}")
            for key, device, rate in cgroups.throttles(block)
        ]
        for key, name in (("weight", "blkio.weight"), ("leafWeight", "blkio.leaf_weight")):
            if block.get(key):
                values.append((name, str(block[key])))
        for entry in block.get("weightDevice") or ():
            device = f"{int(entry['major'])}:{int(entry['minor'])}"
            for key, name in (("weight", "weight"), ("leafWeight", "leaf_weight")):
                if entry.get(key):
                    values.append((f"blkio.{name}_device", f"{device} {entry[key]}"))
        if values:
            self._create_on_demand("blkio")
        for name, value in values:
            cgroups.write(self._at("blkio"), name, value)

    def _limit_memory(self, memory: Mapping[str, Any]) -> None:
        limit, swap = memory.get("limit"), memory.get("swap")
        if not os.path.exists(self._at("memory") + "/memory.memsw.limit_in_bytes"):
            swap = None  # the kernel was started without accounting of swap
        values = [("memory.limit_in_bytes", limit), ("memory.memsw.limit_in_bytes", swap)]
        # memsw must never be below the limit: when both rise it goes first, as runc does it.
        # So it does when nothing is limited any more.
        if (
            limit
            and swap
            and (limit < 0 or limit > int(self._read("memory", "memory.memsw.limit_in_bytes")))
        ):
            values.reverse()
        values.append(("memory.soft_limit_in_bytes", memory.get("reservation")))
        values.append(("memory.swappiness", memory.get("swappiness")))
        for name, value in values:
            if value is not None and (value != 0 or name == "memory.swappiness"):
                cgroups.write(self._at("memory"), name, str(value))
        if memory.get("disableOOMKiller"):
            cgroups.write(self._at("memory"), "memory.oom_control", "1")

    def _limit_cpu(self, cpu: Mapping[str, Any]) -> None:
        shares = cpu.get("shares")
        if shares:
            cgroups.write(self._at("cpu"), "cpu.shares", str(max(shares, _MIN_SHARES)))
        if cpu.get("period"):
            cgroups.write(self._at("cpu"), "cpu.cfs_period_us", str(cpu["period"]))
        if cpu.get("quota"):
            cgroups.write(self._at("cpu"), "cpu.cfs_quota_us", str(cpu["quota"]))
        for key, name in _CPU_FILES:
            if cpu.get(key) is not None:
                cgroups.write(self._at("cpu"), name, str(cpu[key]))
        for key, name in (("cpus", "cpuset.cpus"), ("mems", "cpuset.mems")):
            if cpu.get(key):
                self._create_on_demand("cpuset")
                cgroups.write(self._at("cpuset"), name, str(cpu[key]))

    def _limit_devices(self, entries: Any) -> None:
        directory = self._at("devices")
        for allow, rules in itertools.groupby(parse_rules(entries), lambda rule: rule.allow):
            name = "devices.allow" if allow else "devices.deny"
            cgroups.write_lines(directory, name, [rule.text() for rule in rules])

    def _create_on_demand(self, controller: str) -> None:
        mount = self._mounts.get(controller)
        if mount is None or os.path.isdir(mount + self.path):
            return
        cgroups.make_directories(mount, self.path)
        if controller == "cpuset":
            self._fill_cpuset(mount)
        self._bring_in(mount)

    def _bring_in(self, mount: str) -> None:
        """Moves the processes that run in the group already into a hierarchy where it is new; a
        limit would not be theirs. One forked by a process that is not moved yet comes at the
        second look; what is forked by one that is moved is there already."""
        for _ in range(_LOOKS):
            for process in self._own_processes():
                try:
                    cgroups.write(mount + self.path, "cgroup.procs", process)
                except ProcessLookupError:
                    continue

    def _own_processes(self) -> list[str]:
        """Ids of the processes in this group, without those below."""
        directory = self._mounts.get("pids", "") + self.path
        return cgroups.read(directory, "cgroup.procs").split() if os.path.isdir(directory) else []

    def _fill_cpuset(self, mount: str) -> None:
        """A new cpuset is empty and takes no process until both files are set, from the top."""
        directory = mount
        for part in self.path.strip("/").split("/"):
            parent, directory = directory, f"{directory}/{part}"
            for name in ("cpuset.cpus", "cpuset.mems"):
                if not cgroups.read(directory, name).strip():
                    cgroups.write(directory, name, cgroups.read(parent, name).strip())

    def birthplace(self) -> int:
        return -1

    def delegate(self, user: int) -> None:
        """Nothing: a group of version 1 cannot be delegated safely (runtime-spec, ownership)."""

    def enter(self) -> None:
        for directory in self._directories():
            cgroups.write(directory, "tasks", "0")

    def processes(self) -> list[int]:
        return cgroups.list_processes(self._directories(), "cgroup.procs")

    def freeze(self, frozen: bool) -> None:
        wanted = "FROZEN" if frozen else "THAWED"
        cgroups.write(self._at("freezer"), "freezer.state", wanted)
        cgroups.await_state(lambda: self.is_frozen() == frozen, "freezer.state")

    def is_frozen(self) -> bool:
        return self._read("freezer", "freezer.state").strip() == "FROZEN"

    def counters(self) -> dict[str, Any]:
        usage = cgroups.read_fields(self._at("cpuacct"), "cpuacct.stat")
        throttled = cgroups.read_fields(self._at("cpu"), "cpu.stat")
        limit = self._read("pids", "pids.max").strip()
        return {
            "cpu": {
                "usage": {
                    "total": int(self._read("cpuacct", "cpuacct.usage")),
                    "kernel": usage.get("system", 0) * _TICK_NANOSECONDS,
                    "user": usage.get("user", 0) * _TICK_NANOSECONDS,
                },
                "throttling": {
                    "periods": throttled.get("nr_periods", 0),
                    "throttledPeriods": throttled.get("nr_throttled", 0),
                    "throttledTime": throttled.get("throttled_time", 0),
                },
            },
            "memory": {
                "usage": {
                    key: int(self._read("memory", "memory." + name)) for key, name in _MEMORY_FILES
                },
                "raw": cgroups.read_fields(self._at("memory"), "memory.stat"),
            },
            "pids": {
                "current": int(self._read("pids", "pids.current")),
                "limit": 0 if limit == _UNLIMITED_PIDS else int(limit),
            },
        }

    def oom_kills(self) -> int:
        return cgroups.read_fields(self._at("memory"), "memory.oom_control").get("oom_kill", 0)

    def statistics(self) -> dict[str, int]:
        usage = int(self._read("memory", "memory.usage_in_bytes"))
        fields = cgroups.read_fields(self._at("memory"), "memory.stat")
        inactive = fields.get("total_inactive_file", 0)
        return {
            "cpu_usage_nanoseconds": int(self._read("cpuacct", "cpuacct.usage")),
            "memory_usage_bytes": usage,
            "memory_working_set_bytes": max(0, usage - inactive),
            "memory_rss_bytes": fields.get("total_rss", 0),
            "memory_limit_bytes": int(self._read("memory", "memory.limit_in_bytes")),
            "pids_current": int(self._read("pids", "pids.current")),
            **self._count_swap(fields),
            **self._count_throttling(),
        }

    def _count_throttling(self) -> dict[str, int]:
        if "cpu" not in self._mounts:
            return {}
        fields = cgroups.read_fields(self._at("cpu"), "cpu.stat")
        return cgroups.count_throttling(fields, "throttled_time", 1)

    def _count_swap(self, fields: Mapping[str, int]) -> dict[str, int]:
        """Swap in use, and its limit together with memory's; nothing without accounting."""
        path = self._at("memory") + "/memory.memsw.limit_in_bytes"
        if not os.path.exists(path):
            return {}
        with open(path) as file:
            limit = int(file.read())
        return {"swap_usage_bytes": fields.get("total_swap", 0), "swap_limit_bytes": limit}

    def _read(self, controller: str, name: str) -> str:
        return cgroups.read(self._at(controller), name)

    def views(self) -> list[tuple[str, str]]:
        return [
            (os.path.basename(directory.removesuffix(self.path)), directory)
            for directory in self._directories()
        ]

    def remove(self) -> None:
        for directory in self._directories():
            cgroups.remove_tree(directory)

    def prune(self) -> None:
        for controller in (*_ALWAYS, *_ON_DEMAND):
            if controller in self._mounts:
                cgroups.prune_parents(self._mounts[controller], self.path)
