"""Does to a container's document what its devices need: pure but for a look at device nodes.

Follows container-device-interface/pkg/cdi/container-edits.go. What the runtime cannot do raises.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from typing import NamedTuple

from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.node.cdi.specs import NO_PERMISSIONS, DeviceNode, Edits, Hook, Mount
from steersman.node.render.putting import put_device, put_mount

_KINDS = {stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p"}


class CannotEdit(Exception):
    """What a device needs cannot be had; the text says why."""


class Node(NamedTuple):
    """A device node of the machine."""

    type: str
    major: int
    minor: int


def look(path: str) -> Node:
    """Returns what a device node of the machine is; raises CannotEdit."""
    try:
        status = os.stat(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        text = f"failed to stat CDI host device {quote(path)}"
        raise CannotEdit(f"{text}: {reason}") from error
    if (kind := _KINDS.get(stat.S_IFMT(status.st_mode))) is None:
        raise CannotEdit(f"failed to stat CDI host device {quote(path)}: not a device node")
    return Node(kind, os.major(status.st_rdev), os.minor(status.st_rdev))


def apply_edits(
    document: Document, edits: Iterable[Edits], look: Callable[[str], Node] = look
) -> None:
    """Changes a document; raises CannotEdit."""
    for one in edits:
        if one.intel_rdt is not None:
            raise CannotEdit("intelRdt is not supported")
        if one.net_devices:
            raise CannotEdit("netDevices are not supported")
        _set_variables(document, one.env)
        for node in one.device_nodes:
            _add_device(document, node, look)
        for mount in one.mounts:
            _add_mount(document, mount)
        for hook in one.hooks:
            _add_hook(document, hook)
        groups = document["process"]["user"].setdefault("additionalGids", [])
        for group in one.additional_gids:
            if group and group not in groups:
                groups.append(group)


def _set_variables(document: Document, variables: Iterable[str]) -> None:
    known = {it.partition("=")[0]: it for it in document["process"].get("env", ())}
    known |= {it.partition("=")[0]: it for it in variables}
    document["process"]["env"] = list(known.values())


def _add_device(document: Document, node: DeviceNode, look: Callable[[str], Node]) -> None:
    kind, major, minor = _complete(node, look)
    made: Document = {"path": node.path, "type": kind, "major": major, "minor": minor}
    if node.host_path:
        made["hostPath"] = node.host_path
    if node.file_mode is not None:
        made["fileMode"] = node.file_mode
    user, group = _owner(document["process"]["user"])
    for name, own, default in (("uid", node.uid, user), ("gid", node.gid, group)):
        if number := default if own is None else own:
            made[name] = number
    access = "" if node.permissions == NO_PERMISSIONS else node.permissions or "rwm"
    put_device(document, made, access)


def _owner(user: Document) -> tuple[int, int]:
    """Returns user and group of the process, as far as they are numbers before it is begun."""
    if not (name := user.get("username", "")):
        return user.get("uid", 0), user.get("gid", 0)
    found, _, group = name.partition(":")
    return int(found) if found.isdecimal() else 0, int(group) if group.isdecimal() else 0


def _complete(node: DeviceNode, look: Callable[[str], Node]) -> Node:
    """Returns what a node is, by the machine's own where that is not said."""
    if node.type and (node.major or node.type == "p"):
        return Node(node.type, node.major, node.minor)
    path = node.host_path or node.path
    found = look(path)
    if node.type and node.type != found.type:
        pair = f"({quote(node.path)}, {quote(path)})"
        raise CannotEdit(f"CDI device {pair}, host type mismatch ({node.type}, {found.type})")
    if node.major:
        return Node(found.type, node.major, node.minor)
    return found


def _add_mount(document: Document, mount: Mount) -> None:
    options = list(mount.options)
    if not mount.type and not {"bind", "rbind"} & set(options):
        options.insert(0, "rbind")
    bound = mount.type in ("", "none", "bind")
    if bound and any(it["type"] == "user" for it in document["linux"]["namespaces"]):
        options.append("idmap")
    made: Document = {
        "destination": mount.container_path,
        "type": "bind" if bound else mount.type,
        "source": mount.host_path,
        "options": options,
    }
    put_mount(document, made)


def _add_hook(document: Document, hook: Hook) -> None:
    made: Document = {"path": hook.path}
    for name, value in (("args", list(hook.args)), ("env", list(hook.env))):
        if value:
            made[name] = value
    if hook.timeout is not None:
        made["timeout"] = hook.timeout
    document.setdefault("hooks", {}).setdefault(hook.hook_name, []).append(made)
