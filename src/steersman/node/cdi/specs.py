"""The documents of the Container Device Interface: what they hold, and whether they may: pure.

Follows its SPEC.md, and container-device-interface/pkg/cdi for what is checked and in which words.
One rule: a document with a field that is not known is refused whole, since what it meant is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from steersman.model.gotext import quote
from steersman.wire import yaml

VERSIONS: Final = ("0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0")
HOOKS: Final = (
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
)
# Permissions of a device that is shown and not to be used
NO_PERMISSIONS: Final = "none"
_KIND: Final = re.compile(
    r"[A-Za-z]([A-Za-z0-9._-]*[A-Za-z0-9])?/[A-Za-z]([A-Za-z0-9._-]*[A-Za-z0-9])?"
)
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?")
_TYPES: Final = ("", "b", "c", "u", "p")


class BadSpec(Exception):
    """A document cannot be used; the text says why."""


class _Part(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A part of a document."""


class DeviceNode(_Part, frozen=True):
    """A device node; what is not given is that of the machine's node."""

    path: str
    host_path: str = ""
    type: str = ""
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    permissions: str = ""
    uid: int | None = None
    gid: int | None = None


class Mount(_Part, frozen=True):
    """A file or directory of the machine in the container."""

    host_path: str
    container_path: str
    options: tuple[str, ...] = ()
    type: str = ""


class Hook(_Part, frozen=True):
    """A program that is run at a point of the container's life (runtime-spec, hooks)."""

    hook_name: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


class Edits(_Part, frozen=True):
    """What is done to a container's document."""

    env: tuple[str, ...] = ()
    device_nodes: tuple[DeviceNode, ...] = ()
    net_devices: tuple[Mapping[str, Any], ...] = ()
    hooks: tuple[Hook, ...] = ()
    mounts: tuple[Mount, ...] = ()
    intel_rdt: Mapping[str, Any] | None = None
    additional_gids: tuple[int, ...] = ()


class Device(_Part, frozen=True):
    """A device, and what it needs."""

    name: str
    annotations: Mapping[str, str] = {}
    container_edits: Edits = Edits()


class Spec(_Part, frozen=True):
    """A document: devices of one kind, and what they all need."""

    cdi_version: str
    kind: str
    devices: tuple[Device, ...]
    annotations: Mapping[str, str] = {}
    container_edits: Edits = Edits()

    def qualified(self, device: Device) -> str:
        """Returns the whole name of a device."""
        return f"{self.kind}={device.name}"


def parse_spec(text: bytes) -> Spec:
    """Reads a document in JSON or YAML, which contains JSON; raises BadSpec."""
    try:
        found = msgspec.convert(yaml.load(text), Spec)
    except (yaml.BadYAML, msgspec.ValidationError) as error:
        raise BadSpec(str(error)) from error
    if why := next(_faults(found), ""):
        raise BadSpec(why)
    return found


def _faults(spec: Spec) -> Iterator[str]:
    if spec.cdi_version not in VERSIONS:
        yield f"invalid version {quote(spec.cdi_version)}"
        return
    if not _KIND.fullmatch(spec.kind):
        yield f"invalid kind {quote(spec.kind)}"
    needed = _needed_version(spec)
    if VERSIONS.index(needed) > VERSIONS.index(spec.cdi_version):
        yield f"the spec version must be at least v{needed}"
    yield from _edit_faults(spec.container_edits)
    if not spec.devices:
        yield "invalid spec, no devices"
    names: set[str] = set()
    for device in spec.devices:
        yield from _device_faults(device, names)
        names.add(device.name)


def _needed_version(spec: Spec) -> str:
    """Returns the version in which the newest part of a document came (pkg/cdi/version.go)."""
    edits = [spec.container_edits, *(it.container_edits for it in spec.devices)]
    if any(it.intel_rdt is not None or it.additional_gids for it in edits):
        return "0.7.0"
    annotated = spec.annotations or any(it.annotations for it in spec.devices)
    if annotated or "." in spec.kind.partition("/")[2]:
        return "0.6.0"
    nodes = [node for it in edits for node in it.device_nodes]
    letter = any(not it.name[:1].isalpha() for it in spec.devices)
    return "0.5.0" if letter or any(it.host_path for it in nodes) else VERSIONS[0]


def _device_faults(device: Device, names: set[str]) -> Iterator[str]:
    if not _NAME.fullmatch(device.name):
        yield f"invalid device name {quote(device.name)}"
    if device.name in names:
        yield f"invalid spec, multiple device {quote(device.name)}"
    if device.container_edits == Edits():
        yield f"invalid device {quote(device.name)}, empty device edits"
    for fault in _edit_faults(device.container_edits):
        yield f"invalid device {quote(device.name)}: {fault}"


def _edit_faults(edits: Edits) -> Iterator[str]:
    yield from _variable_faults(edits.env)
    for node in edits.device_nodes:
        if not node.path:
            yield "invalid (empty) device path"
        if node.type not in _TYPES:
            yield f"device {quote(node.path)}: invalid type {quote(node.type)}"
        if node.major < 0 or node.minor < 0:  # -1 would mean any
            number = f"{node.major}:{node.minor}"
            yield f"device {quote(node.path)}: invalid (negative) device number {number}"
        if node.permissions != NO_PERMISSIONS and node.permissions.strip("rwm"):
            yield f"device {quote(node.path)}: invalid permissions {quote(node.permissions)}"
    for hook in edits.hooks:
        if hook.hook_name not in HOOKS:
            yield f"invalid hook name {quote(hook.hook_name)}"
        if not hook.path:
            yield f"invalid hook {quote(hook.hook_name)} with empty path"
        for fault in _variable_faults(hook.env):
            yield f"invalid hook {quote(hook.hook_name)}: {fault}"
    for mount in edits.mounts:
        if not mount.host_path:
            yield "invalid mount, empty host path"
        if not mount.container_path:
            yield "invalid mount, empty container path"


def _variable_faults(variables: tuple[str, ...]) -> Iterator[str]:
    for variable in variables:
        if variable.find("=") <= 0:
            yield f"invalid environment variable {quote(variable)}"
