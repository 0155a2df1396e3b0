"""Carries a preemption out: victims are told, deleted and said to be gone; others that waited
for the same node are sent looking again.

A victim that is gone or going already is no error: what counts is that it leaves.
"""

from __future__ import annotations

from steersman.client.interface import Client
from steersman.model.errors import Conflict, NotFound
from steersman.model.kind import Document
from steersman.model.kinds.pod import POD, Pod
from steersman.model.times import rfc3339
from steersman.reconcile.events import Recorder
from steersman.scheduler.preemption import BY_SCHEDULER, DISRUPTION_TARGET, Candidate
from steersman.scheduler.state.snapshot import Snapshot
from steersman.world.interface import World

PREEMPTING = "preempting to accommodate a higher priority pod"


def plan_condition_of_victim(
    victim: Pod, preemptor: Pod, now: float, text: str = PREEMPTING
) -> Document:
    """Returns the patch that says why a pod ends."""
    name = preemptor.spec.scheduler_name
    told: Document = {
        "type": DISRUPTION_TARGET,
        "status": "True",
        "reason": BY_SCHEDULER,
        "message": f"{name}: {text}",
        "lastTransitionTime": rfc3339(now),
    }
    if victim.metadata.generation:
        told["observedGeneration"] = victim.metadata.generation
    return {"status": {"conditions": [told]}}


class Evictor:
    """Acts for one scheduler."""

    def __init__(self, client: Client, world: World, snapshot: Snapshot, events: Recorder) -> None:
        self._client = client
        self._world = world
        self._snapshot = snapshot
        self._events = events

    async def evict(self, preemptor: Pod, candidate: Candidate) -> None:
        """Makes the victims leave; raises what the API raises, then some may be left."""
        for placed in candidate.victims:
            current = self._snapshot.placed(placed.pod.metadata.uid)
            if current is not None and current.pod.metadata.deletion_timestamp is None:
                await self._evict(preemptor, current.pod, candidate.node.name)

    async def _evict(self, preemptor: Pod, victim: Pod, node: str) -> None:
        ref, uid = POD.ref(*victim.key), victim.metadata.uid
        patch = plan_condition_of_victim(victim, preemptor, self._world.now())
        try:
            await self._client.patch(ref, patch, how="strategic", subresource="status", uid=uid)
            await self._client.delete(ref, uid=uid)
        except (NotFound, Conflict):  # gone, or another pod has its name now
            return
        text = f"Preempted by pod {preemptor.metadata.uid} on node {node}"
        by = preemptor.spec.scheduler_name
        self._events.normal(victim, "Preempted", text, "Preempting", by)

    async def move(self, victim: Pod, text: str) -> None:
        """Ends a pod so that another may come up on a better node; raises what the API raises."""
        ref, uid = POD.ref(*victim.key), victim.metadata.uid
        told = plan_condition_of_victim(victim, victim, self._world.now(), text)
        try:
            await self._client.patch(ref, told, how="strategic", subresource="status", uid=uid)
            await self._client.delete(ref, uid=uid)
        except (NotFound, Conflict):  # gone, or another pod has its name now
            return
        by = victim.spec.scheduler_name
        self._events.normal(victim, "Rescheduled", text, "Rescheduling", by)

    async def release(self, pod: Pod) -> None:
        """Writes that a pod is nominated no more."""
        ref, uid = POD.ref(*pod.key), pod.metadata.uid
        patch: Document = {"status": {"nominatedNodeName": None}}
        try:
            await self._client.patch(ref, patch, how="strategic", subresource="status", uid=uid)
        except (NotFound, Conflict):  # gone, or another pod has its name now
            return
