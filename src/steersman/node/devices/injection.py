"""What the devices of a container need of it, and how its document says that: pure.

Follows pod_devices.go (deviceRunContainerOptions) and containerd's WithDevices.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from steersman.model.kind import Document
from steersman.node.cdi.edits import add_device
from steersman.runtime import spec

_KINDS = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}


class Mount(msgspec.Struct, frozen=True):
    """A file or directory of the machine that a container sees."""

    source: str
    target: str
    readonly: bool = False


class Node(msgspec.Struct, frozen=True):
    """A device node of the machine that a container has; access out of r, w, m."""

    source: str
    target: str
    access: str


class Injection(msgspec.Struct, frozen=True):
    """What is put into a container; `cdi` are whole names of devices of that interface."""

    env: Mapping[str, str] = {}
    mounts: Sequence[Mount] = ()
    devices: Sequence[Node] = ()
    annotations: Mapping[str, str] = {}
    cdi: Sequence[str] = ()

    def with_cdi(self, names: Iterable[str]) -> Injection:
        """Returns the same with further devices, each once."""
        return msgspec.structs.replace(self, cdi=tuple(dict.fromkeys([*self.cdi, *names])))


NOTHING = Injection()


class NoDevice(Exception):
    """A device node is not there; the text says which."""


def merge(injections: Iterable[Injection]) -> Injection:
    """Returns several as one; of what has the same name or place the first counts."""
    env: dict[str, str] = {}
    annotations: dict[str, str] = {}
    mounts: dict[str, Mount] = {}
    devices: dict[str, Node] = {}
    cdi: dict[str, None] = {}
    for one in injections:
        env = {**one.env, **env}
        annotations = {**one.annotations, **annotations}
        mounts = {**{it.target: it for it in one.mounts}, **mounts}
        devices = {**{it.target: it for it in one.devices}, **devices}
        cdi |= dict.fromkeys(one.cdi)
    return Injection(env, tuple(mounts.values()), tuple(devices.values()), annotations, tuple(cdi))


def render_mounts(injection: Injection, *, mapped: bool) -> list[Document]:
    """Returns the bind mounts of plugins."""
    return [
        spec.bind_mount(it.source, it.target, readonly=it.readonly, mapped=mapped)
        for it in injection.mounts
    ]


def add_devices(
    document: Document, injection: Injection, look: Callable[[str], Sequence[Document]] | None = None
) -> None:
    """Shows the device nodes of plugins and lets the container use them; raises NoDevice."""
    find = look or find_nodes
    for it in injection.devices:
        for node in find(it.source):
            below = os.path.relpath(node["path"], it.source)
            path = it.target if below == "." else os.path.join(it.target, below)
            add_device(document, {**node, "path": path}, it.access)


def find_nodes(path: str) -> Sequence[Document]:
    """Returns what is a device node at a path, or directly below a directory; links lead to what
    they name. Raises NoDevice."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            entries = sorted(os.scandir(path), key=lambda it: it.name)
            nodes = [_describe(it.path, it.stat(follow_symlinks=False)) for it in entries]
            return [it for it in nodes if it is not None]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise NoDevice(f"error gathering device information while adding custom device "
                       f'"{path}": {reason}') from error  # fmt: skip
    if (node := _describe(path, status)) is None:
        raise NoDevice(
            f'error gathering device information while adding custom device "{path}": '
            "not a device node"
        )
    return [node]


def _describe(path: str, status: os.stat_result) -> Document | None:
    if (kind := _KINDS.get(stat.S_IFMT(status.st_mode))) is None:
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
