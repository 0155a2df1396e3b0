"""Short scenarios on a whole control plane in good weather: one line to begin, then verbs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from controlled import EVERYBODY
from steersman.model.errors import NotFound
from steersman.model.kind import Document, Kind
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT
from steersman.model.ref import Ref
from steersman.node.simulated.behaviour import Behaviour
from steersman.world.simulated import SimulatedWorld, simulate

from .control_plane import ControlPlane, Scheduling, control_plane
from .faults import Weather

PATIENCE_SECONDS = 60.0
Truth = Callable[[], Awaitable[Any]]


class Quiet:
    """A control plane with everything running, and what tests ask of it."""

    def __init__(self, plane: ControlPlane, world: SimulatedWorld) -> None:
        self.plane = plane
        self.world = world
        self.admin = plane.admin

    async def until(
        self, what: Callable[[], Awaitable[Any]], within: float = PATIENCE_SECONDS
    ) -> Any:
        """Waits until something is true, in virtual time, and returns it."""
        end = self.world.now() + within
        while True:
            try:
                if found := await what():
                    return found
            except NotFound:
                pass
            assert self.world.now() < end, f"{what} did not come true within {within} s"
            await self.world.sleep(0.05)

    async def create(self, kind: Kind, name: str, namespace: str = "default", **fields: Any) -> Any:
        """Creates an object; `metadata` adds to its name and namespace."""
        metadata = {"name": name, **fields.pop("metadata", {})}
        if kind.namespaced:
            metadata["namespace"] = namespace
        return await self.admin.create(kind, {"metadata": metadata, **fields}, namespace=namespace)

    async def items(self, kind: Kind, namespace: str = "default", **selectors: str) -> list[Any]:
        """Returns objects."""
        return list((await self.admin.list(kind, namespace, **selectors)).items)

    async def pods(self, namespace: str = "default") -> list[Any]:
        """Returns the pods of a namespace that run and are ready."""
        found = await self.items(POD, namespace)
        return [
            pod
            for pod in found
            if pod.metadata.deletion_timestamp is None
            and any(it.type == "Ready" and it.status == "True" for it in pod.status.conditions)
        ]

    async def gone(self, ref: Ref) -> bool:
        """Says whether an object does not exist."""
        try:
            await self.admin.get(ref)
        except NotFound:
            return True
        return False

    async def events(self, kind: str, namespace: str = "default") -> list[tuple[str, str]]:
        """Returns reason and message of the events about objects of a kind."""
        found = await self.items(EVENT, namespace)
        return [(it.reason, it.message) for it in found if it.involved_object.kind == kind]


def pod_template(labels: dict[str, str], image: str = "example.com/web:1") -> Document:
    """Returns a pod template with one container."""
    container = {"name": "web", "image": image, "ports": [{"containerPort": 80, "name": "http"}]}
    return {"metadata": {"labels": labels}, "spec": {"containers": [container]}}


def quietly(
    scenario: Callable[[Quiet], Awaitable[Any]],
    *,
    nodes: int = 3,
    behaviour: Behaviour | None = None,
    seed: int = 1,
    scheduling: Scheduling | None = None,
    written: bool = True,
) -> Any:
    """Runs a scenario with all controllers, the scheduler and nodes that are ready; `written` says
    whether these write each renewal of their leases."""

    async def main(world: SimulatedWorld) -> Any:
        async with control_plane(world, Weather(), lambda *_: None) as plane:
            plane.run_controllers(EVERYBODY)
            plane.run_scheduler(scheduling or Scheduling())
            plane.run_nodes(nodes, behaviour or Behaviour(), written=written)
            quiet = Quiet(plane, world)
            await quiet.until(lambda: ready(quiet, nodes))
            outcome = await scenario(quiet)
            await quiet.until(lambda: holds(quiet))
            return outcome

    return simulate(seed, main)


async def holds(quiet: Quiet) -> bool:
    """Says whether every invariant holds of the state."""
    return not await quiet.plane.violations()


async def ready(quiet: Quiet, nodes: int) -> bool:
    """Says whether pods can be made and placed."""
    found = (await quiet.admin.list(NODE)).items
    await quiet.admin.get(SERVICEACCOUNT.ref("default", "default"))
    return len(found) == nodes and not any(node.spec.taints for node in found)
