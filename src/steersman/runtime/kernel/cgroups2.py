"""Control groups of version 2: one directory, limits converted from the OCI section.

Rule: a process is born inside (CLONE_INTO_CGROUP), never moved. Conversions are those of
runc's cgroup manager and of the kubelet: shares to weight, swap as an amount of its own.
"""

from __future__ import annotations

import os

from . import cgroups, device_filter
from .devices import parse_rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")
_DELEGATE = "/sys/kernel/cgroup/delegate"
_DEFAULT_PERIOD_MICROSECONDS = 100_000


class UnifiedCgroup:
    """A control group in the unified hierarchy."""

    __slots__ = ("_mount", "path")

    def __init__(self, mount: str, path: str) -> None:
        self._mount = mount
        self.path = path

    @property
    def _directory(self) -> str:
        return self._mount + self.path

    def create(self) -> None:
        cgroups.make_directories(self._mount, self.path)
        self._enable_controllers()

    def _enable_controllers(self) -> None:
        """Every group above must hand the controllers down; the leaf must not, it has processes."""
        directory = self._mount
        for part in self.path.strip("/").split("/"):
            have = set(cgroups.read(directory, "cgroup.controllers").split())
            given = set(cgroups.read(directory, "cgroup.subtree_control").split())
            missing = [name for name in _CONTROLLERS if name in have - given]
            if missing:
                cgroups.write(
                    directory, "cgroup.subtree_control", " ".join("+" + name for name in missing)
                )
            directory = f"{directory}/{part}"

    def limit(self, resources: Mapping[str, Any]) -> None:
        for name, value in render_limits(resources):
            cgroups.write(self._directory, name, value)
        if "devices" in resources:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                device_filter.attach(descriptor, parse_rules(resources["devices"] or ()))
            finally:
                os.close(descriptor)

    def birthplace(self) -> int:
        return os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def delegate(self, user: int) -> None:
        os.chown(self._directory, user, -1)
        for name in _delegated_files():
            path = f"{self._directory}/{name}"
            if os.path.exists(path):
                os.chown(path, user, -1)

    def enter(self) -> None:
        cgroups.write(self._directory, "cgroup.procs", "0")

    def processes(self) -> list[int]:
        return cgroups.list_processes((self._directory,), "cgroup.procs")

    def freeze(self, frozen: bool) -> None:
        cgroups.write(self._directory, "cgroup.freeze", "1" if frozen else "0")
        cgroups.await_state(lambda: self.is_frozen() == frozen, "cgroup.freeze")

    def is_frozen(self) -> bool:
        return cgroups.read_fields(self._directory, "cgroup.events").get("frozen", 0) == 1

    def counters(self) -> dict[str, Any]:
        cpu = cgroups.read_fields(self._directory, "cpu.stat")
        limits = {
            name: cgroups.read(self._directory, name).strip() for name in ("memory.max", "pids.max")
        }
        # runc shows no limit as the largest number for memory, and as 0 for processes.
        memory, pids = limits["memory.max"], limits["pids.max"]
        return {
            "cpu": {
                "usage": {
                    "total": cpu.get("usage_usec", 0) * 1000,
                    "kernel": cpu.get("system_usec", 0) * 1000,
                    "user": cpu.get("user_usec", 0) * 1000,
                },
                "throttling": {
                    "periods": cpu.get("nr_periods", 0),
                    "throttledPeriods": cpu.get("nr_throttled", 0),
                    "throttledTime": cpu.get("throttled_usec", 0) * 1000,
                },
            },
            "memory": {
                "usage": {
                    "limit": (1 << 64) - 1 if memory == "max" else int(memory),
                    "usage": int(cgroups.read(self._directory, "memory.current")),
                    "failcnt": cgroups.read_fields(self._directory, "memory.events").get("max", 0),
                },
                "raw": cgroups.read_fields(self._directory, "memory.stat"),
            },
            "pids": {
                "current": int(cgroups.read(self._directory, "pids.current")),
                "limit": 0 if pids == "max" else int(pids),
            },
        }

    def oom_kills(self) -> int:
        return cgroups.read_fields(self._directory, "memory.events").get("oom_kill", 0)

    def statistics(self) -> dict[str, int]:
        usage = int(cgroups.read(self._directory, "memory.current"))
        memory = cgroups.read_fields(self._directory, "memory.stat")
        cpu = cgroups.read_fields(self._directory, "cpu.stat")
        limit = cgroups.read(self._directory, "memory.max").strip()
        return {
            "cpu_usage_nanoseconds": cpu.get("usage_usec", 0) * 1000,
            "memory_usage_bytes": usage,
            "memory_working_set_bytes": max(0, usage - memory.get("inactive_file", 0)),
            "memory_rss_bytes": memory.get("anon", 0),
            "memory_limit_bytes": (1 << 63) - 1 if limit == "max" else int(limit),
            "pids_current": int(cgroups.read(self._directory, "pids.current")),
            **self._count_swap(),
            **cgroups.count_throttling(cpu, "throttled_usec", 1000),
        }

    def _count_swap(self) -> dict[str, int]:
        """Swap in use, and its limit; nothing where the kernel counts none."""
        if not os.path.exists(f"{self._directory}/memory.swap.current"):
            return {}
        limit = cgroups.read(self._directory, "memory.swap.max").strip()
        return {
            "swap_usage_bytes": int(cgroups.read(self._directory, "memory.swap.current")),
            "swap_limit_bytes": (1 << 63) - 1 if limit == "max" else int(limit),
        }

    def views(self) -> list[tuple[str, str]]:
        return [("", self._directory)]

    def remove(self) -> None:
        cgroups.remove_tree(self._directory)

    def prune(self) -> None:
        cgroups.prune_parents(self._mount, self.path)


def _delegated_files() -> list[str]:
    """The files that whoever owns a group writes to; the kernel tells them since 4.15."""
    try:
        with open(_DELEGATE) as file:
            return file.read().split()
    except FileNotFoundError:
        return ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]


def convert_shares(shares: int) -> int:
    """cpu.weight (1 to 10000) for cpu.shares (2 to 262144), linear as KEP-2254 has it."""
    return 1 + (min(max(shares, 2), 262_144) - 2) * 9999 // 262_142


def render_limits(resources: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The control files to write, in order, for a linux.resources section."""
    cgroups.check_resources(resources)
    limits = _render_cpu(resources.get("cpu") or {}) + _render_memory(resources.get("memory") or {})
    pids = (resources.get("pids") or {}).get("limit")
    if pids is not None:
        limits.append(("pids.max", str(pids) if pids > 0 else "max"))
    for limit in resources.get("hugepageLimits") or ():
        limits.append((f"hugetlb.{limit['pageSize']}.max", str(limit["limit"])))
    limits += _render_blocks(resources.get("blockIO") or {})
    for name, value in sorted((resources.get("unified") or {}).items()):
        if "/" in name:
            raise ValueError(f"linux.resources.unified: {name!r} is not a file name")
        limits.append((name, value))
    return limits


def _render_blocks(block: Mapping[str, Any]) -> list[tuple[str, str]]:
    limits = []
    if block.get("weight"):
        limits.append(("io.weight", str(_convert_block_weight(block["weight"]))))
    for entry in block.get("weightDevice") or ():
        device = f"{int(entry['major'])}:{int(entry['minor'])}"
        if entry.get("weight"):
            limits.append(("io.weight", f"{device} {_convert_block_weight(entry['weight'])}"))
    for key, device, rate in cgroups.throttles(block):
        word = cgroups.THROTTLES[key][1]
        limits.append(("io.max", f"{device} {word}={rate or 'max'}"))
    return limits


def _convert_block_weight(weight: int) -> int:
    """io.weight (1 to 10000) for blkio.weight (10 to 1000)."""
    return 1 + (weight - 10) * 9999 // 990


def _render_cpu(cpu: Mapping[str, Any]) -> list[tuple[str, str]]:
    limits = []
    for key in ("realtimePeriod", "realtimeRuntime"):
        if cpu.get(key):
            raise ValueError(f"linux.resources.cpu.{key}: control groups of version 2 have none")
    if cpu.get("idle") is not None:
        limits.append(("cpu.idle", str(cpu["idle"])))
    if cpu.get("shares"):
        limits.append(("cpu.weight", str(convert_shares(cpu["shares"]))))
    quota, period = cpu.get("quota"), cpu.get("period")
    if quota or period:
        amount = str(quota) if quota and quota > 0 else "max"
        limits.append(("cpu.max", f"{amount} {period or _DEFAULT_PERIOD_MICROSECONDS}"))
    if cpu.get("burst") is not None:
        limits.append(("cpu.max.burst", str(cpu["burst"])))
    sets = [(f"cpuset.{key}", str(cpu[key])) for key in ("cpus", "mems") if cpu.get(key)]
    return limits + sets


def _render_memory(memory: Mapping[str, Any]) -> list[tuple[str, str]]:
    limits = []
    limit, swap = memory.get("limit"), memory.get("swap")
    if swap:
        # OCI's swap is memory and swap together; version 2 counts swap by itself.
        if swap > 0 and (not limit or limit < 0 or swap < limit):
            raise ValueError("linux.resources.memory: swap needs a limit that is not above it")
        limits.append(("memory.swap.max", "max" if swap < 0 else str(swap - limit)))
    if limit:
        limits.append(("memory.max", "max" if limit < 0 else str(limit)))
    reservation = memory.get("reservation")
    if reservation:
        limits.append(("memory.low", "max" if reservation < 0 else str(reservation)))
    return limits
