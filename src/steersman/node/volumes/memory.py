"""File systems in memory, and to whom a directory belongs: what volumes share of the kernel."""

from __future__ import annotations

import os
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


def give(directory: Path, mode: int, group: int | None) -> None:
    """Sets mode and, for a pod with an fsGroup, the group, which what is made inside inherits."""
    if group is not None:
        os.chown(directory, -1, group)
        mode |= _SETGID | 0o070
    os.chmod(directory, mode)
