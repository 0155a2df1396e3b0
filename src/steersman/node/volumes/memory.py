"""Mounts, file systems in memory, and to whom a directory belongs: what volumes share."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from steersman.runtime.kernel import syscalls

_NOSUID_NODEV = 0x2 | 0x4
_SETGID = 0o2000


def is_mounted(directory: Path) -> bool:
    """Whether something is mounted there."""
    return os.path.ismount(directory)


def mount(directory: Path, size_bytes: int = 0) -> None:
    """Mounts a tmpfs; without a size it may grow to half of the machine's memory."""
    options = f"size={size_bytes}" if size_bytes else ""
    syscalls.mount("tmpfs", str(directory), "tmpfs", _NOSUID_NODEV, options)


def unmount(directory: Path) -> None:
    """Takes a mount away."""
    syscalls.umount(str(directory), syscalls.MNT_DETACH)


def unmount_below(directory: Path) -> None:
    """Takes away all mounts below a directory, the last one first."""
    for place in reversed(list(_mounts())):
        if place != directory and place.is_relative_to(directory):
            unmount(place)


def _mounts() -> Iterator[Path]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # proc_pid_mountinfo(5): spaces and the like are told as octal numbers
        yield Path(re.sub(r"\\(\d{3})", lambda it: chr(int(it[1], 8)), line.split(" ", 5)[4]))


def give(directory: Path, mode: int, group: int | None) -> None:
    """Sets mode and, for a pod with an fsGroup, the group, which what is made inside inherits."""
    if group is not None:
        os.chown(directory, -1, group)
        mode |= _SETGID | 0o070
    os.chmod(directory, mode)
