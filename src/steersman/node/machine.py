"""What this machine is: read once from /proc and /sys, for the Node object."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec

from steersman.images.documents import MACHINES


class Facts(msgspec.Struct, frozen=True):
    """A machine; amounts in whole units."""

    cpus: int
    memory_bytes: int
    disk_bytes: int
    machine_id: str
    system_uuid: str
    boot_id: str
    kernel: str
    system: str
    architecture: str


def read(directory: Path) -> Facts:
    """Reads what this machine is; `directory` is on the disk that pods write to."""
    disk = os.statvfs(directory)
    uname = os.uname()
    machine_id = _text("/etc/machine-id")
    return Facts(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        disk_bytes=disk.f_blocks * disk.f_frsize,
        machine_id=machine_id,
        system_uuid=_text("/sys/class/dmi/id/product_uuid") or machine_id,
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        kernel=uname.release,
        system=_system(),
        architecture=MACHINES.get(uname.machine, uname.machine),
    )


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
