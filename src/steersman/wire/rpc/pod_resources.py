"""What pods have of the node for themselves (podresources/v1): messages and methods."""

from __future__ import annotations

from typing import Annotated

import msgspec

from steersman.wire.rpc.device_plugin import CDIDevice, Topology
from steersman.wire.rpc.messages import Rpc


class Nothing(msgspec.Struct, frozen=True):
    """Asks for all."""


class ContainerDevices(msgspec.Struct, frozen=True):
    """Devices of a resource that lie in one place."""

    resource_name: Annotated[str, 1] = ""
    device_ids: Annotated[tuple[str, ...], 2] = ()
    topology: Annotated[Topology | None, 3] = None


class ContainerMemory(msgspec.Struct, frozen=True):
    """Memory of one sort from some NUMA nodes."""

    memory_type: Annotated[str, 1] = ""
    size: Annotated[int, 2] = 0
    topology: Annotated[Topology | None, 3] = None


class ClaimResource(msgspec.Struct, frozen=True):
    """A device of a claim."""

    cdi_devices: Annotated[tuple[CDIDevice, ...], 1] = ()
    driver_name: Annotated[str, 2] = ""
    pool_name: Annotated[str, 3] = ""
    device_name: Annotated[str, 4] = ""


class DynamicResource(msgspec.Struct, frozen=True):
    """A claim that a container uses."""

    claim_name: Annotated[str, 2] = ""
    claim_namespace: Annotated[str, 3] = ""
    claim_resources: Annotated[tuple[ClaimResource, ...], 4] = ()


class ContainerResources(msgspec.Struct, frozen=True):
    """What one container has."""

    name: Annotated[str, 1] = ""
    devices: Annotated[tuple[ContainerDevices, ...], 2] = ()
    cpu_ids: Annotated[tuple[int, ...], 3] = ()
    memory: Annotated[tuple[ContainerMemory, ...], 4] = ()
    dynamic_resources: Annotated[tuple[DynamicResource, ...], 5] = ()


class PodResources(msgspec.Struct, frozen=True):
    """What the containers of a pod have."""

    name: Annotated[str, 1] = ""
    namespace: Annotated[str, 2] = ""
    containers: Annotated[tuple[ContainerResources, ...], 3] = ()


class ListPodResources(msgspec.Struct, frozen=True):
    """All pods."""

    pod_resources: Annotated[tuple[PodResources, ...], 1] = ()


class AllocatableResources(msgspec.Struct, frozen=True):
    """What can be given out on the node at all."""

    devices: Annotated[tuple[ContainerDevices, ...], 1] = ()
    cpu_ids: Annotated[tuple[int, ...], 2] = ()
    memory: Annotated[tuple[ContainerMemory, ...], 3] = ()


class GetPod(msgspec.Struct, frozen=True):
    """Asks for one pod."""

    pod_name: Annotated[str, 1] = ""
    pod_namespace: Annotated[str, 2] = ""


class GotPod(msgspec.Struct, frozen=True):
    """One pod."""

    pod_resources: Annotated[PodResources | None, 1] = None


_LISTER = "/v1.PodResourcesLister"
LIST = Rpc(f"{_LISTER}/List", Nothing, ListPodResources)
GET_ALLOCATABLE_RESOURCES = Rpc(f"{_LISTER}/GetAllocatableResources", Nothing, AllocatableResources)
GET = Rpc(f"{_LISTER}/Get", GetPod, GotPod)
