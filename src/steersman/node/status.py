"""The status of a pod in the kubelet's words: a pure function of the pod and what is observed.

The source is kubelet_pods.go and status/generate.go. One rule: what comes out is a strategic merge
patch, equal for equal states, so that it is written only when something has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.times import rfc3339
from steersman.model.types.condition import Condition, condition
from steersman.model.types.container import Container, ResourceRequirements, VolumeMount
from steersman.node import containers
from steersman.node.admission.refusing import is_refused
from steersman.node.observed import UNKNOWN, Observed, Run, Seen, container_id
from steersman.node.plan import ENDED, is_finished, is_initialized
from steersman.node.pressure import preemption
from steersman.node.readiness import GATES, closed_gates
from steersman.node.render import limits
from steersman.node.render.bundle import is_recursive
from steersman.node.resizing import telling

# A list with a merge key is merged by it: an address of before would stay beside the new one
WHOLE = {"$patch": "replace"}
Health = Callable[[Pod, Container], Sequence[Document]]


def render_status(
    pod: Pod, seen: Observed, host: str, now: float, health: Health = lambda *_: ()
) -> Document:
    """Returns the patch that makes the status tell what is observed; the pod has the resources
    that were granted. `health` says how the devices of a container are."""
    phase = phase_of(pod, seen)
    status: Document = {
        "phase": phase,
        "observedGeneration": pod.metadata.generation,
        "qosClass": limits.quality(pod),
        "hostIP": host,
        "hostIPs": [WHOLE, {"ip": host}],
        "startTime": rfc3339(seen.began_at),
        "conditions": _conditions(pod, seen, phase, now),
    }
    if not is_refused(seen):
        status |= _all_containers(pod, seen, now, health)
    if pod.spec.resources is not None:
        status["resources"] = _sides(pod.spec.resources)
        status["allocatedResources"] = dict(pod.spec.resources.requests)
    if seen.ended is not None and phase == "Failed":
        status["reason"], status["message"] = seen.ended
    addresses = addresses_of(pod, seen, host)
    if addresses:
        status["podIP"] = addresses[0]
        status["podIPs"] = [WHOLE, *({"ip": address} for address in addresses)]
    return status


def addresses_of(pod: Pod, seen: Observed, host: str) -> tuple[str, ...]:
    """Returns the pod's addresses; the node's where it shares the node's network."""
    if pod.spec.host_network:
        return (host,)
    if seen.sandbox is not None:
        return seen.sandbox.addresses
    return tuple(it.ip for it in pod.status.pod_ips)


def phase_of(pod: Pod, seen: Observed) -> str:
    """Returns the phase (getPhase); one that ends a pod stays, and comes only when nothing of it
    runs any more and drivers have taken back its devices: what it had to itself is then free
    (status_manager.go, mergePodStatus)."""
    if pod.status.phase in ENDED:
        return pod.status.phase
    found = _phase_of(pod, seen)
    return (pod.status.phase or "Pending") if seen.claimed and found in ENDED else found


def _phase_of(pod: Pod, seen: Observed) -> str:
    if seen.ended is not None and not any(it.running for it in seen.containers.values()):
        return "Failed"
    if not is_initialized(pod, seen):
        return "Failed" if is_finished(pod, seen) else "Pending"
    known = [(it, seen.of(it.name)) for it in pod.spec.containers]
    if any(it.counted is None for _, it in known):
        return "Pending"
    if any(it.running for _, it in known):
        return "Running"
    runs = [it.run for _, it in known if it.run is not None]
    done = all(containers.is_done(pod, it, one) for it, one in known) and not seen.restarting
    if not _is_stopping(pod, seen) and not done:
        return "Running"
    return "Succeeded" if all(run.exit_code == 0 for run in runs) else "Failed"


def is_coming_up(pod: Pod, seen: Observed) -> bool:
    """Whether a pod goes towards Running with nothing in its way."""
    troubles = [seen.trouble, *(it.trouble for it in seen.containers.values())]
    clear = not any(troubles) and not _is_stopping(pod, seen) and seen.ended is None
    return clear and phase_of(pod, seen) == "Pending"


def _is_stopping(pod: Pod, seen: Observed) -> bool:
    """Whether what has ended stays so because the pod ends."""
    return seen.gone or pod.metadata.deletion_timestamp is not None


# Containers


def _all_containers(pod: Pod, seen: Observed, now: float, health: Health) -> Document:
    """Returns the lists of containers, of each sort that the pod has."""
    sorts = {
        "containerStatuses": pod.spec.containers,
        "initContainerStatuses": pod.spec.init_containers,
        "ephemeralContainerStatuses": pod.spec.ephemeral_containers,
    }
    found = {
        field: [_container(pod, it, seen, now) for it in its] for field, its in sorts.items() if its
    }
    for container, told in zip(pod.spec.containers, found["containerStatuses"], strict=True):
        if devices := health(pod, container):
            told["allocatedResourcesStatus"] = list(devices)
    return found


def _container(pod: Pod, container: Container, seen: Observed, now: float) -> Document:
    known = seen.of(container.name)
    state, last = _states(pod, container, seen, now)
    status: Document = {
        "name": container.name,
        "image": container.image,
        "imageID": known.image_id,
        "ready": is_ready(pod, container, known),
        "started": known.running and known.started,
        "restartCount": known.run.attempt if known.run is not None else 0,
        "state": state,
        "lastState": last,
    }
    given = known.resources if known.running else None
    given = container.resources if given is None else given
    status["resources"] = _sides(given)
    if container.resources.requests:
        status["allocatedResources"] = dict(container.resources.requests)
    if known.run is not None and known.run.user:
        uid, gid, *groups = known.run.user
        status["user"] = {"linux": {"uid": uid, "gid": gid, "supplementalGroups": groups}}
    if known.run is not None:
        status["containerID"] = id_of(seen, container, known.run)
    if container.volume_mounts:
        status["volumeMounts"] = [_mounted(it) for it in container.volume_mounts]
    return status


def _mounted(mount: VolumeMount) -> Document:
    """Returns what a status tells of a mount (convertToAPIContainerStatuses)."""
    told: Document = {"name": mount.name, "mountPath": mount.mount_path}
    if mount.read_only:
        recursive = "Enabled" if is_recursive(mount) else "Disabled"
        told |= {"readOnly": True, "recursiveReadOnly": recursive}
    return told


def _sides(resources: ResourceRequirements) -> Document:
    sides = {"limits": resources.limits, "requests": resources.requests}
    return {name: dict(it) for name, it in sides.items() if it}


def is_ready(pod: Pod, container: Container, known: Seen) -> bool:
    """Whether a container counts as ready; an init container is when it has succeeded."""
    if containers.is_init(pod, container) and not containers.is_sidecar(container):
        return (run := known.exited) is not None and run.exit_code == 0
    if containers.is_ephemeral(pod, container):
        return False
    return known.running and known.started and known.ready


def _states(
    pod: Pod, container: Container, seen: Observed, now: float
) -> tuple[Document, Document]:
    """Returns the present state and the one before."""
    known = seen.of(container.name)
    last = _terminated(seen, container, known.last)
    run = known.run
    if run is not None and run.state == "running":
        return {"running": {"startedAt": rfc3339(run.started_at)}}, last
    if run is not None and not _waits_again(pod, container, seen):
        return _terminated(seen, container, run), last
    if known.trouble is not None:
        waiting = {"reason": known.trouble.reason, "message": known.trouble.message}
    elif run is not None and containers.restart_at(known) > now:
        waiting = {"reason": "CrashLoopBackOff", "message": backoff_message(container, seen)}
    elif run is not None and not run.again:
        return _terminated(seen, container, run), last
    else:  # what was ended to begin anew is never told as ended, which might not be taken back
        waiting = _not_yet(pod, seen)
    return {"waiting": waiting}, _terminated(seen, container, run)


def _waits_again(pod: Pod, container: Container, seen: Observed) -> bool:
    """Whether a container that has ended will run again."""
    ending = _is_stopping(pod, seen) or seen.ended is not None or is_finished(pod, seen)
    return not ending and not containers.is_done(pod, container, seen.of(container.name))


def _not_yet(pod: Pod, seen: Observed) -> Document:
    reason = "PodInitializing" if pod.spec.init_containers else "ContainerCreating"
    return {"reason": reason}


def backoff_message(container: Container, seen: Observed) -> str:
    """Returns why a container waits before it runs again."""
    wait = go_duration(seen.of(container.name).backoff)
    pod = f"{seen.name}_{seen.namespace}({seen.uid})"
    return f"back-off {wait} restarting failed container={container.name} pod={pod}"


def go_duration(seconds: float) -> str:
    """Returns whole seconds as Go prints a time.Duration: 10s, 2m40s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _terminated(seen: Observed, container: Container, run: Run | None) -> Document:
    if run is None:
        return {}
    told: Document = {"exitCode": run.exit_code, "reason": reason_of(run)}
    if run.signal:
        told["signal"] = run.signal
    if run.message:
        told["message"] = run.message
    if run.reason != UNKNOWN:  # of a lost run no times are known
        # A run that never began has the zero time of its runtime
        told["startedAt"] = rfc3339(run.started_at)
        told["finishedAt"] = rfc3339(run.finished_at)
    told["containerID"] = id_of(seen, container, run)
    return {"terminated": told}


def id_of(seen: Observed, container: Container, run: Run) -> str:
    """Returns the id of a run: its engine's own, or what is made of its names."""
    return run.id or container_id(seen.uid, container.name, run.attempt)


def reason_of(run: Run) -> str:
    """Returns why a run ended."""
    return run.reason or ("Completed" if run.exit_code == 0 else "Error")


# Conditions


def _conditions(pod: Pod, seen: Observed, phase: str, now: float) -> list[Document]:
    ready = _containers_ready(pod, seen, phase)
    has_sandbox = seen.sandbox is not None
    found: list[tuple[str, str, str, str]] = [
        ("PodReadyToStartContainers", _text(has_sandbox), "", ""),
        ("Initialized", *_initialized(pod, seen, phase)),
        ("Ready", *_ready(pod, ready)),
        ("ContainersReady", *ready),
        ("PodScheduled", "True", "", ""),
    ]
    if containers.may_restart_all(pod):
        found.append(("AllContainersRestarting", *_restarting(seen, phase)))
    if seen.ended is not None and seen.grace is not None:  # for the node's sake (KEP-3329)
        told = preemption.CONDITION if seen.ended[0] == preemption.REASON else seen.ended[1]
        found.append(("DisruptionTarget", "True", "TerminationByKubelet", told))
    resizing = telling.render_conditions(pod, seen, now)
    return [*resizing, *(_condition(pod, *it, now) for it in found)]


def _text(state: bool) -> str:
    return "True" if state else "False"


def _initialized(pod: Pod, seen: Observed, phase: str) -> tuple[str, str, str]:
    if not pod.spec.init_containers or is_initialized(pod, seen):
        return "True", "PodCompleted" if phase == "Succeeded" else "", ""
    if containers.may_restart_all(pod) and _was(pod, "Initialized"):
        return "True", "", ""  # what was initialized stays so while all containers begin anew
    waiting = [
        it.name
        for it in pod.spec.init_containers
        if not containers.is_past(pod, it, seen.of(it.name))
    ]
    return "False", "ContainersNotInitialized", f"containers with incomplete status: {_go(waiting)}"


def _was(pod: Pod, kind: str) -> bool:
    """Whether a condition was true when it was last told."""
    old = condition(pod.status.conditions, kind)
    return old is not None and old.status == "True"


def _restarting(seen: Observed, phase: str) -> tuple[str, str, str]:
    if phase in ENDED:
        return "False", "PodCompleted" if phase == "Succeeded" else "PodFailed", ""
    if seen.restarting:
        why = "container exited with restart policy rule"
        return "True", "RestartAllContainersStarted", why
    return "False", "", ""


def _containers_ready(pod: Pod, seen: Observed, phase: str) -> tuple[str, str, str]:
    if phase in ENDED:
        return "False", "PodCompleted" if phase == "Succeeded" else "PodFailed", ""
    serving = [it for it in pod.spec.init_containers if containers.is_sidecar(it)]
    serving += pod.spec.containers
    unready = [it.name for it in serving if not is_ready(pod, it, seen.of(it.name))]
    if not unready:
        return "True", "", ""
    return "False", "ContainersNotReady", f"containers with unready status: {_go(unready)}"


def _ready(pod: Pod, ready: tuple[str, str, str]) -> tuple[str, str, str]:
    """Returns the Ready condition: the containers' and that of every readiness gate."""
    if ready[0] != "True":
        return ready
    if closed := closed_gates(pod):
        return "False", GATES, closed
    return ready


def _go(names: Sequence[str]) -> str:
    """Returns names as Go prints a slice."""
    return f"[{' '.join(names)}]"


def _condition(pod: Pod, kind: str, status: str, reason: str, message: str, now: float) -> Document:
    old = condition(pod.status.conditions, kind)
    made: Document = {
        "type": kind,
        "status": status,
        "observedGeneration": pod.metadata.generation,
        "lastTransitionTime": _transition(old, status, now),
        "lastProbeTime": None,
    }
    # A merge patch takes a field away only where it says null
    for name, value, before in (
        ("reason", reason, old.reason if old else ""),
        ("message", message, old.message if old else ""),
    ):
        if value or before:
            made[name] = value or None
    return made


def _transition(old: Condition | None, status: str, now: float) -> str:
    if old is not None and old.status == status and old.last_transition_time is not None:
        return rfc3339(old.last_transition_time.timestamp())
    return rfc3339(now)


def same(one: Document | None, other: Document) -> bool:
    """Whether two statuses tell the same, but for the times at which it was told."""
    return one is not None and _timeless(one) == _timeless(other)


def _timeless(status: Document) -> Document:
    conditions = [
        {name: value for name, value in it.items() if name != "lastTransitionTime" and value}
        for it in status["conditions"]
    ]
    return {**status, "conditions": conditions}
