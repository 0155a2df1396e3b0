"""Device nodes: which ones a container has, who may use which, and how they are made.

Not the enforcement: cgroups1 writes the rules, cgroups2 compiles them. Rule: nodes are made
below an open directory, never by a path that an image could have prepared.
"""

from __future__ import annotations

import errno
import os
import stat

from . import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}

# Always there, whatever the document says: runtime-spec, config-linux, "Default Devices".
DEFAULT_NODES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
DEFAULT_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)


class Rule:
    """One line of a device list: kind a, b or c; -1 is any number; access out of r, w, m."""

    __slots__ = ("access", "allow", "kind", "major", "minor")

    def __init__(self, allow: bool, kind: str, major: int, minor: int, access: str) -> None:
        self.allow = allow
        self.kind = kind
        self.major = major
        self.minor = minor
        self.access = access

    def text(self) -> str:
        """The rule as devices.allow and devices.deny of version 1 read it."""
        if self.kind == "a":
            return "a *:* rwm"
        major = "*" if self.major < 0 else self.major
        minor = "*" if self.minor < 0 else self.minor
        return f"{self.kind} {major}:{minor} {self.access}"


# What every container may use, after its own list: nodes may be made, and the harmless ones
# opened. 136 are pseudo-terminals, 5:2 is ptmx, 5:1 the console. Source: runc's AllowedDevices.
DEFAULT_RULES = (
    Rule(True, "c", -1, -1, "m"),
    Rule(True, "b", -1, -1, "m"),
    *(Rule(True, "c", major, minor, "rwm") for _, major, minor in DEFAULT_NODES),
    Rule(True, "c", 136, -1, "rwm"),
    Rule(True, "c", 5, 2, "rwm"),
    Rule(True, "c", 5, 1, "rwm"),
)


def parse_rules(entries: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Reads linux.resources.devices and adds what every container may use.

    A list that opens everything, as for privileged containers, is taken as it is. Without any
    list everything that is not allowed by default is denied.
    """
    given = tuple(_parse_rule(entry) for entry in entries)
    start = given if given else (Rule(False, "a", -1, -1, "rwm"),)
    if start[-1].kind == "a" and start[-1].allow:
        return start
    return (*start, *DEFAULT_RULES)


def _parse_rule(entry: Mapping[str, Any]) -> Rule:
    kind = entry.get("type") or "a"
    access = entry.get("access") or "rwm"
    if kind not in ("a", "b", "c") or not set(access) <= set("rwm"):
        raise ValueError(f"linux.resources.devices: {dict(entry)!r} is not a device rule")
    major, minor = (-1 if entry.get(key) is None else int(entry[key]) for key in ("major", "minor"))
    if kind == "a" and (major >= 0 or minor >= 0):
        raise ValueError("linux.resources.devices: type a takes no numbers")
    return Rule(bool(entry.get("allow")), kind, major, minor, access)


def make_defaults(dev: int) -> None:
    """Makes the default nodes and links in the directory open as `dev`."""
    for name, major, minor in DEFAULT_NODES:
        number = os.makedev(major, minor)
        _make(dev, name, stat.S_IFCHR, 0o666, number, 0, 0, f"/dev/{name}")
    for name, target in DEFAULT_LINKS:
        try:
            os.symlink(target, name, dir_fd=dev)
        except FileExistsError:
            continue


def make(directory: int, name: str, device: Mapping[str, Any]) -> None:
    """Makes one node of linux.devices in the directory open as `directory`; where none can be
    made, the machine's is shown, at hostPath (an addition of ours) or the same path."""
    kind = _KINDS.get(device.get("type", ""))
    if kind is None:
        raise ValueError(f"linux.devices: type {device.get('type')!r} of {device.get('path')!r}")
    number = os.makedev(int(device.get("major", 0)), int(device.get("minor", 0)))
    mode = int(device.get("fileMode", 0o666)) & 0o7777
    owner, group = int(device.get("uid", 0)), int(device.get("gid", 0))
    shown = device.get("hostPath") or device["path"]
    _make(directory, name, kind, mode, number, owner, group, shown)


def _bind(directory: int, name: str, kind: int, number: int, path: str) -> None:
    """Shows the node of the machine at `path`, if it is the one that is meant."""
    tree = syscalls.open_tree(syscalls.AT_FDCWD, path, syscalls.OPEN_TREE_CLONE)
    try:
        found = os.fstat(tree)
        if stat.S_IFMT(found.st_mode) != kind or found.st_rdev != number:
            raise FileNotFoundError(errno.ENOENT, f"device {path} is not this machine's")
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(name, flags, 0o600, dir_fd=directory))
        target = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            syscalls.move_mount(tree, target)
        finally:
            os.close(target)
    finally:
        os.close(tree)


def _make(
    directory: int,
    name: str,
    kind: int,
    mode: int,
    number: int,
    owner: int,
    group: int,
    path: str,
) -> None:
    try:
        os.mknod(name, kind | mode, number, dir_fd=directory)
    except PermissionError:  # in a user namespace: the machine's own is shown
        _bind(directory, name, kind, number, path)
        return
    except FileExistsError:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_IFMT(found.st_mode) != kind or found.st_rdev != number:
            raise FileExistsError(
                errno.EEXIST, f"device {name!r} is there as something else"
            ) from None
    # mknod is subject to the umask; the mode of a node is not.
    os.chmod(name, mode, dir_fd=directory)
    if owner or group:
        os.chown(name, owner, group, dir_fd=directory, follow_symlinks=False)


def host_devices(directory: str = "/dev") -> list[dict[str, Any]]:
    """The nodes of the machine as linux.devices entries, for privileged containers.

    Pseudo-terminals, shared memory, message queues and terminals of the host are left out.
    """
    found = []
    for path, directories, files in os.walk(directory):
        directories[:] = sorted(set(directories) - {"pts", "shm", "mqueue", "fd", ".udev", "lxd"})
        for name in sorted(files):
            place = os.path.join(path, name)
            entry = describe(place, os.lstat(place))
            if entry is not None and name not in ("console", "ptmx"):
                found.append(entry)
    return found


def describe(path: str, status: os.stat_result) -> dict[str, Any] | None:
    """What is at a path as an entry of linux.devices; None for what is no device node."""
    kinds = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}
    kind = kinds.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    return {
        "path": path,
        "type": kind,
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }
