"""Node: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import field

from steersman.model.causes import duplicate, forbidden, invalid
from steersman.model.errors import Cause
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
ATTACHES: Final = "volumes.kubernetes.io/controller-managed-attach-detach"


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


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    spec, status = new.get("spec") or {}, new.get("status") or {}
    if taints := spec.get("taints"):
        # upstream reports taints below the metadata
        yield from check_taints(taints, "metadata.taints")
    for side in ("capacity", "allocatable"):
        for name, amount in (status.get(side) or {}).items():
            yield from check_amount(name, amount, f"status.{side}.{name}")
    if old is None:
        yield from _check_cidrs(spec.get("podCIDRs") or [])
    else:
        yield from _check_addresses(status.get("addresses") or [])
        yield from _check_change(spec, old.get("spec") or {})


def _check_cidrs(cidrs: list[str]) -> Iterator[Cause]:
    for index, cidr in enumerate(cidrs):
        yield from check_cidr(f"spec.podCIDRs[{index}]", cidr)
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
