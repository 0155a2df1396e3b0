"""Where the pods of a DaemonSet belong: which nodes, and the pod made for one of them.

Follows pkg/controller/daemon (nodeShouldRunDaemonPod) and its util.
"""

from __future__ import annotations

import msgspec

from steersman.controllers import ownership, pods
from steersman.model.kind import Document
from steersman.model.kinds.daemonset import DAEMONSET, GENERATION, DaemonSet
from steersman.model.kinds.node import Node
from steersman.model.kinds.pod import Pod
from steersman.model.node_rules import NAME_FIELD, attracts, repels
from steersman.model.types.podspec import PodSpec
from steersman.reconcile.actions import Create

HASH_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"


def _toleration(name: str, effect: str) -> Document:
    return {"key": f"node.kubernetes.io/{name}", "operator": "Exists", "effect": effect}


TOLERATIONS = (  # every daemon pod bears these (util.AddOrUpdateDaemonPodTolerations)
    _toleration("not-ready", "NoExecute"),
    _toleration("unreachable", "NoExecute"),
    _toleration("disk-pressure", "NoSchedule"),
    _toleration("memory-pressure", "NoSchedule"),
    _toleration("pid-pressure", "NoSchedule"),
    _toleration("unschedulable", "NoSchedule"),
)
HOST_NETWORK_TOLERATION = _toleration("network-unavailable", "NoSchedule")


def pod_spec(owner: DaemonSet) -> Document:
    """Returns the spec of the template with the tolerations that daemon pods have."""
    template = msgspec.json.decode(owner.spec.template)
    spec: Document = dict(template.get("spec") or {})
    added = [*TOLERATIONS, *([HOST_NETWORK_TOLERATION] if spec.get("hostNetwork") else [])]
    present = list(spec.get("tolerations") or ())
    spec["tolerations"] = [*present, *(it for it in added if it not in present)]
    return spec


def new_pod(owner: DaemonSet, node: str, text: str) -> Create:
    """Returns the creation of a pod that fits one node only; `text` is the revision's hash."""
    template = msgspec.json.decode(owner.spec.template)
    metadata = dict(template.get("metadata") or {})
    labels = {**(metadata.get("labels") or {}), HASH_LABEL: text}
    if generation := owner.metadata.annotations.get(GENERATION):
        labels[GENERATION_LABEL] = generation
    spec = pod_spec(owner)
    return pods.from_template(
        {"metadata": {**metadata, "labels": labels}, "spec": spec},
        namespace=owner.metadata.namespace,
        prefix=f"{owner.metadata.name}-",
        owner=ownership.reference(owner, DAEMONSET),
        affinity=_pinned(spec.get("affinity") or {}, node),
    )


def _pinned(affinity: Document, node: str) -> Document:
    expression = {"key": NAME_FIELD, "operator": "In", "values": [node]}
    required = {"nodeSelectorTerms": [{"matchFields": [expression]}]}
    rules = {
        **(affinity.get("nodeAffinity") or {}),
        "requiredDuringSchedulingIgnoredDuringExecution": required,
    }
    return {**affinity, "nodeAffinity": rules}


def node_of(pod: Pod) -> str:
    """Returns the node of a pod, also before it is bound to it."""
    if pod.spec.node_name:
        return pod.spec.node_name
    rules = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    required = rules.required_during_scheduling_ignored_during_execution if rules else None
    for term in required.node_selector_terms if required else ():
        for field in term.match_fields:
            if field.key == NAME_FIELD and field.operator == "In" and len(field.values) == 1:
                return field.values[0]
    return ""


def judge(spec: PodSpec, node: Node) -> tuple[bool, bool]:
    """Says whether a node shall get a daemon pod, and whether one may stay there."""
    if spec.node_name and spec.node_name != node.metadata.name:
        return False, False
    if not attracts(spec, node):
        return False, False
    if repels(spec, node, ("NoSchedule", "NoExecute")):
        return False, not repels(spec, node, ("NoExecute",))
    return True, True
