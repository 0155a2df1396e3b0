"""Device plugins (v1beta1, deviceplugin/v1beta1/api.proto): messages and methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from steersman.wire.rpc.messages import Rpc

VERSION: Final = "v1beta1"
HEALTHY: Final = "Healthy"


class Empty(msgspec.Struct, frozen=True):
    """Says nothing."""


class Options(msgspec.Struct, frozen=True):
    """Which calls a plugin wants beside those that all have."""

    pre_start_required: Annotated[bool, 1] = False
    get_preferred_allocation_available: Annotated[bool, 2] = False


class Register(msgspec.Struct, frozen=True):
    """A plugin presents itself; `endpoint` is the name of its socket beside the node's."""

    version: Annotated[str, 1] = ""
    endpoint: Annotated[str, 2] = ""
    resource_name: Annotated[str, 3] = ""
    options: Annotated[Options | None, 4] = None


class NumaNode(msgspec.Struct, frozen=True):
    """A part of the machine's memory with what is near to it."""

    id: Annotated[int, 1] = 0


class Topology(msgspec.Struct, frozen=True):
    """Where a device lies."""

    nodes: Annotated[tuple[NumaNode, ...], 1] = ()


class Device(msgspec.Struct, frozen=True):
    """One device of a resource."""

    id: Annotated[str, 1] = ""
    health: Annotated[str, 2] = ""
    topology: Annotated[Topology | None, 3] = None


class Devices(msgspec.Struct, frozen=True):
    """All devices of a resource, as they are now."""

    devices: Annotated[tuple[Device, ...], 1] = ()


class ContainerPreference(msgspec.Struct, frozen=True):
    """From which devices a container may get how many."""

    available_ids: Annotated[tuple[str, ...], 1] = ()
    must_include_ids: Annotated[tuple[str, ...], 2] = ()
    allocation_size: Annotated[int, 3] = 0


class PreferredAllocation(msgspec.Struct, frozen=True):
    """Asks which devices are best given out together."""

    container_requests: Annotated[tuple[ContainerPreference, ...], 1] = ()


class ContainerIds(msgspec.Struct, frozen=True):
    """Devices of one container."""

    device_ids: Annotated[tuple[str, ...], 1] = ()


class Preferred(msgspec.Struct, frozen=True):
    """Which devices those are."""

    container_responses: Annotated[tuple[ContainerIds, ...], 1] = ()


class Allocate(msgspec.Struct, frozen=True):
    """Gives out devices."""

    container_requests: Annotated[tuple[ContainerIds, ...], 1] = ()


class Mount(msgspec.Struct, frozen=True):
    """A file or directory of the machine that a container is to see."""

    container_path: Annotated[str, 1] = ""
    host_path: Annotated[str, 2] = ""
    read_only: Annotated[bool, 3] = False


class DeviceSpec(msgspec.Struct, frozen=True):
    """A device node of the machine that a container is to have; permissions out of r, w, m."""

    container_path: Annotated[str, 1] = ""
    host_path: Annotated[str, 2] = ""
    permissions: Annotated[str, 3] = ""


class CDIDevice(msgspec.Struct, frozen=True):
    """A device by its whole name, VENDOR/CLASS=NAME."""

    name: Annotated[str, 1] = ""


class Allocated(msgspec.Struct, frozen=True):
    """What a container needs in order to use its devices."""

    envs: Annotated[Mapping[str, str], 1] = {}
    mounts: Annotated[tuple[Mount, ...], 2] = ()
    devices: Annotated[tuple[DeviceSpec, ...], 3] = ()
    annotations: Annotated[Mapping[str, str], 4] = {}
    cdi_devices: Annotated[tuple[CDIDevice, ...], 5] = ()


class AllAllocated(msgspec.Struct, frozen=True):
    """The same for each container that was asked about."""

    container_responses: Annotated[tuple[Allocated, ...], 1] = ()


class PreStart(msgspec.Struct, frozen=True):
    """Tells that a container with devices is about to start."""

    device_ids: Annotated[tuple[str, ...], 1] = ()


_PLUGIN = "/v1beta1.DevicePlugin"

REGISTER = Rpc("/v1beta1.Registration/Register", Register, Empty)
GET_DEVICE_PLUGIN_OPTIONS = Rpc(f"{_PLUGIN}/GetDevicePluginOptions", Empty, Options)
LIST_AND_WATCH = Rpc(f"{_PLUGIN}/ListAndWatch", Empty, Devices)
GET_PREFERRED_ALLOCATION = Rpc(f"{_PLUGIN}/GetPreferredAllocation", PreferredAllocation, Preferred)
ALLOCATE = Rpc(f"{_PLUGIN}/Allocate", Allocate, AllAllocated)
PRE_START_CONTAINER = Rpc(f"{_PLUGIN}/PreStartContainer", PreStart, Empty)
