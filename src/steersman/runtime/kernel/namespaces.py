"""The namespaces of a container: which are new, which are joined, which are shared.

Not mounts and not cgroups. Rule: a namespace that is already ours is never joined again.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import struct

from . import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from .user_namespaces import Maps

# OCI name: (flag, name under /proc/<pid>/ns).
KINDS = {
    "mount": (syscalls.CLONE_NEWNS, "mnt"),
    "pid": (syscalls.CLONE_NEWPID, "pid"),
    "network": (syscalls.CLONE_NEWNET, "net"),
    "ipc": (syscalls.CLONE_NEWIPC, "ipc"),
    "uts": (syscalls.CLONE_NEWUTS, "uts"),
    "cgroup": (syscalls.CLONE_NEWCGROUP, "cgroup"),
    "time": (syscalls.CLONE_NEWTIME, "time"),
    "user": (syscalls.CLONE_NEWUSER, "user"),
}
_CLOCKS = ("monotonic", "boottime")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


class Namespaces:
    """What linux.namespaces asks for: flags of new ones, and paths of those to join by flag."""

    __slots__ = ("join", "new")

    def __init__(self, new: int, join: dict[int, str]) -> None:
        self.new = new
        self.join = join


def parse(entries: Iterable[Mapping[str, str]]) -> Namespaces:
    """Reads linux.namespaces; ValueError names an unknown or doubled kind."""
    new, join, seen = 0, {}, set()
    for entry in entries:
        kind = entry.get("type", "")
        if kind not in KINDS or kind in seen:
            raise ValueError(f"linux.namespaces: {kind!r} is not supported or is given twice")
        seen.add(kind)
        flag = KINDS[kind][0]
        if entry.get("path"):
            join[flag] = entry["path"]
        else:
            new |= flag
    return Namespaces(new, join)


def parse_maps(section: Mapping[str, Any], where: str) -> Maps | None:
    """Reads uidMappings and gidMappings of a section; None, and nothing imported, without both."""
    if not section.get("uidMappings") and not section.get("gidMappings"):
        return None
    from . import user_namespaces

    return user_namespaces.parse_maps(section, where)


def join(path: str, flag: int) -> None:
    """Enters the namespace at `path`, unless this process is in it; a foreign kind is refused."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        name = next(name for known, name in KINDS.values() if known == flag)
        if not os.path.samestat(os.stat(f"/proc/self/ns/{name}"), os.fstat(descriptor)):
            syscalls.setns(descriptor, flag)
    finally:
        os.close(descriptor)


def differing(pid: int) -> int:
    """Flags of the namespaces in which a process is, and this one is not.

    FileNotFoundError for one that has ended: it is in none any more, and not in ours.
    """
    flags = 0
    for flag, name in KINDS.values():
        try:
            ours = os.stat(f"/proc/self/ns/{name}")
        except FileNotFoundError:  # a kernel may be built without time namespaces
            continue
        if not os.path.samestat(ours, os.stat(f"/proc/{pid}/ns/{name}")):
            flags |= flag
    return flags


def parse_time_offsets(section: Mapping[str, Mapping[str, int]]) -> str:
    """linux.timeOffsets as the lines that /proc/self/timens_offsets takes."""
    lines = []
    for clock, offset in section.items():
        seconds, nanoseconds = int(offset.get("secs", 0)), int(offset.get("nanosecs", 0))
        if clock not in _CLOCKS or not 0 <= nanoseconds < 1_000_000_000:
            raise ValueError(f"linux.timeOffsets: {clock!r} is not known, or its nanosecs are not")
        lines.append(f"{clock} {seconds} {nanoseconds}\n")
    return "".join(lines)


def enter_new_time(offsets: str) -> None:
    """Makes a time namespace, sets its clocks while it is empty, and enters it (5.6)."""
    syscalls.unshare(syscalls.CLONE_NEWTIME)
    if offsets:
        with open("/proc/self/timens_offsets", "w") as file:
            file.write(offsets)
    descriptor = os.open("/proc/self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(descriptor, syscalls.CLONE_NEWTIME)
    finally:
        os.close(descriptor)


def bring_loopback_up() -> None:
    """Sets `lo` of this network namespace up; the kernel then gives it 127.0.0.1 and ::1."""
    control = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        request = struct.pack("16sH14x", b"lo", 0)
        name, flags = struct.unpack("16sH14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", name, flags | _IFF_UP))
    finally:
        control.close()


def write_sysctls(sysctls: Mapping[str, str]) -> None:
    """Sets kernel parameters of the namespaces this process is in; only namespaced ones pass.

    ValueError for a name that would change the machine. Source: runc's isValidSysctl and the
    list of safe and unsafe namespaced sysctls of the kubelet.
    """
    for name, value in sysctls.items():
        check_sysctl(name)
        with open("/proc/sys/" + name.replace(".", "/"), "w") as file:
            file.write(str(value))


_IPC_SYSCTLS = frozenset(
    [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ]
)


def check_sysctl(name: str) -> None:
    """Raises ValueError unless the kernel parameter belongs to a net or ipc namespace."""
    namespaced = name in _IPC_SYSCTLS or name.startswith(("net.", "fs.mqueue."))
    if not namespaced or "/" in name or ".." in name:
        raise ValueError(f"sysctl {name!r} is not namespaced")
