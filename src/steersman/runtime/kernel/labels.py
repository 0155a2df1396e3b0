"""Labels of the kernel's security modules for a process: AppArmor profiles, SELinux contexts.

Where the kernel has no such module a label is refused, in runc's words, since a container that
was to be confined must not run without. Rule: a label is written at the last moment, below a
directory of the host's own /proc, which a container cannot have prepared (CVE-2019-16884).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_APPARMOR = "/sys/module/apparmor/parameters/enabled"
_SELINUX = "/sys/fs/selinux/enforce"
# Below /proc/self: the first that is there. What is written counts for the next exec.
_APPARMOR_FILES = ("attr/apparmor/exec", "attr/exec")
_SELINUX_FILES = ("attr/exec",)


class Labels:
    """What a process is labelled with when it runs its program; empty for no change."""

    __slots__ = ("apparmor", "selinux")

    def __init__(self, apparmor: str = "", selinux: str = "") -> None:
        self.apparmor = apparmor
        self.selinux = selinux

    def __bool__(self) -> bool:
        return bool(self.apparmor or self.selinux)


def parse(section: Mapping[str, Any]) -> Labels:
    """Reads the labels of a process section; ValueError where the kernel has no such module."""
    labels = Labels(
        str(section.get("apparmorProfile") or ""), str(section.get("selinuxLabel") or "")
    )
    if labels.apparmor and not has_apparmor():
        raise ValueError("apparmor: config provided but apparmor not supported")
    if labels.selinux and not has_selinux():
        raise ValueError(
            "selinux label is specified in config, but selinux is disabled or not supported"
        )
    return labels


def has_apparmor() -> bool:
    """Whether this kernel confines by AppArmor."""
    try:
        with open(_APPARMOR) as file:
            return file.read(1) == "Y"
    except FileNotFoundError:
        return False


def has_selinux() -> bool:
    """Whether this kernel labels by SELinux, with a policy loaded."""
    return os.path.exists(_SELINUX)


def open_self() -> int:
    """The directory of this process in /proc, for `apply`: while /proc is still the host's."""
    return os.open("/proc/self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def apply(labels: Labels, directory: int) -> None:
    """Has the next exec of this process change to its labels; `directory` is from open_self."""
    if labels.apparmor:
        _write(directory, _APPARMOR_FILES, f"exec {labels.apparmor}")
    if labels.selinux:
        _write(directory, _SELINUX_FILES, labels.selinux)


def _write(directory: int, names: tuple[str, ...], value: str) -> None:
    for name in names[:-1]:
        try:
            _write_one(directory, name, value)
            return
        except FileNotFoundError:
            continue
    _write_one(directory, names[-1], value)


def _write_one(directory: int, name: str, value: str) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)
