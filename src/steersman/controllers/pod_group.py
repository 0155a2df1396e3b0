"""The status of PodGroups: in which phase a group is and how its pods fare, in the words of
scheduler-plugins' controller (pkg/controllers/podgroup_controller.go).

Where the kind is not installed there is nothing to do; the scheduler decides without this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from steersman.client.interface import Views
from steersman.model.errors import NotFound
from steersman.model.kind import Kind
from steersman.model.kinds.pod import POD, Pod
from steersman.model.podgroup import PODGROUPS, PodGroup, mapping, names_of, viewed
from steersman.model.ref import Ref
from steersman.reconcile.actions import Patch, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

PENDING, SCHEDULING, RUNNING = "Pending", "Scheduling", "Running"
FINISHED, FAILED = "Finished", "Failed"
BY_GROUP: Final = "pod group, for its status"  # index: pods by NAMESPACE/GROUP
_ENDS: Final = frozenset((FINISHED, FAILED))
_COUNTED: Final = {"Running": "running", "Succeeded": "succeeded", "Failed": "failed"}


def plan(group: PodGroup, pods: Sequence[Pod]) -> Mapping[str, Any] | None:
    """Returns the status of a group, None where it says all this already, or has ended."""
    old = mapping(group.status)
    if old.get("phase") in _ENDS:
        return None
    present = Counter(_COUNTED.get(pod.status.phase, "") for pod in pods)
    counts = {name: present[name] for name in _COUNTED.values()}
    phase = decide(str(old.get("phase", "")), group.least, len(pods), counts)
    status = {**old, "phase": phase, **(counts if phase != PENDING else {})}
    if phase == SCHEDULING and "occupiedBy" not in old and (owner := _owners(pods[0])):
        status["occupiedBy"] = owner
    return status if status != old else None


def decide(phase: str, least: int, number: int, counts: Mapping[str, int]) -> str:
    """Returns the phase of a group with so many pods, `counts` of which run or have ended."""
    if number < least:
        return PENDING
    alive = counts["running"] + counts["succeeded"]
    found = RUNNING if alive >= least else SCHEDULING
    if phase in ("", PENDING):
        return SCHEDULING
    if counts["failed"] and counts["failed"] + alive >= least:
        found = FAILED
    return FINISHED if counts["succeeded"] >= least else found


def _owners(pod: Pod) -> str:
    """Returns whose the pods are, by the owners of the first."""
    names = (f"{pod.metadata.namespace}/{it.name}" for it in pod.metadata.owner_references)
    return ",".join(sorted(names))


def _of_pod(views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
    """Maps a pod to the groups that its label names, where there is their kind."""
    if PODGROUPS not in views.custom():
        return ()
    if old is not None and new is not None and _counted_as(old) == _counted_as(new):
        return ()
    found = {it for pod in (old, new) if pod is not None for it in names_of(pod)}
    return tuple(Ref(PODGROUPS, *it.split("/", 1)) for it in found)


def _counted_as(pod: Pod) -> tuple[object, ...]:
    return names_of(pod), pod.status.phase


def _of_group(_views: Views, _old: PodGroup | None, new: PodGroup | None) -> Iterable[Ref]:
    return () if new is None else (Ref(PODGROUPS, *new.key),)


def _custom(kind: Kind) -> Watch | None:
    if kind.resource != PODGROUPS:
        return None
    return Watch(viewed(kind), _of_group)


class PodGroupController:
    """See `reconcile.loop.Controller`."""

    custom = staticmethod(_custom)

    name: ClassVar[str] = "podgroup-controller"
    watches: ClassVar[tuple[Watch, ...]] = (Watch(POD, _of_pod, {BY_GROUP: names_of}),)
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("scheduling.x-k8s.io", ("podgroups", "podgroups/status"), ("patch",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._pods = given.views.of(POD)

    async def reconcile(self, ref: Ref) -> Done:
        """Writes the status of one group."""
        kind = self._given.views.custom().get(PODGROUPS)
        if kind is None:
            return Done()
        group: PodGroup | None = self._given.views.of(viewed(kind)).get(ref)
        if group is None or group.metadata.deletion_timestamp is not None:
            return Done()
        pods = sorted(
            self._pods.by(BY_GROUP, f"{ref.namespace}/{ref.name}"), key=lambda it: it.metadata.name
        )
        status = plan(group, pods)
        if status is not None:
            await self._write(ref, status, group.metadata.uid)
        return Done()

    async def _write(self, ref: Ref, status: Mapping[str, Any], uid: str) -> None:
        """Writes a status, also where the definition has no subresource for it."""
        client, patch = self._given.client, {"status": status}
        try:
            await client.patch(ref, patch, subresource="status", uid=uid)
        except NotFound:  # no subresource, or no group: the second tells which
            await act_one(client, self._given.events, Patch(ref, patch, uid=uid))
