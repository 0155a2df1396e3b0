"""Node lifecycle: a node that is not heard of becomes Unknown, its pods not ready, and taints say
so to the scheduler and to eviction.

Heartbeats are Lease renewals and status updates; the time of hearing counts, not the time they
claim. Follows pkg/controller/nodelifecycle.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

import msgspec

from steersman.client.interface import Views
from steersman.controllers import conditions, pods
from steersman.controllers.node_zones import Zones
from steersman.model.kind import Document
from steersman.model.kinds.lease import LEASE, Lease, renews_itself
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import POD, Pod
from steersman.model.ref import Ref
from steersman.model.times import rfc3339
from steersman.model.types.condition import Condition, condition
from steersman.reconcile.actions import Action, Patch, Tell, act, status
from steersman.reconcile.events import Said, about_ref
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

GRACE_SECONDS = 50.0  # kube-controller-manager --node-monitor-grace-period
STARTUP_GRACE_SECONDS = 60.0  # --node-startup-grace-period
LEASE_NAMESPACE = "kube-node-lease"
BY_NODE = "node name"  # index: pods by the node they are bound to

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_OURS = frozenset((NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURES.values()))
_EMPTYING = frozenset(((NOT_READY, "NoExecute"), (UNREACHABLE, "NoExecute")))
# Labels that had other names in beta, by these (labelReconcileInfo)
_BETA = {f"beta.kubernetes.io/{it}": f"kubernetes.io/{it}" for it in ("os", "arch")}
_KEPT_BY_AGENT = ("MemoryPressure", "DiskPressure", "PIDPressure")


class Heard(msgspec.Struct, frozen=True):
    """When a node was last heard of, in our own time, and whether that was ever."""

    at: float
    ever: bool


def deadline(node: Node, heard: Heard) -> float:
    """Returns when a silent node counts as unknown."""
    ready = condition(node.status.conditions, "Ready")
    grace = GRACE_SECONDS if heard.ever and ready is not None else STARTUP_GRACE_SECONDS
    return heard.at + grace


def plan_unknown(node: Node, now: float) -> Patch | None:
    """Returns the patch that makes all of a silent node's conditions Unknown."""
    found = conditions.documents(node.status.conditions)
    new = found
    for kind in ("Ready", *_KEPT_BY_AGENT):
        new = _put_unknown(new, condition(node.status.conditions, kind), kind, now)
    if new == found:
        return None
    ref = NODE.ref("", node.metadata.name)
    fields = {"conditions": new}
    return status(ref, fields, uid=node.metadata.uid, revision=node.metadata.revision)


def _put_unknown(
    found: list[Document], old: Condition | None, kind: str, now: float
) -> list[Document]:
    if old is not None and old.status == "Unknown":
        return found
    made: Document = {"type": kind, "status": "Unknown", "lastTransitionTime": rfc3339(now)}
    if old is None:
        made["reason"] = "NodeStatusNeverUpdated"
        made["message"] = "Kubelet never posted node status."
        return [*found, {**made, "lastHeartbeatTime": rfc3339(now)}]
    made["reason"] = "NodeStatusUnknown"
    made["message"] = "Kubelet stopped posting node status."
    before = conditions.document(old)
    return [{**before, **made} if item["type"] == kind else item for item in found]


def wanted_taints(node: Node) -> list[tuple[str, str]]:
    """Returns the taints (key, effect) that a node's conditions and its cordon call for."""
    found: list[tuple[str, str]] = []
    ready = condition(node.status.conditions, "Ready")
    state = ready.status if ready is not None else "True"
    if state == "False":
        found += [(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]
    if state == "Unknown":
        found += [(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]
    for kind, key in _PRESSURES.items():
        one = condition(node.status.conditions, kind)
        if one is not None and one.status == "True":
            found.append((key, "NoSchedule"))
    if node.spec.unschedulable:
        found.append((UNSCHEDULABLE, "NoSchedule"))
    return found


def needs_turn(node: Node) -> bool:
    """Says whether a node is to lose its pods and was not told so yet; what it was told for
    another reason is put right at once."""
    told = any((it.key, it.effect) in _EMPTYING for it in node.spec.taints)
    return not told and any(taint in _EMPTYING for taint in wanted_taints(node))


def plan_taints(node: Node, now: float, *, empties: bool = True) -> Patch | None:
    """Returns the patch that makes our taints right and leaves the others alone; with `empties`
    those too that cost a node its pods.

    The taint of a node that registered and was never ready stays until it is.
    """
    if not node.status.conditions and any(it.key == NOT_READY for it in node.spec.taints):
        return None
    wanted = [it for it in wanted_taints(node) if empties or it not in _EMPTYING]
    have = [(taint.key, taint.effect) for taint in node.spec.taints]
    kept = [
        taint
        for taint in node.spec.taints
        if taint.key not in _OURS or (taint.key, taint.effect) in wanted
    ]
    missing = [taint for taint in wanted if taint not in have]
    if not missing and len(kept) == len(node.spec.taints):
        return None
    taints = [_taint(it.key, it.value, it.effect, it.time_added) for it in kept]
    added = [{"key": key, "effect": effect, "timeAdded": rfc3339(now)} for key, effect in missing]
    patch = {"spec": {"taints": [*taints, *added] or None}}
    metadata = node.metadata
    return Patch(NODE.ref("", metadata.name), patch, uid=metadata.uid, revision=metadata.revision)


def plan_labels(node: Node) -> Patch | None:
    """Returns the patch that gives a node the old names of some labels too."""
    labels, metadata = node.metadata.labels, node.metadata
    wanted = {old: labels[new] for old, new in _BETA.items() if new in labels}
    if wanted.items() <= labels.items():
        return None
    patch: Document = {"metadata": {"labels": wanted}}
    return Patch(NODE.ref("", metadata.name), patch, uid=metadata.uid, revision=metadata.revision)


def _taint(key: str, value: str, effect: str, added: Any) -> Document:
    made: Document = {"key": key, "effect": effect}
    if value:
        made["value"] = value
    if added is not None:
        made["timeAdded"] = rfc3339(added.timestamp())
    return made


def plan_pods(found: Iterable[Pod], now: float) -> list[Action]:
    """Returns what makes ready pods not ready, whose node is not
    (controllerutil.MarkPodsNotReady)."""
    actions: list[Action] = []
    for pod in found:
        changed = [
            {**it, "status": "False", "lastTransitionTime": rfc3339(now)}
            if it["type"] == "Ready"
            else it
            for it in conditions.documents(pod.status.conditions)
        ]
        ref, metadata = POD.ref(*pod.key), pod.metadata
        fields = {"conditions": changed}
        actions.append(status(ref, fields, uid=metadata.uid, revision=metadata.revision))
        actions.append(Tell(pod, "NodeNotReady", "Node is not ready", "Warning"))
    return actions


def by_node(pod: Pod) -> tuple[str, ...]:
    """Index values: the node of a bound pod."""
    return (pod.spec.node_name,) if pod.spec.node_name else ()


def _of_lease(_views: Views, old: Lease | None, new: Lease | None) -> Iterable[Ref]:
    found = new if new is not None else old
    if found is None or found.metadata.namespace != LEASE_NAMESPACE:
        return ()
    return (NODE.ref("", found.metadata.name),)


def _of_pod(views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
    """Maps a pod that became ready on a node that is not."""
    if new is None or not new.spec.node_name or not pods.is_ready(new):
        return ()
    ref = NODE.ref("", new.spec.node_name)
    node = views.of(NODE).get(ref)
    return () if node is None or _is_ready(node) else (ref,)


def _is_ready(node: Node) -> bool:
    found = condition(node.status.conditions, "Ready")
    return found is None or found.status == "True"


class Marks:
    """Which pods were said to be not ready since a node ceased to be: each once. A node that still
    reports says it better, and two who correct each other would never end."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[Any, set[str]]] = {}

    def untold(self, node: Node, here: Iterable[Pod]) -> list[Pod]:
        """Returns the ready pods of a node that were not told since its last change."""
        ready = condition(node.status.conditions, "Ready")
        change = (node.metadata.uid, ready and ready.last_transition_time)
        known = self._of.get(node.metadata.name)
        if known is None or known[0] != change:
            known = self._of[node.metadata.name] = (change, set())
        found = {pod.metadata.uid: pod for pod in here}
        known[1].intersection_update(found)
        return [pod for uid, pod in found.items() if uid not in known[1] and pods.is_ready(pod)]

    def tell(self, node: Node, told: Iterable[Pod]) -> None:
        """Notes pods that were told."""
        self._of[node.metadata.name][1].update(pod.metadata.uid for pod in told)

    def forget(self, node: str) -> None:
        """Forgets a node that is ready or gone."""
        self._of.pop(node, None)


class NodeLifecycleController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "node-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(NODE, partial(to_self, kind=NODE)),
        Watch(LEASE, _of_lease),
        Watch(POD, _of_pod, {BY_NODE: by_node}),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("nodes",), ("get", "list", "update", "delete", "patch")),
        Rule("", ("nodes/status", "pods/status"), ("patch", "update")),
        Rule("", ("pods",), ("delete", "get", "list")),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._nodes = given.views.of(NODE)
        self._leases = given.views.of(LEASE)
        self._pods = given.views.of(POD)
        self._heard: dict[str, tuple[Any, Heard]] = {}
        self._marks = Marks()
        self._zones: Zones | None = None

    async def reconcile(self, ref: Ref) -> Done:
        """Judges one node."""
        node: Node | None = self._nodes.get(ref)
        zones, now = self._known(), self._given.world.now()
        self._wake(zones.forget(ref.name, now) if node is None else zones.note(node, now))
        if node is None:
            if (gone := self._heard.pop(ref.name, None)) is not None:
                self._tell(ref.name, gone[0][0], "RemovingNode", "Removing Node {} from Controller")
            self._marks.forget(ref.name)
            return Done()
        if ref.name not in self._heard:
            uid = node.metadata.uid
            self._tell(ref.name, uid, "RegisteredNode", "Registered Node {} in Controller")
        lease = self._leases.get(LEASE.ref(LEASE_NAMESPACE, node.metadata.name))
        heard = self._hear(node, lease, now)
        if lease is not None and renews_itself(lease):
            return Done(await self._judge(node, zones))
        silent = deadline(node, heard) - now
        if silent <= 0:
            return Done(await self._silent(node, zones, now))
        turn = await self._judge(node, zones)
        return Done(silent if turn is None else min(silent, turn))

    def _known(self) -> Zones:
        """Returns the zones of all nodes, which are judged together from the first one on."""
        if self._zones is None:
            self._zones = Zones(self._nodes.list(), self._given.world.now())
        return self._zones

    def _wake(self, names: Iterable[str | None]) -> None:
        for name in names:
            if name is not None:
                self._given.look(NODE.ref("", name))

    def _tell(self, name: str, uid: str, reason: str, text: str) -> None:
        """Says of a node that it came or went; it may be gone by then."""
        about = about_ref(NODE, NODE.ref("", name), uid)
        note = f"Node {name} event: {text.format(name)}"
        self._given.events.say(Said(about, "Normal", reason, note))

    def _hear(self, node: Node, lease: Lease | None, now: float) -> Heard:
        """Notes a new sign of life: a renewed lease or new conditions."""
        renewed = lease.spec.renew_time if lease is not None else None
        beats = tuple(
            (it.type, it.last_heartbeat_time)
            for it in node.status.conditions
            if it.status != "Unknown"
        )
        sign = (node.metadata.uid, renewed, beats)
        known = self._heard.get(node.metadata.name)
        if known is not None and known[0] == sign:
            return known[1]
        if known is not None and known[0][:2] == sign[:2] and not set(beats) - set(known[0][2]):
            self._heard[node.metadata.name] = (sign, known[1])  # only our own Unknown came
            return known[1]
        heard = Heard(now, renewed is not None or bool(beats))
        self._heard[node.metadata.name] = (sign, heard)
        return heard

    async def _silent(self, node: Node, zones: Zones, now: float) -> float | None:
        patch = plan_unknown(node, now)
        if patch is not None:
            await act(self._given.client, self._given.events, (patch,))
            return None  # its change brings us here again, for taints and pods
        return await self._judge(node, zones)

    async def _judge(self, node: Node, zones: Zones) -> float | None:
        """Writes what a node's state calls for; returns when its turn to lose its pods comes."""
        name, now, turn = node.metadata.name, self._given.world.now(), None
        waits = needs_turn(node)
        if waits and not zones.stopped:
            turn = zones.turn(name, now)
        else:
            self._wake((zones.leave(name),))
        empties = not zones.stopped and (not waits or turn == 0)
        patch = plan_taints(node, now, empties=empties) or plan_labels(node)
        if patch is not None:
            await act(self._given.client, self._given.events, (patch,))
            if waits and empties:
                self._wake((zones.done(name, now),))
            return turn or None
        if _is_ready(node):
            self._marks.forget(name)
        else:
            await self._mark(node, now)
        return turn

    async def _mark(self, node: Node, now: float) -> None:
        """Says of the pods of a node that is not ready that they are not either."""
        here = self._pods.by(BY_NODE, node.metadata.name)
        untold = self._marks.untold(node, here)
        marked = plan_pods(untold, now)
        if marked:
            name = node.metadata.name
            text = f"Node {name} status is now: NodeNotReady"
            self._given.events.normal(node, "NodeNotReady", text)
        await act(self._given.client, self._given.events, marked)
        self._marks.tell(node, untold)
