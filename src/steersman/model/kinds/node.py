"""Node: its view and its life in the API."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import field

from steersman.model.causes import duplicate, forbidden, invalid, required
from steersman.model.errors import Cause
from steersman.model.gotext import quote
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer, without
from steersman.model.kinds.printing import AGE, NAME, NONE, UNKNOWN, at, is_true, text
from steersman.model.kinds.subresources import PROXY, STATUS
from steersman.model.types.address_check import check_cidr, is_ipv4
from steersman.model.types.condition import Condition
from steersman.model.types.metadata import check_metadata
from steersman.model.types.resource_check import check_amount
from steersman.model.types.scheduling import Taint
from steersman.model.types.scheduling_check import check_taints
from steersman.model.types.warnings import node_told, warner
from steersman.model.view import Object, View

# Set on nodes whose volumes are attached by the attach-detach controller, as kubelet sets it
# The label that says in which zone a node is
ZONE: Final = "topology.kubernetes.io/zone"
ATTACHES: Final = "volumes.kubernetes.io/controller-managed-attach-detach"
# What not every node of this minor can do (KEP-5328): those of its features that ours have
DECLARED_FEATURES: Final = (
    "InPlacePodLevelResourcesVerticalScaling",
    "RestartAllContainersOnContainerExits",
)

# Two annotations of before there were taints, and pods were avoided (annotation_key_constants.go)
_TAINTS: Final = "scheduler.alpha.kubernetes.io/taints"
_AVOIDED: Final = "scheduler.alpha.kubernetes.io/preferAvoidPods"
_FEATURE: Final = re.compile("[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*")
_MOST_FEATURE_CHARACTERS: Final = 253
_NOT_A_FEATURE: Final = (
    "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., "
    "MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
)


class NodeSpec(View, frozen=True):
    """What a node shall be."""

    pod_cidr: str = field(default="", name="podCIDR")
    pod_cidrs: tuple[str, ...] = field(default=(), name="podCIDRs")
    provider_id: str = field(default="", name="providerID")
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeAddress(View, frozen=True):
    """One address; types InternalIP, ExternalIP, Hostname, InternalDNS, ExternalDNS."""

    type: str = ""
    address: str = ""


class DaemonEndpoint(View, frozen=True):
    """The port of the node agent."""

    port: int = field(default=0, name="Port")


class DaemonEndpoints(View, frozen=True):
    """The ports of a node's daemons."""

    kubelet_endpoint: DaemonEndpoint = DaemonEndpoint()


class NodeSystemInfo(View, frozen=True):
    """What a node says of itself."""

    machine_id: str = field(default="", name="machineID")
    system_uuid: str = field(default="", name="systemUUID")
    boot_id: str = field(default="", name="bootID")
    kernel_version: str = ""
    os_image: str = ""
    container_runtime_version: str = ""
    kubelet_version: str = ""
    kube_proxy_version: str = ""
    operating_system: str = ""
    architecture: str = ""


class ContainerImage(View, frozen=True):
    """An image that is present on a node."""

    names: tuple[str, ...] = ()
    size_bytes: int = 0


class AttachedVolume(View, frozen=True):
    """A volume attached to a node."""

    name: str = ""
    device_path: str = ""


class NodeStatus(View, frozen=True):
    """What is known of a node; quantities are canonical."""

    capacity: Mapping[str, str] = {}
    allocatable: Mapping[str, str] = {}
    phase: str = ""
    conditions: tuple[Condition, ...] = ()
    addresses: tuple[NodeAddress, ...] = ()
    daemon_endpoints: DaemonEndpoints = DaemonEndpoints()
    node_info: NodeSystemInfo = NodeSystemInfo()
    images: tuple[ContainerImage, ...] = ()
    volumes_in_use: tuple[str, ...] = ()
    volumes_attached: tuple[AttachedVolume, ...] = ()
    declared_features: tuple[str, ...] = ()


class Node(Object, frozen=True):
    """core/v1 Node."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"


def _status(node: Document, _now: float) -> str:
    conditions = at(node, "status", "conditions") or ()
    known = any(condition.get("type") == "Ready" for condition in conditions)
    word = ("Ready" if is_true(conditions, "Ready") else "NotReady") if known else "Unknown"
    return f"{word},SchedulingDisabled" if at(node, "spec", "unschedulable") else word


def _roles(node: Document, _now: float) -> str:
    labels = at(node, "metadata", "labels") or {}
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    roles.add(labels.get(_ROLE_LABEL, ""))
    return ",".join(sorted(roles - {""})) or NONE


def _address(kind: str) -> Callable[[Document, float], str]:
    def value(node: Document, _now: float) -> str:
        addresses = at(node, "status", "addresses") or ()
        found = (one.get("address", "") for one in addresses if one.get("type") == kind)
        return next(found, NONE)

    return value


_COLUMNS = (
    NAME,
    Column("Status", _status, description="The status of the node"),
    Column("Roles", _roles, description="The roles of the node"),
    AGE,
    text("Version", "status", "nodeInfo", "kubeletVersion"),
    Column("Internal-IP", _address("InternalIP"), priority=1),
    Column("External-IP", _address("ExternalIP"), priority=1),
    text("OS-Image", "status", "nodeInfo", "osImage", default=UNKNOWN, priority=1),
    text("Kernel-Version", "status", "nodeInfo", "kernelVersion", default=UNKNOWN, priority=1),
    text(
        "Container-Runtime",
        "status",
        "nodeInfo",
        "containerRuntimeVersion",
        default=UNKNOWN,
        priority=1,
    ),
)


def _drop_configuration(new: Document, old: Document | None) -> Document:
    """Drops where a kubelet would read its configuration: there is none any more (1.24)."""
    spec, status = new.get("spec") or {}, new.get("status") or {}
    if old is None and status.get("config") is not None:
        new = {**new, "status": without(status, "config")}
    before = (old or {}).get("spec") or {}
    if spec.get("configSource") is not None and before.get("configSource") is None:
        new = {**new, "spec": without(spec, "configSource")}
    return new


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    spec, status = new.get("spec") or {}, new.get("status") or {}
    yield from _check_annotations((new.get("metadata") or {}).get("annotations") or {})
    if taints := spec.get("taints"):
        # upstream reports taints below the metadata
        yield from check_taints(taints, "metadata.taints")
    for side in ("capacity", "allocatable"):
        for name, amount in (status.get(side) or {}).items():
            yield from check_amount(name, amount, f"status.{side}.{name}")
    yield from _check_features(status.get("declaredFeatures") or (), "status.declaredFeatures")
    if old is None:
        yield from _check_swap((status.get("nodeInfo") or {}).get("swap") or {})
    if subresource != "status":
        before = (old or {}).get("spec") or {}
        yield from _check_cidrs(spec.get("podCIDRs") or [], before.get("podCIDRs") or ())
    if old is not None:
        yield from _check_addresses(status.get("addresses") or [])
        yield from _check_change(spec, old.get("spec") or {})


def _check_annotations(annotations: Mapping[str, str]) -> Iterator[Cause]:
    path = "metadata.annotations"
    if text := annotations.get(_TAINTS):
        try:
            taints = msgspec.json.decode(text, type=list[dict[str, str | None]])
        except msgspec.DecodeError as error:
            yield invalid(path, _TAINTS, str(error))
        else:
            yield from check_taints(taints, f"{path}.{_TAINTS}")
    if text := annotations.get(_AVOIDED):
        try:
            avoided = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as error:
            yield invalid(f"{path}.AvoidPods", _AVOIDED, str(error))
        else:
            yield from _check_avoided(avoided.get("preferAvoidPods") or (), f"{path}.{_AVOIDED}")


def _check_avoided(entries: Sequence[Document], path: str) -> Iterator[Cause]:
    for index, entry in enumerate(entries):
        where = f"{path}[{index}].PodSignature"
        controller = (entry.get("podSignature") or {}).get("podController")
        if controller is None:
            yield required(where)
        elif not controller.get("controller"):
            detail = "must point to a controller"
            yield invalid(f"{where}.PodController.Controller", False, detail)


def _check_features(features: Sequence[str], path: str) -> Iterator[Cause]:
    """Checks what a node says it can do: sound names, in order, each once."""
    for index, name in enumerate(features):
        prefix = f"invalid feature name {quote(name)}: "
        if len(name) > _MOST_FEATURE_CHARACTERS:
            detail = f"{prefix}must be no more than {_MOST_FEATURE_CHARACTERS} characters"
            yield invalid(f"{path}[{index}]", name, detail)
        elif not _FEATURE.fullmatch(name):
            yield invalid(f"{path}[{index}]", name, f"{prefix}{_NOT_A_FEATURE}")
        before = features[index - 1] if index else ""
        if index and name == before:
            yield duplicate(f"{path}[{index}]", name)
        elif name < before:
            yield invalid(f"{path}[{index}]", name, "list must be sorted alphabetically")


def _check_swap(swap: Document) -> Iterator[Cause]:
    # upstream reports it below the metadata
    capacity = swap.get("capacity")
    if capacity is not None and capacity <= 0:
        path = "metadata.nodeSwapStatus.capacity"
        yield invalid(path, capacity, "must be greater than zero")


def _check_cidrs(cidrs: list[str], known: Container[str]) -> Iterator[Cause]:
    for index, cidr in enumerate(cidrs):
        yield from check_cidr(f"spec.podCIDRs[{index}]", cidr, known)
    if len(cidrs) < 2:
        return
    families = [is_ipv4(cidr.partition("/")[0]) for cidr in cidrs]
    if len(cidrs) > 2 or families[0] == families[1]:
        detail = "may specify no more than one CIDR for each IP family"
        yield invalid("spec.podCIDRs", cidrs, detail)
    for index, cidr in enumerate(cidrs):
        if cidr in cidrs[:index]:
            yield duplicate(f"spec.podCIDRs[{index}]", cidr)


def _check_addresses(addresses: list[Document]) -> Iterator[Cause]:
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            # as upstream's internal type prints
            shown = {"Type": address.get("type", ""), "Address": address.get("address", "")}
            yield duplicate(f"status.addresses[{index}]", shown)


def _check_change(spec: Document, before: Document) -> Iterator[Cause]:
    for name, shown in (("podCIDRs", "podCIDR"), ("providerID", "providerID")):
        if before.get(name) and spec.get(name) != before[name]:
            detail = f'node updates may not change {shown} except from "" to valid'
            yield forbidden(f"spec.{name}", detail)
    if (spec.get("externalID") or "") != (before.get("externalID") or ""):
        yield forbidden("spec.externalID", "may not be updated")


NODE = Kind(
    group="",
    name="Node",
    plural="nodes",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.core.v1.Node"),),
    storage="v1",
    short_names=("no",),
    columns=_COLUMNS,
    check=_check,
    warn=warner(node_told),
    view=Node,
    # a kubelet registers its node with a status, so create keeps it (registry/core/node)
    prepare=preparer(_drop_configuration),
    subresources=(PROXY, STATUS),
    selectable={
        "spec.unschedulable": lambda node: (
            "true" if node.get("spec", {}).get("unschedulable") else "false"
        ),
    },
    complete=True,
    settled=lambda _: True,
)
