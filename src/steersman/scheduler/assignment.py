"""Carries decisions out: a pod's devices and volumes first, then its binding.

From `promise` on a pod counts on its node, until the view shows it there or it is certain that the
binding was not done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from steersman.client.errors import Unreachable
from steersman.client.interface import Client
from steersman.model.errors import APIError, Conflict, NotFound
from steersman.model.kind import Document
from steersman.model.kinds.pod import POD, Pod
from steersman.reconcile.events import Recorder
from steersman.scheduler.devices.reserving import NotReserved, Reservation, Reserver
from steersman.scheduler.devices.rule import PLUGIN, Claims
from steersman.scheduler.extenders.failure import Failed
from steersman.scheduler.profile import DEFAULT, Profile
from steersman.scheduler.queue import PodQueue
from steersman.scheduler.state.snapshot import Placed, Snapshot
from steersman.scheduler.volumes.binder import Binder, NotBound
from steersman.scheduler.volumes.binding import Choice
from steersman.world.interface import World

if TYPE_CHECKING:  # loaded where a configuration has extenders
    from steersman.scheduler.extenders.chain import Chain

# Between questions whether a binding with a lost answer was done
UNSURE_RETRY_SECONDS: Final = 0.5


class Assignment(msgspec.Struct, frozen=True):
    """A pod, its node, and the volumes and devices that it gets there."""

    pod: Pod
    node: str
    choice: Choice = Choice()
    reservation: Reservation | None = None
    profile: Profile = DEFAULT


def binding(pod: Pod, node: str) -> Document:
    """Returns the document that binds a pod."""
    metadata = pod.metadata
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }


class Assigner(msgspec.Struct, kw_only=True):
    """Acts for one scheduler; `left` tells those whom the going of a pod could help."""

    client: Client
    world: World
    events: Recorder
    queue: PodQueue
    snapshot: Snapshot
    binder: Binder
    reserver: Reserver
    extenders: Chain | None
    left: Callable[[Placed], None]

    def promise(
        self, pod: Pod, node: str, choice: Choice, claims: Claims, profile: Profile
    ) -> Assignment:
        """Counts a pod on a node, and keeps its volumes and devices from others until `act` or
        `withdraw` has ended."""
        self.binder.promise(choice)
        reservation = self.reserver.promise(pod, claims, node)
        self.snapshot.put(pod, node, assumed=True)
        return Assignment(pod, node, choice, reservation or None, profile)

    def withdraw(self, assignment: Assignment) -> None:
        """Takes a promise back; nobody is told, for nobody could have had the room."""
        self.binder.withdraw(assignment.choice)
        if assignment.reservation is not None:
            self.reserver.withdraw(assignment.reservation)
        self.snapshot.remove(assignment.pod.metadata.uid, only_assumed=True)

    async def act(self, assignment: Assignment) -> None:
        """Binds a pod; what goes wrong is told, and the pod tried again after back-off."""
        pod, node = assignment.pod, assignment.node
        waiting = self.queue.waiting(pod.metadata.uid)
        if not await self._reserve(assignment) or not await self._bind_volumes(assignment):
            return
        try:
            if not await self._bound_by_extender(pod, node):
                await self.client.post(POD.ref(*pod.key), "binding", binding(pod, node))
        except (NotFound, Conflict):  # gone, or somebody else's: the view tells
            self._give_up(pod)
        except Failed as error:
            self._warn(pod, str(error))
            await self._make_sure(pod)
        except (APIError, Unreachable) as error:
            self._warn(pod, f"binding rejected: {error}")
            await self._make_sure(pod)
        else:
            text = f"Successfully assigned {pod.metadata.namespace}/{pod.metadata.name} to {node}"
            self.events.normal(pod, "Scheduled", text, "Binding", pod.spec.scheduler_name)
            if waiting is not None:
                self.queue.placed(waiting)

    def _warn(self, pod: Pod, text: str) -> None:
        by = pod.spec.scheduler_name
        self.events.warning(pod, "FailedScheduling", text, "Scheduling", component=by)

    async def _bound_by_extender(self, pod: Pod, node: str) -> bool:
        """Has an extender bind the pod where one does that; says whether one did."""
        binder = self.extenders.binder(pod) if self.extenders is not None else None
        if binder is None:
            return False
        try:
            await binder.bind(pod, node)
        except Failed:
            if not binder.settings.ignorable:
                raise
            return False
        return True

    async def _bind_volumes(self, assignment: Assignment) -> bool:
        """Binds the pod's claims; says whether that was done."""
        if assignment.choice == Choice():
            return True
        within = assignment.profile.bind_timeout_seconds
        try:
            await self.binder.bind(assignment.choice, assignment.node, within)
        except (NotBound, APIError, Unreachable) as error:
            self._warn(assignment.pod, f'running PreBind plugin "VolumeBinding": {error}')
            self._give_up(assignment.pod)
            return False
        return True

    async def _reserve(self, assignment: Assignment) -> bool:
        """Has the pod's claims for devices written; says whether that was done."""
        if assignment.reservation is None:
            return True
        within = assignment.profile.device_timeout_seconds
        try:
            await self.reserver.reserve(assignment.reservation, within)
        except (NotReserved, APIError, Unreachable) as error:
            self._warn(assignment.pod, f'running PreBind plugin "{PLUGIN}": {error}')
            self.binder.withdraw(assignment.choice)
            self._give_up(assignment.pod)
            return False
        return True

    def _give_up(self, pod: Pod) -> None:
        self.queue.retry(pod.metadata.uid)
        placed = self.snapshot.remove(pod.metadata.uid, only_assumed=True)
        if placed is not None:
            self.left(placed)

    async def _make_sure(self, pod: Pod) -> None:
        """Finds out whether a binding was done; until then the pod keeps its room."""
        while True:
            try:
                found: Pod = await self.client.get(POD.ref(*pod.key))
            except NotFound:
                break
            except (APIError, Unreachable):
                await self.world.wire_sleep(UNSURE_RETRY_SECONDS)
                continue
            if found.metadata.uid == pod.metadata.uid and found.spec.node_name:
                return  # it was done: the view shows it soon
            break
        self._give_up(pod)
