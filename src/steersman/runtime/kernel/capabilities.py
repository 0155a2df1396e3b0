"""Capabilities: names to masks, and the five sets of a process.

Not the choice of who gets which; that is in the OCI document. Rule: a name that this process
does not hold itself is left out, as runc does, since nobody can give what they do not have.
"""

from __future__ import annotations

from . import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# In the kernel's order: the index is the number. Source: include/uapi/linux/capability.h
NAMES = tuple(
    "CAP_" + name
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ]
)
_NUMBERS = {name: number for number, name in enumerate(NAMES)}

# What Docker and containerd give a container that asks for nothing.
DEFAULT = tuple(
    "CAP_" + name
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
)


class Sets:
    """The five capability sets of a process, each a mask."""

    __slots__ = ("ambient", "bounding", "effective", "inheritable", "permitted")

    def __init__(
        self, bounding: int, effective: int, permitted: int, inheritable: int, ambient: int
    ) -> None:
        self.bounding = bounding
        self.effective = effective
        self.permitted = permitted
        self.inheritable = inheritable
        self.ambient = ambient


def parse_names(names: Iterable[str]) -> int:
    """The mask of these names; ValueError for one that the kernel's list does not have."""
    mask = 0
    for name in names:
        if name not in _NUMBERS:
            raise ValueError(f"unknown capability {name!r}")
        mask |= 1 << _NUMBERS[name]
    return mask


def names_of(mask: int) -> list[str]:
    """The names in a mask."""
    return [name for number, name in enumerate(NAMES) if mask & (1 << number)]


def parse(section: Mapping[str, Iterable[str]] | None, available: int) -> Sets:
    """Reads process.capabilities; an absent section is five empty sets."""
    section = section or {}
    kinds = ("bounding", "effective", "permitted", "inheritable", "ambient")
    return Sets(*(parse_names(section.get(kind) or ()) & available for kind in kinds))


def available() -> int:
    """The mask of capabilities in this process's bounding set."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("CapBnd:"))
    return int(line.split()[1], 16) & ((1 << len(NAMES)) - 1)


def of_kernel() -> int:
    """The mask of capabilities that this kernel knows: what a user namespace begins with."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    return (1 << min(last + 1, len(NAMES))) - 1


def drop_bounding(keep: int, held: int) -> None:
    """Takes every capability of `held` that is not in `keep` from the bounding set, for ever."""
    for number in range(len(NAMES)):
        if held & ~keep & (1 << number):
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)


def apply(sets: Sets) -> None:
    """Sets permitted, effective, inheritable and ambient; the last step that needs privilege."""
    syscalls.capset(sets.effective, sets.permitted, sets.inheritable)
    syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(len(NAMES)):
        if sets.ambient & sets.permitted & sets.inheritable & (1 << number):
            syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_RAISE, number)
