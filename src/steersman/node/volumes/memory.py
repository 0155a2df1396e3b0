"""Mounts, file systems in memory, and to whom a directory belongs: what volumes share."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

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


def mount_huge_pages(directory: Path, page_bytes: int) -> None:
    """Mounts a hugetlbfs of pages of a size; what is in it counts to whoever uses it."""
    options = f"pagesize={page_bytes}"
    syscalls.mount("nodev", str(directory), "hugetlbfs", _NOSUID_NODEV, options)


def unmount(directory: Path) -> None:
    """Takes a mount away."""
    syscalls.umount(str(directory), syscalls.MNT_DETACH)


class Mount(NamedTuple):
    """A mount of the machine: where, whether it has peers (shared subtrees), and the number of the
    device whose file system it shows."""

    place: Path
    shared: bool
    device: int


def mounts() -> list[Mount]:
    """Returns the mounts of the machine, those that cover others after them."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [parse_mount(line) for line in lines]


def parse_mount(line: str) -> Mount:
    """Returns a mount from its line in mountinfo (proc_pid_mountinfo(5))."""
    fields = line.split(" ")
    # Spaces and the like are told as octal numbers
    place = re.sub(r"\\(\d{3})", lambda it: chr(int(it[1], 8)), fields[4])
    optional = fields[6 : fields.index("-", 6)]
    major, minor = map(int, fields[2].split(":"))
    shared = any(it.startswith("shared:") for it in optional)
    return Mount(Path(place), shared, os.makedev(major, minor))


def unmount_below(directory: Path) -> None:
    """Takes away all mounts below a directory, the last one first."""
    for mount in reversed(mounts()):
        if mount.place != directory and mount.place.is_relative_to(directory):
            unmount(mount.place)


def give(directory: Path, mode: int, group: int | None) -> None:
    """Sets mode and, for a pod with an fsGroup, the group, which what is made inside inherits."""
    if group is not None:
        os.chown(directory, -1, group)
        mode |= _SETGID | 0o070
    os.chmod(directory, mode)
