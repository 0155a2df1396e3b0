"""Why a pod does not run, or is not ready."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from steersman.explain.cause import Cause
from steersman.explain.claim import claims_of
from steersman.explain.container import of_containers
from steersman.explain.deletion import of_deletion
from steersman.explain.node import of_node
from steersman.explain.objects import Objects, about, condition, name_of, namespace_of
from steersman.explain.placing import of_unplaced
from steersman.model.kind import Document, Kind
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.node import NODE
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.model.kinds.pod import POD
from steersman.model.kinds.printing import at
from steersman.model.kinds.secret import SECRET
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT

_MOUNTS: Final = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_SANDBOX: Final = ("FailedCreatePodSandBox", "FailedCreatePodContainer", "FailedPrepareDynamic")


def of_pod(objects: Objects, pod: Document) -> Cause:
    """Returns what is the matter with a pod."""
    name, phase = about(POD, name_of(pod)), at(pod, "status", "phase")
    if phase == "Succeeded":
        return Cause(name, "has done its work", sound=True)
    if phase == "Failed":
        return _of_failed(objects, pod, name)
    if at(pod, "metadata", "deletionTimestamp"):
        return _of_ending(objects, pod)
    if not at(pod, "spec", "nodeName"):
        return of_unplaced(objects, pod)
    if (cause := _of_node(objects, pod, name)) is not None:
        return cause
    missing = tuple(_missing(objects, pod))
    containers = of_containers(objects, pod)
    if missing and not _runs(pod):
        finding = "waits for what it refers to"
        return Cause(name, finding, details=objects.told(pod, *_MOUNTS), causes=missing)
    if containers:
        return Cause(name, _finding(pod), causes=containers)
    return _of_rest(objects, pod, name)


def _runs(pod: Document) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def _finding(pod: Document) -> str:
    if at(pod, "status", "phase") != "Running":
        return f"is {at(pod, 'status', 'phase') or 'Pending'}, and does not run yet"
    return "runs and is not ready"


def _of_failed(objects: Objects, pod: Document, name: str) -> Cause:
    reason, message = at(pod, "status", "reason"), at(pod, "status", "message")
    why = ": ".join(filter(None, (reason, message)))
    return Cause(
        name,
        f"has failed: {why}" if why else "has failed",
        helps=("a failed pod does not run again: its controller makes another, or you do",),
        causes=of_containers(objects, pod),
    )


def _of_ending(objects: Objects, pod: Document) -> Cause:
    cause = of_deletion(objects, POD, pod)
    node = at(pod, "spec", "nodeName")
    if cause.causes or not node:
        return cause
    lost = _of_node(objects, pod, cause.about)
    return lost if lost is not None else cause


def _of_node(objects: Objects, pod: Document, name: str) -> Cause | None:
    """Returns what is the matter with the node of a pod, None where it is well."""
    place = str(at(pod, "spec", "nodeName"))
    if not objects.knows(NODE):
        return None
    node = objects.get(NODE, "", place)
    if node is None:
        return Cause(
            name,
            f"is placed on the node {place}, which does not exist",
            helps=("the pod garbage collector removes it; its controller makes another",),
        )
    if condition(node, "Ready").get("status") == "True":
        return None
    finding = f"is on the node {place}, which is not ready"
    return Cause(name, finding, causes=(of_node(objects, node),))


def _of_rest(objects: Objects, pod: Document, name: str) -> Cause:
    """Returns what is left to say of a pod whose containers are well."""
    gates = [str(it.get("conditionType")) for it in at(pod, "spec", "readinessGates") or ()]
    closed = [gate for gate in gates if condition(pod, gate).get("status") != "True"]
    if closed:
        return Cause(
            name,
            f"is not ready: its readiness gates {', '.join(closed)} are not True",
            helps=("whoever set a gate sets the condition of its name in the pod's status",),
        )
    if _runs(pod):
        return Cause(name, "runs and is ready", sound=True)
    told = objects.told(pod, *_SANDBOX, *_MOUNTS)
    told = told or objects.told(pod)
    return Cause(name, _finding(pod), details=told or ("its node has not said why",))


def _missing(objects: Objects, pod: Document) -> Iterable[Cause]:
    """Yields the objects that a pod refers to and that are not there."""
    namespace = namespace_of(pod)
    account = at(pod, "spec", "serviceAccountName") or "default"
    wanted: list[tuple[Kind, str]] = [(SERVICEACCOUNT, account), *_references(pod)]
    wanted += [(PERSISTENTVOLUMECLAIM, claim) for claim in claims_of(pod)]
    seen = set()
    for kind, name in wanted:
        if (kind.plural, name) in seen:
            continue
        seen.add((kind.plural, name))
        if objects.knows(kind) and objects.get(kind, namespace, name) is None:
            yield Cause(
                about(kind, name),
                f"does not exist in the namespace {namespace}",
                helps=("create it, or refer to it as optional",),
            )


def _references(pod: Document) -> Iterable[tuple[Kind, str]]:
    spec = at(pod, "spec") or {}
    for volume in spec.get("volumes") or ():
        yield from _of_source(volume, "configMap", "secret", "name", "secretName")
        for source in at(volume, "projected", "sources") or ():
            yield from _of_source(source, "configMap", "secret", "name", "name")
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        for source in container.get("envFrom") or ():
            yield from _of_source(source, "configMapRef", "secretRef", "name", "name")
        for variable in container.get("env") or ():
            source = variable.get("valueFrom") or {}
            yield from _of_source(source, "configMapKeyRef", "secretKeyRef", "name", "name")


def _of_source(
    source: Document, config: str, secret: str, config_name: str, secret_name: str
) -> Iterable[tuple[Kind, str]]:
    for kind, field, key in ((CONFIGMAP, config, config_name), (SECRET, secret, secret_name)):
        found = source.get(field) or {}
        if found.get(key) and not found.get("optional"):
            yield kind, str(found[key])
