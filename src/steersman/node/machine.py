"""What this machine is: read once from /proc and /sys, for the Node object."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from steersman.images.documents import MACHINES

HUGE_PAGES: Final = Path("/sys/kernel/mm/hugepages")
MOST_PODS: Final = 110  # kubelet's maxPods
_KIB: Final = 1024


class Facts(msgspec.Struct, frozen=True):
    """A machine; amounts in whole units. `pages` are its huge pages, by size in bytes, `processes`
    how many there may be (kubelet's pidlimit), `most_pods` how many pods it is to have."""

    cpus: int
    memory_bytes: int
    disk_bytes: int
    machine_id: str
    system_uuid: str
    boot_id: str
    kernel: str
    system: str
    architecture: str
    pages: Mapping[int, int] = {}
    swap_bytes: int = 0
    processes: int = 0
    most_pods: int = MOST_PODS


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
        pages=read_pages(HUGE_PAGES),
        swap_bytes=parse_swap(_text("/proc/meminfo")),
        processes=min(int(_text(f"/proc/sys/kernel/{it}")) for it in ("pid_max", "threads-max")),
    )


def read_pages(directory: Path) -> dict[int, int]:
    """Returns how many huge pages there are of each size in bytes, from a folder of /sys."""
    found = {}
    for path in directory.glob("hugepages-*kB"):
        size = int(path.name.removeprefix("hugepages-").removesuffix("kB")) * _KIB
        found[size] = int(_text(str(path / "nr_hugepages")) or 0)
    return dict(sorted(found.items()))


def parse_swap(meminfo: str) -> int:
    """Returns how many bytes of swap there are in all (proc_meminfo(5))."""
    for line in meminfo.splitlines():
        name, _, amount = line.partition(":")
        if name == "SwapTotal":
            return int(amount.split()[0]) * _KIB
    return 0


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
