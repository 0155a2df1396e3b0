"""Pods that nobody will ever end: on nodes that are gone, on nodes out of service, never placed;
and terminated pods above a number (pkg/controller/podgc)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import ClassVar

from steersman.client.interface import Views
from steersman.controllers import conditions, pods
from steersman.controllers.node_lifecycle import BY_NODE, by_node
from steersman.model.errors import NotFound
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import POD, Pod
from steersman.model.ref import Ref
from steersman.model.times import seconds
from steersman.reconcile.actions import Action, Delete, act, status
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

THRESHOLD = 12_500  # kube-controller-manager --terminated-pod-gc-threshold
QUARANTINE_SECONDS = 40.0  # a node that is not seen may be new: upstream waits and asks again
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
ENDED = ("Succeeded", "Failed", "Unknown")
TERMINATED = POD.ref("", "")  # the key under which terminated pods are counted


def plan_orphan(pod: Pod, now: float) -> list[Action]:
    """Returns what removes a pod of a node that does not exist."""
    return _removal(pod, "PodGC: node no longer exists", now)


def plan_stuck(pod: Pod, node: Node | None, now: float) -> list[Action]:
    """Returns what removes a pod that is being deleted and that no node agent will end."""
    if not pods.is_terminating(pod):
        return []
    if not pod.spec.node_name:
        return _removal(pod, "", now)
    out = node is not None and any(it.key == OUT_OF_SERVICE for it in node.spec.taints)
    return _removal(pod, "", now) if out and not _ready(node) else []


def _ready(node: Node | None) -> bool:
    found = node.status.conditions if node is not None else ()
    return any(it.type == "Ready" and it.status == "True" for it in found)


def plan_terminated(found: Collection[Pod], threshold: int, now: float) -> list[Action]:
    """Returns what removes the oldest terminated pods above a number."""
    extra = len(found) - threshold
    if extra <= 0:
        return []
    oldest = sorted(found, key=lambda pod: (seconds(pod.metadata.creation_timestamp), pod.key))
    return [action for pod in oldest[:extra] for action in _removal(pod, "", now)]


def _removal(pod: Pod, message: str, now: float) -> list[Action]:
    """Returns the pod's end: Failed with the reason where it had not ended, then gone at once."""
    ref, metadata = POD.ref(*pod.key), pod.metadata
    actions: list[Action] = []
    if pod.status.phase not in ("Succeeded", "Failed"):
        found = conditions.documents(pod.status.conditions)
        if message:
            made = conditions.make("DisruptionTarget", "True", "DeletionByPodGC", message, now)
            found = conditions.put(found, made)
        fields = {"phase": "Failed", "conditions": found}
        actions.append(status(ref, fields, uid=metadata.uid))
    return [*actions, Delete(ref, metadata.uid, grace_seconds=0)]


def is_ended(pod: Pod) -> bool:
    """Says whether a pod counts as terminated and is not being deleted."""
    return pod.status.phase in ENDED and not pods.is_terminating(pod)


def _of_pod(views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
    if new is None:
        return ()
    found = []
    absent = new.spec.node_name and views.of(NODE).get(NODE.ref("", new.spec.node_name)) is None
    if absent or pods.is_terminating(new):
        found.append(POD.ref(*new.key))
    if is_ended(new) and not (old is not None and is_ended(old)):
        found.append(TERMINATED)
    return found


def _of_node(views: Views, old: Node | None, new: Node | None) -> Iterable[Ref]:
    """Maps a node that is gone or out of service to its pods."""
    found = new if new is not None else old
    if found is None or (new is not None and not new.spec.taints):
        return ()
    return [POD.ref(*pod.key) for pod in views.of(POD).by(BY_NODE, found.metadata.name)]


class PodGarbageController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "pod-garbage-collector"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(POD, _of_pod, {BY_NODE: by_node}),
        Watch(NODE, _of_node),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("pods",), ("delete", "list", "watch")),
        Rule("", ("nodes",), ("get", "list")),
        Rule("", ("pods/status",), ("patch",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._pods = given.views.of(POD)
        self._nodes = given.views.of(NODE)
        self._suspected: dict[str, float] = {}  # node name -> when it was first missed

    async def reconcile(self, ref: Ref) -> Done:
        """Removes one pod that nobody will end, or the terminated ones above the number."""
        now = self._given.world.now()
        if ref == TERMINATED:
            ended = [pod for pod in self._pods.list() if is_ended(pod)]
            await self._act(plan_terminated(ended, THRESHOLD, now))
            return Done()
        pod: Pod | None = self._pods.get(ref)
        if pod is None:
            return Done()
        node: Node | None = self._nodes.get(NODE.ref("", pod.spec.node_name))
        if pod.spec.node_name and node is None:
            return await self._orphan(pod, now)
        self._suspected.pop(pod.spec.node_name, None)
        await self._act(plan_stuck(pod, node, now))
        return Done()

    async def _orphan(self, pod: Pod, now: float) -> Done:
        name = pod.spec.node_name
        since = self._suspected.setdefault(name, now)
        if now < since + QUARANTINE_SECONDS:
            return Done(since + QUARANTINE_SECONDS - now)
        try:
            await self._given.client.get(NODE.ref("", name))
        except NotFound:
            await self._act(plan_orphan(pod, now))
        return Done()

    async def _act(self, actions: Iterable[Action]) -> None:
        await act(self._given.client, self._given.events, actions)
