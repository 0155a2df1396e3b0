"""What the devices of a container need of it, and how its document says that: pure.

Follows pod_devices.go (deviceRunContainerOptions) and containerd's WithDevices.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.node.render.putting import put_device, put_mount
from steersman.runtime import spec
from steersman.runtime.kernel.devices import describe


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


def find_nodes(path: str) -> Sequence[Document]:
    """Returns what is a device node at a path, or directly below a directory; links lead to what
    they name. Raises NoDevice."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            entries = sorted(os.scandir(path), key=lambda it: it.name)
            nodes = [describe(it.path, it.stat(follow_symlinks=False)) for it in entries]
            return [it for it in nodes if it is not None]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _not_added(path, reason) from error
    if (node := describe(path, status)) is None:
        raise _not_added(path, "not a device node")
    return [node]


def inject(
    document: Document,
    injection: Injection,
    volumes: Collection[str],
    find: Callable[[str], Sequence[Document]] = find_nodes,
) -> None:
    """Puts what plugins say into a container's document, but for variables and devices of the
    Container Device Interface: mounts where no volume is mounted. Raises NoDevice."""
    mapped = any(it["type"] == "user" for it in document["linux"]["namespaces"])
    for one in injection.mounts:
        if one.target not in volumes:
            mount = spec.bind_mount(one.source, one.target, readonly=one.readonly, mapped=mapped)
            put_mount(document, mount)
    if injection.annotations:
        document["annotations"] = {**injection.annotations}
    for it in injection.devices:
        for node in find(it.source):
            below = os.path.relpath(node["path"], it.source)
            path = it.target if below == "." else os.path.join(it.target, below)
            put_device(document, {**node, "path": path, "hostPath": node["path"]}, it.access)


def _not_added(path: str, why: str) -> NoDevice:
    text = "error gathering device information while adding custom device"
    return NoDevice(f"{text} {quote(path)}: {why}")
