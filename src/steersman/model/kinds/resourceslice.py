"""ResourceSlice: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import field as renamed

from steersman.model.errors import Cause
from steersman.model.gotext import quote
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.prepare import preparer, without
from steersman.model.kinds.printing import AGE, NAME, at, text
from steersman.model.types.device import DeviceTaint
from steersman.model.types.device_slice_check import check_slice
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object, View

Amount = str | int | float


class ResourcePool(View, frozen=True):
    """Which pool a slice is of, in which generation, and how many slices that has."""

    name: str = ""
    generation: int = 0
    resource_slice_count: int = 1


class Counter(View, frozen=True):
    """How much there is, or is used, of what devices share."""

    value: Amount = 0


class CounterSet(View, frozen=True):
    """Counters that devices of a pool share."""

    name: str = ""
    counters: Mapping[str, Counter] = {}


class CounterConsumption(View, frozen=True):
    """What a device uses of a counter set."""

    counter_set: str = ""
    counters: Mapping[str, Counter] = {}


class DeviceAttribute(View, frozen=True):
    """One property of a device: one of the four is set."""

    int_value: int | None = renamed(default=None, name="int")
    bool_value: bool | None = renamed(default=None, name="bool")
    string: str | None = None
    version: str | None = None


class RequestRange(View, frozen=True):
    """The bounds and the steps of what may be asked for."""

    min: Amount | None = None
    max: Amount | None = None
    step: Amount | None = None


class RequestPolicy(View, frozen=True):
    """What may be asked for of a capacity that several share, and what is taken without asking."""

    default: Amount | None = None
    valid_values: tuple[Amount, ...] = ()
    valid_range: RequestRange | None = None


class DeviceCapacity(View, frozen=True):
    """How much a device has of something."""

    value: Amount = 0
    request_policy: RequestPolicy | None = None


class Device(View, frozen=True):
    """One device. What says for which nodes it is counts where the slice leaves that to it."""

    name: str = ""
    attributes: Mapping[str, DeviceAttribute] = {}
    capacity: Mapping[str, DeviceCapacity] = {}
    consumes_counters: tuple[CounterConsumption, ...] = ()
    node_name: str | None = None
    node_selector: Mapping[str, Any] | None = None
    all_nodes: bool = False
    taints: tuple[DeviceTaint, ...] = ()
    binds_to_node: bool = False
    binding_conditions: tuple[str, ...] = ()
    binding_failure_conditions: tuple[str, ...] = ()
    allow_multiple_allocations: bool = False


class ResourceSliceSpec(View, frozen=True):
    """Some devices of a pool, and the nodes from which they can be reached."""

    driver: str = ""
    pool: ResourcePool = ResourcePool()
    node_name: str | None = None
    node_selector: Mapping[str, Any] | None = None
    all_nodes: bool = False
    per_device_node_selection: bool = False
    devices: tuple[Device, ...] = ()
    shared_counters: tuple[CounterSet, ...] = ()


class ResourceSlice(Object, frozen=True):
    """resource.k8s.io/v1 ResourceSlice."""

    spec: ResourceSliceSpec = ResourceSliceSpec()


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    before = None if old is None else old.get("spec") or {}
    yield from check_slice(new.get("spec") or {}, before)


def _warn(new: Document, _old: Document | None, _subresource: str) -> Iterator[str]:
    driver = at(new, "spec", "driver") or ""
    if driver != driver.lower():
        said = "spec.driver: driver names should be lowercase;"
        yield f"{said} {quote(driver)} contains uppercase characters"


# Fields of features that upstream 1.37 has switched off by default: DRAOptionalNodeOperations,
# DRAResourcePoolStatus, DRANodeAllocatableResources, DRAListTypeAttributes
_OF_SLICES = ("skipNodeOperations", "partitionTypeAttribute")
_OF_DEVICES = "nodeAllocatableResources"
_OF_ATTRIBUTES = ("ints", "bools", "strings", "versions")


def _enabled(new: Document, _old: Document | None) -> Document:
    spec = {name: value for name, value in new["spec"].items() if name not in _OF_SLICES}
    if devices := spec.get("devices"):
        spec["devices"] = [_enabled_device(device) for device in devices]
    return {**new, "spec": spec}


def _enabled_device(device: Document) -> Document:
    attributes = device.get("attributes")
    if not attributes:
        return without(device, _OF_DEVICES) if _OF_DEVICES in device else device
    kept = {key: _enabled_attribute(value) for key, value in attributes.items()}
    return {**without(device, _OF_DEVICES), "attributes": kept}


def _enabled_attribute(attribute: Document) -> Document:
    return {name: value for name, value in attribute.items() if name not in _OF_ATTRIBUTES}


RESOURCESLICE = Kind(
    group="resource.k8s.io",
    name="ResourceSlice",
    plural="resourceslices",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.resource.v1.ResourceSlice", since=34),),
    storage="v1",
    columns=(
        NAME,
        text("Node", "spec", "nodeName"),
        text("Driver", "spec", "driver"),
        text("Pool", "spec", "pool", "name"),
        AGE,
    ),
    check=_check,
    warn=_warn,
    view=ResourceSlice,
    prepare=preparer(_enabled),
    selectable={
        "spec.nodeName": lambda document: at(document, "spec", "nodeName") or "",
        "spec.driver": lambda document: at(document, "spec", "driver") or "",
        "spec.pool.name": lambda document: at(document, "spec", "pool", "name") or "",
    },
    spec_fields=("spec",),
    returns_deleted=True,
    complete=True,
)
