"""One look at a control group, a network namespace, or the machine: numbers out of the kernel's
files. What is gone meanwhile is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from steersman.runtime.kernel.cgroups import Cgroup


# Version 1's way to say that there is no limit: the largest number of whole pages, or near it
_UNLIMITED: Final = 1 << 62
_KIBI: Final = 1024
_IDLE: Final = (3, 4)  # columns of /proc/stat: idle, iowait


class Reading(msgspec.Struct, frozen=True):
    """What a control group used up to `time`; a limit of 0 is none. Of swap None is known where
    nobody counts it, and of its limit where there is none; of periods where there is no quota."""

    time: float
    cpu_nanos: int
    usage_bytes: int
    working_set_bytes: int
    rss_bytes: int
    limit_bytes: int
    processes: int
    swap_bytes: int | None = None
    swap_limit_bytes: int | None = None
    periods: int | None = None
    throttled_periods: int = 0
    throttled_nanos: int = 0


class Traffic(msgspec.Struct, frozen=True):
    """What went through a network interface."""

    name: str
    received_bytes: int
    received_errors: int
    sent_bytes: int
    sent_errors: int


class Disk(msgspec.Struct, frozen=True):
    """A file system: bytes and inodes, whole and free."""

    capacity_bytes: int
    available_bytes: int
    used_bytes: int
    inodes: int
    inodes_free: int


def read_group(group: Cgroup, now: float) -> Reading | None:
    """Looks at a control group."""
    try:
        found = group.statistics()
    except (OSError, ValueError):  # the group went, or goes
        return None
    limit = found["memory_limit_bytes"]
    return Reading(
        now,
        found["cpu_usage_nanoseconds"],
        found["memory_usage_bytes"],
        found["memory_working_set_bytes"],
        found["memory_rss_bytes"],
        0 if limit >= _UNLIMITED else limit,
        found["pids_current"],
        found.get("swap_usage_bytes"),
        _bounded(found.get("swap_limit_bytes")),
        found.get("cpu_periods"),
        found.get("cpu_throttled_periods", 0),
        found.get("cpu_throttled_nanoseconds", 0),
    )


def _bounded(limit: int | None) -> int | None:
    return None if limit is None or limit >= _UNLIMITED else limit


def read_machine(proc: Path, ticks: int, now: float) -> Reading:
    """Looks at the whole machine; `ticks` are those of a second (SC_CLK_TCK)."""
    memory = parse_memory((proc / "meminfo").read_text())
    busy, processes = parse_processor((proc / "stat").read_text())
    used = memory["MemTotal"] - memory["MemFree"]
    return Reading(
        now,
        busy * (10**9 // ticks),
        used,
        max(0, used - memory.get("Inactive(file)", 0)),
        memory.get("AnonPages", 0),
        memory["MemTotal"],
        processes,
        memory.get("SwapTotal", 0) - memory.get("SwapFree", 0),
        memory.get("SwapTotal", 0),
    )


def parse_memory(text: str) -> Mapping[str, int]:
    """Reads /proc/meminfo; amounts in bytes."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name] = int(words[0]) * (_KIBI if words[1:] == ["kB"] else 1)
    return found


def parse_processor(text: str) -> tuple[int, int]:
    """Reads /proc/stat: ticks in which a processor was busy, and processes that run."""
    busy = running = 0
    for line in text.splitlines():
        name, *numbers = line.split()
        if name == "cpu":
            # guest time is in user time already
            counted = [int(number) for number in numbers[:8]]
            busy = sum(number for place, number in enumerate(counted) if place not in _IDLE)
        elif name == "procs_running":
            running = int(numbers[0])
    return busy, running


def parse_traffic(text: str) -> list[Traffic]:
    """Reads /proc/PID/net/dev; the loopback interface is no network."""
    found = []
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = rest.split()
        if name.strip() != "lo" and len(numbers) >= 11:
            amounts = (int(numbers[place]) for place in (0, 2, 8, 10))
            found.append(Traffic(name.strip(), *amounts))
    return found
