"""What a DaemonSet does next: pods that are missing, pods that are too many, the next step of a
rolling update, the status. Pure. Follows pkg/controller/daemon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import field

from steersman.controllers import conditions, daemonset_place, pods
from steersman.controllers.daemonset_place import HASH_LABEL
from steersman.controllers.deployment_bounds import scaled
from steersman.model.kind import Document
from steersman.model.kinds.daemonset import DAEMONSET, DaemonSet, RollingUpdate
from steersman.model.kinds.node import Node
from steersman.model.kinds.pod import Pod
from steersman.model.times import seconds
from steersman.model.types.podspec import PodSpec
from steersman.reconcile.actions import Patch, Tell, status

BURST = 250  # upstream BurstReplicas


class Known(msgspec.Struct, frozen=True):
    """What a plan is made from; `text` is the hash of the present revision, and on the nodes in
    `held` failed pods stay for so many seconds."""

    owner: DaemonSet
    nodes: Sequence[Node]
    by_node: Mapping[str, Sequence[Pod]]
    text: str
    now: float
    held: Mapping[str, float] = {}


class Steps(msgspec.Struct):
    """Nodes that get a pod, pods that go, nodes where one goes because it failed, and what is told
    about it."""

    create: list[str] = field(default_factory=list)
    delete: list[Pod] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    tell: list[Tell] = field(default_factory=list)


def spec_of(owner: DaemonSet) -> PodSpec:
    """Returns the typed spec of a daemon pod."""
    return msgspec.convert(daemonset_place.pod_spec(owner), PodSpec)


def plan(known: Known) -> Steps:
    """Decides what to create and delete now; an update goes on only when nothing is missing."""
    steps = _manage(known)
    if steps.create or steps.delete or known.owner.metadata.deletion_timestamp is not None:
        return steps
    if known.owner.spec.update_strategy.type == "RollingUpdate":
        return _update(known)
    return steps


def _manage(known: Known) -> Steps:
    steps = Steps()
    spec = spec_of(known.owner)
    exists = set()
    for node in known.nodes:
        name = node.metadata.name
        exists.add(name)
        wanted, may_stay = daemonset_place.judge(spec, node)
        present = known.by_node.get(name, ())
        if wanted and not present:
            steps.create.append(name)
        elif may_stay:
            _keep_one(known, name, present, steps)
        else:
            steps.delete += [pod for pod in present if not pods.is_terminating(pod)]
    for name, present in known.by_node.items():
        if name not in exists and name:
            unbound = [pod for pod in present if not pod.spec.node_name]
            steps.delete += [pod for pod in unbound if not pods.is_terminating(pod)]
    return steps


def _keep_one(known: Known, node: str, present: Sequence[Pod], steps: Steps) -> None:
    running = []
    for pod in present:
        failed = pod.status.phase == "Failed"
        if pods.is_terminating(pod) or (failed and (node in known.held or node in steps.failed)):
            continue
        if failed:
            steps.failed.append(node)
        if pod.status.phase in ("Failed", "Succeeded"):
            steps.delete.append(pod)
            steps.tell.append(_ended(known.owner, pod))
        else:
            running.append(pod)
    running.sort(key=_oldest)
    if surge(known.owner, 1) == 0:
        steps.delete += running[1:]
        return
    new = [pod for pod in running if is_new(pod, known.text)]
    old = [pod for pod in running if not is_new(pod, known.text)]
    steps.delete += [*new[1:], *old[1:]]
    if new and old and pods.is_available(new[0], known.owner.spec.min_ready_seconds, known.now):
        steps.delete.append(old[0])


def _ended(owner: DaemonSet, pod: Pod) -> Tell:
    named = f"daemon pod {pod.metadata.namespace}/{pod.metadata.name} on node {pod.spec.node_name}"
    if pod.status.phase == "Failed":
        text = f"Found failed {named}, will try to kill it"
        return Tell(owner, "FailedDaemonPod", text, "Warning")
    return Tell(owner, "SucceededDaemonPod", f"Found succeeded {named}, will try to delete it")


def _oldest(pod: Pod) -> tuple[bool, float, str]:
    created = seconds(pod.metadata.creation_timestamp)
    return (not pod.spec.node_name, created, pod.metadata.name)


def is_new(pod: Pod, text: str) -> bool:
    """Says whether a pod comes of the present revision."""
    return bool(text) and pod.metadata.labels.get(HASH_LABEL) == text


def surge(owner: DaemonSet, desired: int) -> int:
    """Returns on how many nodes a second pod may run during an update."""
    bounds = owner.spec.update_strategy.rolling_update or RollingUpdate()
    return scaled(bounds.max_surge, desired, up=True)


def unavailable(owner: DaemonSet, desired: int) -> int:
    """Returns on how many nodes the pod may be missing during an update."""
    bounds = owner.spec.update_strategy.rolling_update or RollingUpdate()
    most = scaled(bounds.max_unavailable, desired, up=True)
    return most or (0 if surge(owner, desired) else 1)


def _update(known: Known) -> Steps:
    spec = spec_of(known.owner)
    names = [it.metadata.name for it in known.nodes if daemonset_place.judge(spec, it)[0]]
    if surge(known.owner, len(names)):
        return _update_with_surge(known, names)
    missing = 0
    broken: list[Pod] = []
    candidates: list[Pod] = []
    for name in names:
        new, old = _pair(known, name)
        if old is None and new is not None:
            missing += not _available(known, new)
        elif old is not None and new is None:
            (candidates if _available(known, old) else broken).append(old)
        else:
            missing += 1
    allowed = max(0, unavailable(known.owner, len(names)) - missing - len(broken))
    return Steps(delete=[*broken, *candidates[:allowed]])


def _update_with_surge(known: Known, names: Sequence[str]) -> Steps:
    surging = 0
    free: list[str] = []
    candidates: list[str] = []
    steps = Steps()
    for name in names:
        new, old = _pair(known, name)
        if old is None:
            continue
        if new is None:
            (candidates if _available(known, old) else free).append(name)
        elif _available(known, new):
            steps.delete.append(old)
        else:
            surging += 1
    allowed = max(0, surge(known.owner, len(names)) - surging)
    steps.create = [*free, *candidates[:allowed]]
    return steps


def _pair(known: Known, name: str) -> tuple[Pod | None, Pod | None]:
    present = [it for it in known.by_node.get(name, ()) if not pods.is_terminating(it)]
    present.sort(key=_oldest)
    new = next((pod for pod in present if is_new(pod, known.text)), None)
    old = next((pod for pod in present if not is_new(pod, known.text)), None)
    return new, old


def _available(known: Known, pod: Pod) -> bool:
    return pods.is_available(pod, known.owner.spec.min_ready_seconds, known.now)


def plan_status(known: Known) -> Patch | None:
    """Returns the patch of the status, None where it is right."""
    owner = known.owner
    changed = conditions.changes(_old(owner), _counts(known))
    if not changed:
        return None
    ref, metadata = DAEMONSET.ref(*owner.key), owner.metadata
    return status(ref, changed, uid=metadata.uid, revision=metadata.revision)


def _counts(known: Known) -> Document:
    spec = spec_of(known.owner)
    counts = dict.fromkeys(
        ("current", "misscheduled", "desired", "ready", "updated", "available"), 0
    )
    for node in known.nodes:
        present = sorted(known.by_node.get(node.metadata.name, ()), key=_oldest)
        if not daemonset_place.judge(spec, node)[0]:
            counts["misscheduled"] += bool(present)
            continue
        counts["desired"] += 1
        counts["current"] += bool(present)
        alive = [pod for pod in present if not pods.is_terminating(pod)]
        counts["ready"] += any(map(pods.is_ready, alive))
        counts["available"] += any(_available(known, pod) for pod in alive)
        counts["updated"] += any(is_new(pod, known.text) for pod in alive)
    found: Document = {
        "currentNumberScheduled": counts["current"],
        "numberMisscheduled": counts["misscheduled"],
        "desiredNumberScheduled": counts["desired"],
        "numberReady": counts["ready"],
        "observedGeneration": known.owner.metadata.generation,
        "updatedNumberScheduled": counts["updated"],
        "numberAvailable": counts["available"],
        "numberUnavailable": counts["desired"] - counts["available"],
    }
    return _without_zeros(found)


_ALWAYS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")


def _without_zeros(found: Document) -> Document:
    return {name: count for name, count in found.items() if count or name in _ALWAYS}


def _old(owner: DaemonSet) -> Document:
    old = owner.status
    found: Document = {
        "currentNumberScheduled": old.current_number_scheduled,
        "numberMisscheduled": old.number_misscheduled,
        "desiredNumberScheduled": old.desired_number_scheduled,
        "numberReady": old.number_ready,
        "observedGeneration": old.observed_generation,
        "updatedNumberScheduled": old.updated_number_scheduled,
        "numberAvailable": old.number_available,
        "numberUnavailable": old.number_unavailable,
    }
    return _without_zeros(found)
