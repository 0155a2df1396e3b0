"""What every part of the agent is given: one value, put together in the cluster's composition."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from steersman.client.interface import Client
from steersman.model.kind import Document
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.service import Service
from steersman.model.types.container import Container
from steersman.node import containers
from steersman.node.claims.interface import ClaimAccess, NoClaims
from steersman.node.credentials.providers import Providers
from steersman.node.credentials.records import PullRecords
from steersman.node.devices.interface import DeviceAccess, NoDevices
from steersman.node.engine.interface import Engine, Images
from steersman.node.id_ranges import IdRanges
from steersman.node.machine import Facts
from steersman.node.measure.counts import Counts
from steersman.node.objects import FollowedObjects
from steersman.node.paths import Paths
from steersman.node.register import Place
from steersman.node.render.downward import Machine
from steersman.node.render.resolution import Resolution
from steersman.node.render.swap import NO_SWAP, Swap
from steersman.node.resizing.granting import Grants
from steersman.node.service_classes import ServiceClasses
from steersman.node.topology.pinning import Pinning
from steersman.node.topology.placing import Placement
from steersman.node.volumes.mounting import Volumes
from steersman.reconcile.events import Recorder, Said
from steersman.world.interface import World


class Tools(msgspec.Struct, frozen=True):
    """The node's means.

    pulls:     by whom images were pulled
    services:  the services of the cluster, as far as they are known
    apparmor:  the profile that `RuntimeDefault` means, empty where there is none
    grants:    what all pods of the node may have together
    placement: what gives out parts of the machine
    pinning:   where containers may run
    devices:   what containers have been given of device plugins
    claims:    what drivers make ready for pods
    counts:    what the agent counts of its own work
    page_sizes: of the huge pages whose use is limited
    swap:      how much of it containers may use
    pod_processes: how many each pod may have, -1 for any number
    classes:   the control groups of pods by class of service
    node:      the Node, as far as it is known
    """

    client: Client
    world: World
    engine: Engine
    images: Images
    pulls: PullRecords
    providers: Providers
    paths: Paths
    volumes: Volumes
    ids: IdRanges
    objects: FollowedObjects
    events: Recorder
    place: Place
    facts: Facts
    machine: Machine
    resolution: Resolution
    services: Callable[[], Iterable[Service]]
    apparmor: str = ""
    grants: Grants = msgspec.field(default_factory=Grants)
    placement: Placement = msgspec.field(default_factory=Placement)
    pinning: Pinning = msgspec.field(default_factory=Pinning)
    devices: DeviceAccess = msgspec.field(default_factory=NoDevices)
    claims: ClaimAccess = msgspec.field(default_factory=NoClaims)
    counts: Counts = msgspec.field(default_factory=Counts)
    page_sizes: tuple[int, ...] = ()
    swap: Swap = NO_SWAP
    pod_processes: int = -1
    classes: ServiceClasses = msgspec.field(default_factory=ServiceClasses)
    node: Callable[[], Node | None] = lambda: None

    def say(
        self,
        pod: Pod,
        kind: str,
        reason: str,
        note: str,
        container: str = "",
    ) -> None:
        """Tells an event about a pod, or one of its containers."""
        path = f"spec.{containers.list_of(pod, container)}{{{container}}}" if container else ""
        metadata = pod.metadata
        named = (metadata.namespace, metadata.name, metadata.uid)
        # The view itself does not say what it is where it came from a list
        about = ("v1", POD.name, *named, path)
        self.events.say(Said(about, kind, reason, note, host=self.place.name))

    def health(self, pod: Pod, container: Container) -> list[Document]:
        """Returns how the devices of a container are (allocatedResourcesStatus)."""
        return [*self.devices.health(pod, container), *self.claims.health(pod, container)]

    def say_node(self, kind: str, reason: str, note: str) -> None:
        """Tells an event about the node."""
        node = self.place.name
        about = ("v1", NODE.name, "", node, node, "")
        self.events.say(Said(about, kind, reason, note, host=node))
