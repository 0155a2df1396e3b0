"""Puts together what the node does with plugins: CSI drivers, device plugins, drivers of dynamic
resource allocation, and the folder where they register.

Nothing here decides anything. What brings gRPC along is made with the first plugin, or the first
volume of a driver.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from steersman.client.client import APIClient
from steersman.client.errors import Unreachable
from steersman.model.errors import APIError
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.pod import Pod
from steersman.model.types.volume import Volume
from steersman.node.claims.access import Claims
from steersman.node.csi.csi_node import create_csi_node
from steersman.node.csi.layout import Layout, root_of
from steersman.node.devices.access import Devices
from steersman.node.devices.door import serve
from steersman.node.measure.files import Filled
from steersman.node.plugins.folder import Handler, PluginFolder
from steersman.node.topology import machine
from steersman.node.topology.pinning import Pinning
from steersman.node.volumes import sharing
from steersman.node.volumes.mounting import Published
from steersman.node.volumes.tokens import Tokens
from steersman.world.interface import Tasks, World

if TYPE_CHECKING:
    from steersman.listen import grpc as rpc
    from steersman.node.csi.drivers import Drivers
    from steersman.node.csi.volumes import CSIVolumes

RETRY_SECONDS = 1.0  # while the API does not take the CSINode
log = logging.getLogger(__name__)
Say = Callable[[Pod, str, str, str], None]


class Plugins:
    """The plugins of one node; see `mounting.CSI` for volumes. `say` tells an event about a pod."""

    def __init__(
        self,
        client: APIClient,
        tokens: Tokens,
        directory: Path,
        name: str,
        world: World,
        tasks: Tasks,
    ) -> None:
        self._client = client
        self._tokens = tokens
        self._name = name
        self._world = world
        self._tasks = tasks
        self.layout = Layout(root_of(directory))
        self.devices = Devices(self.layout.device_plugins, _numa_nodes, world, tasks)
        self.claims = Claims(client, self.layout.root, name, world, tasks)
        self.say: Say = lambda *_: None
        # By the types of plugins (wire/rpc/registration.py)
        self.handlers: dict[str, Callable[[], Handler]] = {
            "CSIPlugin": lambda: self._drivers,
            "DevicePlugin": lambda: self.devices.plugins,
            "DRAPlugin": lambda: self.claims.drivers,
        }

    def share(self) -> None:
        """Has what drivers in pods mount seen on the machine, before anything is mounted."""
        for directory in (self.layout.plugins, self.layout.pods):
            if not sharing.share(directory):
                log.warning("mounts in %s are not seen by containers until a restart", directory)

    async def run(self, registered: asyncio.Event) -> None:
        """Registers plugins for ever, once the node is registered itself."""
        self._tasks.start(self.devices.run(), name="device plugins")
        await registered.wait()
        self._tasks.start(self.claims.run(), name="slices of drivers")
        while True:
            try:
                await create_csi_node(self._client, self._name)
                break
            except (APIError, Unreachable) as error:
                log.warning("the CSINode of this node cannot be made: %s", error)
                await self._world.sleep(RETRY_SECONDS)
        folder = PluginFolder(self.layout.registry, self.handlers, self._world, self._tasks)
        await folder.run()

    def tell(self, pods: Callable[[], Iterable[Pod]], parts: Pinning) -> None:
        """Has who asks told what pods have for themselves."""

        def handlers() -> Mapping[str, rpc.Handler]:
            from steersman.node.devices.listing import Listing

            return Listing(pods, self.devices, self.claims, parts).handlers()

        work = serve(self.layout.pod_resources, handlers, self._world)
        self._tasks.start(work, name="resources of pods")

    @cached_property
    def _drivers(self) -> Drivers:
        from steersman.node.csi.drivers import Drivers
        from steersman.node.csi.listing import CSINodeListing

        return Drivers(self._world, CSINodeListing(self._client, self._name))

    @cached_property
    def _volumes(self) -> CSIVolumes:
        from steersman.node.csi.attachments import Attachments
        from steersman.node.csi.growing import Growing
        from steersman.node.csi.volumes import CSIVolumes

        used = (
            (uid, record.unique_name) for uid, record in self.layout.all() if record.attachment_id
        )
        attachments = Attachments(self._client, self._world, self._tasks, self._name, used)
        return CSIVolumes(
            self._client,
            self._tokens,
            self._drivers,
            attachments,
            self.layout,
            self._world,
            self._name,
            Growing(self._client, self._world, self._tasks),
            self.say,
        )

    # Volumes

    def known(self, uid: str, label: str) -> Published | None:
        """Returns a volume of a pod that is published and needs nothing now."""
        return self._volumes.known(uid, label) if "_volumes" in self.__dict__ else None

    def place(self, pod: Pod, volume: Volume) -> Path:
        """Returns where an inline volume is."""
        return self.layout.target(pod.metadata.uid, volume.name, block=False)

    def is_place(self, path: Path) -> bool:
        """Says whether a path is one where a driver publishes volumes."""
        return self.layout.is_target(path)

    async def prepare(self, pod: Pod, volume: Volume, behind: PersistentVolume | None) -> Published:
        """Publishes a volume for a pod."""
        return await self._volumes.prepare(pod, volume, behind)

    async def usage(self, uid: str, place: Path) -> Filled | None:
        """Returns how full a volume of a pod is, None where its driver does not say."""
        if not self.layout.volumes(uid).is_dir():
            return None
        from steersman.node.csi.usage import ask_usage

        return await ask_usage(self._drivers, self.layout, uid, place, self._world.now())

    async def release(self, uid: str) -> None:
        """Takes back what a pod has of drivers."""
        if self.layout.volumes(uid).is_dir():
            await self._volumes.release(uid)


def _numa_nodes() -> list[int]:
    return sorted(machine.read(machine.SYS, 0).memory)
