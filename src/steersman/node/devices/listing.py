"""Tells who watches the node what pods have of it for themselves: devices, claims, processors,
memory (PodResources, KEP-606).

Follows the kubelet's apis/podresources/server_v1.go. Loaded with the first who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from steersman.listen.grpc import Handler, unary
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container
from steersman.node import containers
from steersman.node.claims.prepared import ClaimInfo
from steersman.node.topology.memory import Block
from steersman.node.topology.merging import bits
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import pod_resources as api
from steersman.wire.rpc.device_plugin import CDIDevice, NumaNode, Topology

# A device of a resource, and the NUMA nodes where it lies
Placed = tuple[str, str, Iterable[int]]


class Devices(Protocol):
    """See `access.Devices`."""

    def held(self, uid: str, container: str) -> Iterable[Placed]:
        """Returns the devices that a container has."""

    def sound(self) -> Iterable[Placed]:
        """Returns the devices that can be given out."""


class Claims(Protocol):
    """See `claims.access.Claims`."""

    def of_container(self, pod: Pod, container: Container) -> Iterable[ClaimInfo]:
        """Returns the claims that a container uses."""


class Parts(Protocol):
    """See `pinning.Pinning`."""

    def exclusive_cpus(self, uid: str, container: str) -> Iterable[int]:
        """Returns the processors that a container has for itself."""

    def blocks(self, uid: str, container: str) -> Iterable[Block]:
        """Returns the memory that a container has for itself."""

    def allocatable_cpus(self) -> Iterable[int]:
        """Returns the processors that containers can have for themselves."""

    def allocatable_blocks(self) -> Iterable[Block]:
        """Returns the memory that they can have."""


class Listing:
    """The service, over the pods that the agent cares for and that have not ended."""

    def __init__(
        self,
        pods: Callable[[], Iterable[Pod]],
        devices: Devices,
        claims: Claims,
        parts: Parts,
    ) -> None:
        self._pods = pods
        self._devices = devices
        self._claims = claims
        self._parts = parts

    def handlers(self) -> Mapping[str, Handler]:
        """Returns what is served."""
        return dict(
            (
                unary(api.LIST, self._list),
                unary(api.GET_ALLOCATABLE_RESOURCES, self._allocatable),
                unary(api.GET, self._get),
            )
        )

    async def _list(self, _: api.Nothing) -> api.ListPodResources:
        return api.ListPodResources(tuple(map(self._pod, self._pods())))

    async def _get(self, asked: api.GetPod) -> api.GotPod:
        key = asked.pod_namespace, asked.pod_name
        for pod in self._pods():
            if pod.key == key:
                return api.GotPod(self._pod(pod))
        text = f"pod {asked.pod_name} in namespace {asked.pod_namespace} not found"
        raise Failed(grpc.UNKNOWN, text)

    async def _allocatable(self, _: api.Nothing) -> api.AllocatableResources:
        return api.AllocatableResources(
            tuple(_devices(self._devices.sound())),
            tuple(sorted(self._parts.allocatable_cpus())),
            tuple(map(_memory, self._parts.allocatable_blocks())),
        )

    def _pod(self, pod: Pod) -> api.PodResources:
        lasting = [it for it in pod.spec.init_containers if containers.is_sidecar(it)]
        each = [*lasting, *pod.spec.containers]
        found = tuple(self._container(pod, it) for it in each)
        return api.PodResources(pod.metadata.name, pod.metadata.namespace, found)

    def _container(self, pod: Pod, container: Container) -> api.ContainerResources:
        uid, name = pod.metadata.uid, container.name
        return api.ContainerResources(
            name,
            tuple(_devices(self._devices.held(uid, name))),
            tuple(sorted(self._parts.exclusive_cpus(uid, name))),
            tuple(map(_memory, self._parts.blocks(uid, name))),
            tuple(map(_claim, self._claims.of_container(pod, container))),
        )


def _devices(found: Iterable[Placed]) -> Iterator[api.ContainerDevices]:
    """Yields devices, one that lies on several NUMA nodes once for each."""
    for resource, device, nodes in found:
        for node in list(nodes) or (None,):
            place = None if node is None else Topology((NumaNode(node),))
            yield api.ContainerDevices(resource, (device,), place)


def _memory(block: Block) -> api.ContainerMemory:
    nodes = Topology(tuple(map(NumaNode, bits(block.nodes))))
    return api.ContainerMemory(block.type, block.size, nodes)


def _claim(claim: ClaimInfo) -> api.DynamicResource:
    devices = tuple(
        api.ClaimResource(tuple(map(CDIDevice, it.cdi)), driver, it.pool, it.device)
        for driver, found in claim.drivers.items()
        for it in found
    )
    return api.DynamicResource(claim.name, claim.namespace, devices)
