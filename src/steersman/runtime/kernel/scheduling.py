"""How a process is scheduled: policy, I/O priority and personality of a process section.

Parsing is pure; `apply` changes the calling process. Rule: a word or flag that is not known is
refused, since a process under another policy than asked for starves or is starved.
"""

from __future__ import annotations

import struct

from . import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# Source: include/uapi/linux/sched.h, ioprio.h and personality.h
_POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
_IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_IO_CLASS_SHIFT, _MAX_IO_PRIORITY = 13, 7
_PERSONALITIES = {"LINUX": 0x0000, "LINUX32": 0x0008}
# NR_CPUS of the largest kernels
_MAX_PROCESSORS = 8192
_ATTRIBUTES_BYTES = 48


def parse_processors(text: str) -> set[int]:
    """Reads a list of processors as cpuset(7) has it: "0-2,7"; empty for an empty text."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"process.execCPUAffinity: {text!r} is not a list of processors")
        end = int(last if dash else first)
        if not int(first) <= end < _MAX_PROCESSORS:
            raise ValueError(f"process.execCPUAffinity: {text!r} is not a list of processors")
        found |= set(range(int(first), end + 1))
    return found


def parse_scheduler(section: Mapping[str, Any]) -> bytes:
    """process.scheduler as struct sched_attr; see sched_setattr(2)."""
    policy = section.get("policy", "")
    unknown = [flag for flag in section.get("flags") or () if flag not in _FLAGS]
    if policy not in _POLICIES or unknown:
        raise ValueError(f"process.scheduler: {unknown[0] if unknown else policy!r} is not known")
    flags = sum(_FLAGS[flag] for flag in set(section.get("flags") or ()))
    nice, priority = int(section.get("nice", 0)), int(section.get("priority", 0))
    times = [int(section.get(key, 0)) for key in ("runtime", "deadline", "period")]
    if not -20 <= nice <= 19 or not 0 <= priority <= 99 or min(times) < 0:
        raise ValueError("process.scheduler: a number is out of its range")
    return struct.pack(
        "=IIQiI3Q", _ATTRIBUTES_BYTES, _POLICIES[policy], flags, nice, priority, *times
    )


def parse_io_priority(section: Mapping[str, Any]) -> int:
    """process.ioPriority as the number that ioprio_set(2) takes."""
    kind, priority = section.get("class", ""), int(section.get("priority", 0))
    if kind not in _IO_CLASSES or not 0 <= priority <= _MAX_IO_PRIORITY:
        raise ValueError(f"process.ioPriority: {kind!r} with priority {priority} is not known")
    return _IO_CLASSES[kind] << _IO_CLASS_SHIFT | priority


def parse_personality(section: Mapping[str, Any]) -> int:
    """linux.personality as the number that personality(2) takes; it has no flags."""
    domain = section.get("domain", "")
    if domain not in _PERSONALITIES or section.get("flags"):
        raise ValueError(f"linux.personality: {domain!r} is not known, or flags are given")
    return _PERSONALITIES[domain]


def apply(scheduler: bytes, io_priority: int | None, personality: int | None) -> None:
    """Sets what is given for this process; needs the privileges that it is about to lose."""
    if scheduler:
        syscalls.sched_setattr(scheduler)
    if io_priority is not None:
        syscalls.ioprio_set(io_priority)
    if personality is not None:
        syscalls.set_personality(personality)
