"""The claims of pods as the agent uses them: nothing of gRPC is loaded before there is a pod with
claims, or a driver."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steersman.client.interface import Client
from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container
from steersman.node.claims.prepared import FILE, ClaimInfo, Prepared, PreparedDevice
from steersman.node.claims.slices import Slices
from steersman.world.interface import Tasks, World

if TYPE_CHECKING:
    from steersman.node.claims.drivers import Drivers
    from steersman.node.claims.health import HealthBook, Known
    from steersman.node.claims.preparing import Preparing


class Claims:
    """See `interface.ClaimAccess`. `changed` is called with the pods some of whose devices are
    well again, or not."""

    def __init__(
        self, client: Client, directory: Path, node: str, world: World, tasks: Tasks
    ) -> None:
        self._client = client
        self._world = world
        self._tasks = tasks
        self._prepared = Prepared(directory / FILE)
        self._slices = Slices(client, node, world, tasks)
        self._loaded: tuple[Drivers, HealthBook, Preparing] | None = None
        self.changed: Callable[[Collection[str]], None] = lambda _: None

    def _load(self) -> tuple[Drivers, HealthBook, Preparing]:
        if self._loaded is None:
            from steersman.node.claims.drivers import Drivers
            from steersman.node.claims.health import HealthBook
            from steersman.node.claims.preparing import Preparing

            def tell(driver: str) -> None:
                self.changed(self._prepared.using(driver))

            health = HealthBook(self._world, tell)
            drivers = Drivers(self._world, self._tasks, self._slices, health.follow)
            preparing = Preparing(self._client, drivers, self._prepared)
            self._loaded = drivers, health, preparing
        return self._loaded

    @property
    def drivers(self) -> Drivers:
        """Who takes drivers that are found by their sockets."""
        return self._load()[0]

    async def run(self) -> None:
        """Deletes the slices of drivers that have not come back yet: none has."""
        await self._slices.wipe()

    # See `interface.ClaimAccess`

    async def prepare(self, pod: Pod) -> None:
        """Makes ready what the claims of a pod were allocated."""
        if pod.spec.resource_claims:
            await self._load()[2].prepare(pod)

    async def unprepare(self, uid: str) -> None:
        """Takes it back."""
        if self._prepared.of_pod(uid):
            await self._load()[2].unprepare(uid)

    def cdi_names(self, pod: Pod, container: Container) -> Sequence[str]:
        """Returns the devices that a container has by its claims."""
        return self._load()[2].cdi_names(pod, container) if container.resources.claims else ()

    def of_container(self, pod: Pod, container: Container) -> Iterator[ClaimInfo]:
        """Yields the claims that a container uses, each once."""
        used = {it.name for it in container.resources.claims}
        for name in self._names(pod, used).values():
            if (info := self._prepared.get((pod.metadata.namespace, name))) is not None:
                yield info

    def _names(self, pod: Pod, used: Collection[str]) -> dict[str, str]:
        """Returns the names of those of a pod's claims that are used and known by now."""
        if not used:
            return {}
        from steersman.model.resource_claims import NotCreated, name_of

        found = {}
        for claim in pod.spec.resource_claims:
            with suppress(NotCreated):
                if claim.name in used and (name := name_of(pod, claim)) is not None:
                    found[claim.name] = name
        return found

    def health(self, pod: Pod, container: Container) -> Sequence[Document]:
        """Returns how the devices of a container are, by claim."""
        found: dict[str, list[Document]] = {}
        names = self._names(pod, {it.name for it in container.resources.claims})
        for used in container.resources.claims:
            info = self._prepared.get((pod.metadata.namespace, names.get(used.name, "")))
            if info is None:
                continue
            key = f"claim:{used.name}/{used.request}" if used.request else f"claim:{used.name}"
            for driver, devices in info.drivers.items():
                told = [self._told(driver, it) for it in devices if it.serves(used.request)]
                found.setdefault(key, []).extend(told)
        return [
            {"name": key, "resources": list({it["resourceID"]: it for it in told}.values())}
            for key, told in sorted(found.items())
            if told
        ]

    def _told(self, driver: str, device: PreparedDevice) -> Document:
        known: Known = self._load()[1].of(driver, device.pool, device.device)
        name = device.cdi[0] if device.cdi else f"{driver}/{device.pool}/{device.device}"
        found: dict[str, Any] = {"resourceID": name, "health": known.health}
        return found | ({"message": known.message} if known.message else {})
