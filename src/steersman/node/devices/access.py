"""The devices of plugins as the agent uses them: nothing of gRPC is loaded before there is a
plugin, or was one before the agent began."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container
from steersman.node.devices.door import serve
from steersman.node.devices.injection import NOTHING, Injection
from steersman.node.topology.providing import Hint
from steersman.world.interface import Tasks, World

if TYPE_CHECKING:
    from steersman.node.devices.giving import Giving
    from steersman.node.devices.registering import DevicePlugins

CHECKPOINT = "kubelet_internal_checkpoint"
Amounts = tuple[Mapping[str, str], Mapping[str, str]]


class Devices:
    """See `interface.DeviceAccess`, and `providing.Provider`. `numa` gives the machine's NUMA
    nodes; `changed` is called when other devices are offered, or they are well again or not, with
    the pods that have some of them."""

    def __init__(
        self, directory: Path, numa: Callable[[], Sequence[int]], world: World, tasks: Tasks
    ) -> None:
        self._directory = directory
        self._numa = numa
        self._world = world
        self._tasks = tasks
        self._loaded: tuple[Giving, DevicePlugins] | None = None
        self.changed: Callable[[Collection[str]], None] = lambda _: None
        if (directory / CHECKPOINT).is_file():
            self._load()

    def _load(self) -> tuple[Giving, DevicePlugins]:
        if self._loaded is None:
            from steersman.node.devices.giving import Giving
            from steersman.node.devices.ledger import Ledger
            from steersman.node.devices.registering import DevicePlugins

            ledger = Ledger(self._directory / CHECKPOINT)
            giving = Giving(ledger, self._numa(), lambda pods: self.changed(pods))
            plugins = DevicePlugins(giving, self._directory, self._world, self._tasks)
            self._loaded = giving, plugins
        return self._loaded

    @property
    def plugins(self) -> DevicePlugins:
        """Who takes plugins that are found by their sockets."""
        return self._load()[1]

    async def run(self) -> None:
        """Has plugins register at the node's socket, for ever. Raises OSError."""
        await serve(self._directory, lambda: self.plugins.handlers(), self._world)

    def capacity(self) -> Amounts:
        """Returns how many devices of each resource there are, and how many can be had."""
        return self._loaded[0].capacity() if self._loaded is not None else ({}, {})

    def held(self, uid: str, container: str) -> Iterable[tuple[str, str, Sequence[int]]]:
        """Returns the devices that a container has: resource, name, NUMA nodes."""
        return self._loaded[0].held(uid, container) if self._loaded is not None else ()

    def sound(self) -> Iterable[tuple[str, str, Sequence[int]]]:
        """Returns the devices that can be given out."""
        return self._loaded[0].sound() if self._loaded is not None else ()

    # See `providing.Provider`

    def hints(self, pod: Pod, container: Container) -> Mapping[str, Sequence[Hint] | None]:
        """Returns from where what a container asks for can be had."""
        return self._loaded[0].hints(pod, container) if self._loaded is not None else {}

    async def allocate(self, pod: Pod, container: Container, place: Hint) -> None:
        """Gives a container what it asks for; raises Refused."""
        if self._loaded is not None:
            await self._loaded[0].allocate(pod, container, place)

    def release(self, uid: str) -> None:
        """Takes back what a pod has."""
        if self._loaded is not None:
            self._loaded[0].release(uid)

    def holders(self) -> Collection[str]:
        """Returns the pods that have devices."""
        return () if self._loaded is None else self._loaded[0].holders()

    # See `interface.DeviceAccess`

    async def inject(self, pod: Pod, container: Container) -> Injection:
        """Returns what the devices of a container need of it."""
        if self._loaded is None:
            return NOTHING
        return await self._loaded[0].inject(pod, container)

    def health(self, pod: Pod, container: Container) -> Sequence[Document]:
        """Returns how the devices of a container are."""
        if self._loaded is None:
            return ()
        found = self._loaded[0].health(pod.metadata.uid, container.name)
        return [
            {
                "name": resource,
                "resources": [{"resourceID": name, "health": it} for name, it in devices.items()],
            }
            for resource, devices in found.items()
        ]
