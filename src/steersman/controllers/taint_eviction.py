"""Taint eviction: pods leave a node with a NoExecute taint that they do not tolerate, at once or
when their toleration's time is over (pkg/controller/tainteviction)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from steersman.client.interface import Views
from steersman.controllers import conditions
from steersman.controllers.node_lifecycle import BY_NODE, by_node
from steersman.model.kind import Document
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import POD, Pod
from steersman.model.node_rules import bears
from steersman.model.ref import Ref
from steersman.model.times import seconds
from steersman.model.types.scheduling import Taint, Toleration
from steersman.reconcile.actions import Action, Delete, Patch, Tell, act
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

REASON = "DeletionByTaintManager"
MESSAGE = "Taint manager: deleting due to NoExecute taint"


def evicting(node: Node) -> list[Taint]:
    """Returns the taints that drive pods away."""
    return [taint for taint in node.spec.taints if taint.effect == "NoExecute"]


def due(pod: Pod, taints: Sequence[Taint], now: float, begun: float | None = None) -> float | None:
    """Returns when a pod has to go, None for never: at once where a taint is not tolerated, else
    when the shortest time of the tolerations in use is over. It runs since `begun` (None: now)
    where no taint says since when it is there: one that a person sets does not."""
    used: list[Toleration] = []
    for taint in taints:
        bearing = [it for it in pod.spec.tolerations if bears(it, taint)]
        if not bearing:
            return now
        used += bearing
    limits = [it.toleration_seconds for it in used if it.toleration_seconds is not None]
    if not limits:
        return None
    since = max((seconds(taint.time_added) for taint in taints), default=0.0)
    return (since or begun or now) + max(0, min(limits))


def plan(pod: Pod, now: float) -> list[Action]:
    """Returns what evicts a pod: the condition that says why, the deletion, the event."""
    ref, metadata = POD.ref(*pod.key), pod.metadata
    found = conditions.documents(pod.status.conditions)
    made: Document = conditions.make("DisruptionTarget", "True", REASON, MESSAGE, now)
    patch = {"status": {"conditions": conditions.put(found, made)}}
    text = f"Marking for deletion Pod {metadata.namespace}/{metadata.name}"
    return [
        Tell(pod, "TaintManagerEviction", text),
        Patch(ref, patch, "status", metadata.uid, metadata.revision),
        Delete(ref, metadata.uid),
    ]


def plan_cancel(pod: Pod) -> Tell:
    """Returns the event that says that a pod may stay after all."""
    text = f"Cancelling deletion of Pod {pod.metadata.namespace}/{pod.metadata.name}"
    return Tell(pod, "TaintManagerEviction", text)


def _of_pod(views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
    """Maps a pod newly bound to a node with evicting taints, or with new tolerations there, to
    itself; of a node's own changes `_of_node` tells."""
    if new is None or not new.spec.node_name:
        return ()
    if old is not None and old.spec.node_name and old.spec.tolerations == new.spec.tolerations:
        return ()
    node = views.of(NODE).get(NODE.ref("", new.spec.node_name))
    return (POD.ref(*new.key),) if node is not None and evicting(node) else ()


def _of_node(views: Views, old: Node | None, new: Node | None) -> Iterable[Ref]:
    """Maps a change of a node's evicting taints to its pods."""
    if new is None or (old is not None and evicting(old) == evicting(new)):
        return ()
    if old is None and not evicting(new):
        return ()
    return [POD.ref(*pod.key) for pod in views.of(POD).by(BY_NODE, new.metadata.name)]


class TaintEvictionController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "taint-eviction-controller"
    account: ClassVar[str] = "node-controller"  # upstream's roles know no other
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(POD, _of_pod, {BY_NODE: by_node}),
        Watch(NODE, _of_node),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("pods",), ("delete", "get", "list")),
        Rule("", ("pods/status",), ("patch",)),
        Rule("", ("nodes",), ("get", "list")),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._pods = given.views.of(POD)
        self._nodes = given.views.of(NODE)
        self._timed: dict[Ref, tuple[str, float]] = {}  # uid of a pod, since when its time runs

    async def reconcile(self, ref: Ref) -> Done:
        """Evicts one pod when its time has come."""
        pod: Pod | None = self._pods.get(ref)
        if pod is None or pod.metadata.deletion_timestamp is not None:
            self._timed.pop(ref, None)
            return Done()
        node: Node | None = self._nodes.get(NODE.ref("", pod.spec.node_name))
        taints = evicting(node) if node is not None else []
        now, uid = self._given.world.now(), pod.metadata.uid
        known, begun = self._timed.get(ref, ("", now))
        if known != uid:
            begun = now
        when = due(pod, taints, now, begun) if taints else None
        if when is not None and when > now:
            self._timed[ref] = (uid, begun)
            return Done(when - now)
        if when is not None:
            await act(self._given.client, self._given.events, plan(pod, now))
        elif known == uid:
            tell = plan_cancel(pod)
            self._given.events.normal(pod, tell.reason, tell.note)
        self._timed.pop(ref, None)
        return Done()
