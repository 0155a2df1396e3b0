"""Why the scheduler places a pod nowhere: its own filters, asked of every node.

The scheduler's plugins are those of the default profile; what a cluster configures otherwise is
not known here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from steersman.explain.cause import Cause, bounded
from steersman.explain.claim import claims_of, of_claim
from steersman.explain.objects import Copies, Objects, about, condition, name_of, namespace_of
from steersman.model.kind import Document
from steersman.model.kinds.namespace import NAMESPACE
from steersman.model.kinds.node import NODE
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.printing import at
from steersman.model.podgroup import LABEL
from steersman.model.quantity import of_bytes, of_milli
from steersman.scheduler.decide import fitting
from steersman.scheduler.devices.inventory import Inventory
from steersman.scheduler.devices.rule import rule_of as device_rule_of
from steersman.scheduler.following import ENDED
from steersman.scheduler.gangs.groups import REJECTED
from steersman.scheduler.local import joined
from steersman.scheduler.memory import Ask, Memory
from steersman.scheduler.owners import Owners
from steersman.scheduler.profile import DEFAULT, DEFAULT_NAME, FLOW
from steersman.scheduler.state.bits import places
from steersman.scheduler.state.demand import CPU
from steersman.scheduler.state.snapshot import Snapshot
from steersman.scheduler.volumes.rule import rule_of
from steersman.scheduler.volumes.storage import Storage
from steersman.scheduler.why import Why, explain

# Resources that are counted in bytes
_BYTES: Final = ("memory", "ephemeral-storage", "hugepages-", "storage")
_HELPS: Final = {
    "NodeName": "spec.nodeName names another node",
    "NodeAffinity": "label a node as spec.nodeSelector and spec.affinity.nodeAffinity ask, or ask "
    "for less",
    "NodePorts": "another host port, or the end of the pod that has it",
    "InterPodAffinity": "place the pods that spec.affinity asks for, or ask for less",
    "PodTopologySpread": "a node in the domain with the fewest such pods, a larger maxSkew, or "
    "whenUnsatisfiable: ScheduleAnyway",
    "NodeVolumeLimits": "a node with room for one more volume of this driver",
    "VolumeZone": "a node in the zone of the pod's volumes",
    "VolumeRestrictions": "the end of the pod that uses the volume",
    "VolumeBinding": "a volume that can be used from one of the nodes",
    "NodeDeclaredFeatures": "a node whose agent declares in status.declaredFeatures what the pod "
    "needs",
}


def of_unplaced(objects: Objects, pod: Document) -> Cause:
    """Returns why a pod that nothing else holds has no node."""
    name = about(POD, name_of(pod))
    gates = [str(gate.get("name")) for gate in at(pod, "spec", "schedulingGates") or ()]
    if gates:
        return Cause(
            name,
            f"is not looked at by the scheduler: its gates are {', '.join(gates)}",
            helps=("whoever set a gate removes it from spec.schedulingGates",),
        )
    scheduler = at(pod, "spec", "schedulerName") or DEFAULT_NAME
    if scheduler not in (DEFAULT_NAME, FLOW):
        return Cause(
            name,
            f"waits for the scheduler {scheduler!r}",
            details=_said(objects, pod),
            helps=(f"run a scheduler of this name, or spec.schedulerName: {DEFAULT_NAME}",),
        )
    if condition(pod, "PodScheduled").get("message") == REJECTED:
        return _of_group(objects, pod, name)
    if refuser := _extender(objects, pod):
        return Cause(
            name,
            f"is refused by the scheduler's extender {refuser}",
            details=_said(objects, pod),
            helps=("see what that server waits for; the scheduler's configuration names it",),
        )
    if not objects.all(NODE):
        return Cause(name, "has no node: there are none", helps=("add a node",))
    return _of_filters(objects, pod, name)


def _said(objects: Objects, pod: Document) -> tuple[str, ...]:
    told = condition(pod, "PodScheduled").get("message")
    return (f"it was said: {told}",) if told else ("it has not said anything about the pod",)


def _of_filters(objects: Objects, pod: Document, name: str) -> Cause:
    ask = _question(objects, pod)
    if isinstance(ask, str):
        return Cause(name, f"can run nowhere yet: {ask}", causes=_claims(objects, pod))
    refused = explain(ask)
    fit = [ask.snapshot.at(place).name for place in places(fitting(ask))]
    if fit:
        return Cause(
            name,
            f"fits on {len(fit)} of {len(refused) + len(fit)} nodes and is not bound yet",
            details=(f"it fits on {', '.join(bounded(fit, 'nodes'))}", *_said(objects, pod)),
            helps=("the scheduler tries again after its back-off; see whether it runs",),
        )
    return Cause(
        name,
        f"has no node: all {len(refused)} refuse it",
        details=tuple(_refusals(refused)),
        helps=tuple(dict.fromkeys(_helps(objects, refused))),
        causes=_claims(objects, pod) if _of_volumes(refused) else (),
    )


def _of_group(objects: Objects, pod: Document, name: str) -> Cause:
    """Returns what holds up the group of a pod that would fit by itself."""
    labels = at(pod, "metadata", "labels") or {}
    group = labels.get(LABEL, "")
    others = [
        it
        for it in objects.all(POD, namespace_of(pod))
        if (at(it, "metadata", "labels") or {}).get(LABEL) == group
    ]
    said = [
        f"pod/{name_of(it)}: it was said: {message}"
        for it in others
        if (message := condition(it, "PodScheduled").get("message")) not in (None, "", REJECTED)
    ]
    return Cause(
        name,
        f"waits for its pod group {namespace_of(pod)}/{group}, whose pods are placed together",
        details=bounded(said, "pods"),
        helps=("room for the pods that fit nowhere, or a smaller spec.minMember of the PodGroup",),
    )


def _extender(objects: Objects, pod: Document) -> str:
    """Returns the URL of the extender that refused nodes at the last attempt, empty where none
    did; the scheduler's events name it."""
    for event in objects.events(pod, "FailedScheduling")[:1]:
        if at(event, "related", "kind") == "Extender":
            return str(at(event, "related", "name"))
    return ""


def _question(objects: Objects, document: Document) -> Ask | str:
    """Returns the question to the filters, or why the pod can run nowhere."""
    views = Copies(objects)
    snapshot = Snapshot()
    for namespace in objects.all(NAMESPACE):
        labels = at(namespace, "metadata", "labels") or {}
        snapshot.namespace_changed(name_of(namespace), labels)
    for node in views.of(NODE).list():
        snapshot.node_changed(None, node)
    for other in views.of(POD).list():
        if other.spec.node_name and other.status.phase not in ENDED:
            snapshot.put(other, other.spec.node_name)
    pod = msgspec.json.decode(msgspec.json.encode(document), type=Pod)
    rule = rule_of(pod, DEFAULT, Storage(views), snapshot)
    inventory = Inventory(views)
    snapshot.shapes.delegate(frozenset(inventory.resources()))
    devices = device_rule_of(pod, DEFAULT, inventory)
    for early in (rule, devices):
        if isinstance(early, str):
            return early
    local = joined(rule, devices)
    return Memory(snapshot).of(pod, DEFAULT, Owners(views).selector(pod), local)


def _refusals(refused: Iterable[Why]) -> Iterable[str]:
    """Yields the reasons, each with its nodes and how far they are from fitting."""
    grouped: dict[tuple[str, ...], list[Why]] = {}
    for why in refused:
        grouped.setdefault(why.reasons, []).append(why)
    for reasons, nodes in sorted(grouped.items(), key=lambda item: (-len(item[1]), item[0])):
        shown = bounded((_node(why) for why in nodes), "nodes")
        yield f"{len(nodes)} of them: {', '.join(reasons)} ({', '.join(shown)})"


def _node(why: Why) -> str:
    if why.plugin != "NodeResourcesFit":
        return why.node
    missing = ", ".join(f"{amount(name, short)} {name}" for name, short in why.missing.items())
    return f"{why.node} lacks {missing}"


def amount(resource: str, number: int) -> str:
    """Returns a counted amount of a resource as people write it."""
    if resource == CPU:
        return str(of_milli(number))
    return str(of_bytes(number)) if resource.startswith(_BYTES) else str(number)


def _helps(objects: Objects, refused: Iterable[Why]) -> Iterable[str]:
    refused = list(refused)
    short = [why for why in refused if why.plugin == "NodeResourcesFit"]
    if short:
        yield _room(min(short, key=lambda why: sorted(why.missing.items())))
    for why in refused:
        if why.plugin == "TaintToleration":
            yield from _taints(objects, why)
        elif why.plugin == "NodeUnschedulable":
            yield f"kubectl uncordon {why.node}"
        elif why.plugin in _HELPS:
            yield _HELPS[why.plugin]


def _room(nearest: Why) -> str:
    missing = ", ".join(f"{amount(name, by)} {name}" for name, by in nearest.missing.items())
    if nearest.final:
        return f"ask for less, or add a larger node: even empty, {nearest.node} is too small"
    return f"free {missing} on {nearest.node}, which is nearest to fitting; or add a node"


def _taints(objects: Objects, why: Why) -> Iterable[str]:
    node = objects.get(NODE, "", why.node) or {}
    for taint in at(node, "spec", "taints") or ():
        key, effect = taint.get("key", ""), taint.get("effect", "")
        if effect != "PreferNoSchedule":
            yield f"tolerate {key}:{effect}, or kubectl taint nodes {why.node} {key}:{effect}-"


def _of_volumes(refused: Iterable[Why]) -> bool:
    return any(why.plugin.startswith("Volume") for why in refused)


def _claims(objects: Objects, pod: Document) -> tuple[Cause, ...]:
    """Returns what is the matter with the claims of a pod."""
    found = []
    for claim in claims_of(pod):
        known = objects.get(PERSISTENTVOLUMECLAIM, namespace_of(pod), claim)
        if known is None:
            name = about(PERSISTENTVOLUMECLAIM, claim)
            found.append(Cause(name, "does not exist", helps=("create it",)))
        elif not (cause := of_claim(objects, known)).sound:
            found.append(cause)
    return tuple(found)
