"""The life of a pod on a simulated node: pure, a function of the times that were drawn for it.

Nothing runs; the status says what a kubelet would say.
"""

from __future__ import annotations

import msgspec

from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.times import rfc3339
from steersman.model.types.condition import condition
from steersman.model.types.container import Container
from steersman.node.readiness import GATES, closed_gates
from steersman.node.simulated.behaviour import NOTHING, Script

FIRST_RESTART_SECONDS = 10.0  # kubelet's back-off of containers
LAST_RESTART_SECONDS = 300.0
ENDED = ("Succeeded", "Failed")
NEVER = float("inf")
EVICTED = "Evicted"
# kubelet's words (pkg/kubelet/eviction/helpers.go), for its default threshold
LOW_ON_MEMORY = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. "
KILLED = 137  # by SIGKILL


class Life(msgspec.Struct):
    """What was drawn for a pod, in cluster time; None stands for never.

    script:     what was said of the pod
    exit_code:  that of the end at `ends_at`; 0 means success
    pull_fails: why the image cannot be had; empty: it can
    pulls_at:   when it is asked for next; `failures` says how often it was
    evicts_at:  when its node is short of memory
    """

    address: str
    began_at: float
    runs_at: float
    ready_at: float
    ends_at: float | None = None
    exit_code: int = 0
    restarts: int = 0
    stops_at: float | None = None
    pull_fails: str = ""
    pulls_at: float | None = None
    failures: int = 0
    evicts_at: float | None = None
    uid: str = ""
    script: Script = NOTHING

    def next(self, now: float) -> float | None:
        """Returns when something changes next."""
        times = (self.runs_at, self.ready_at, self.ends_at, self.stops_at, self.evicts_at)
        own = (self.pulls_at, *times) if self.pull_fails else times
        coming = (time for time in own if time is not None and now < time < NEVER)
        return min(coming, default=None)

    def evicted(self, now: float) -> bool:
        """Says whether the pod has been evicted."""
        return self.evicts_at is not None and now >= self.evicts_at

    def ended(self, now: float) -> bool:
        """Says whether the containers' present run is over."""
        return self.ends_at is not None and now >= self.ends_at


def restart_delay(restarts: int) -> float:
    """Returns how long a container that ended so often waits before it runs again."""
    return float(min(FIRST_RESTART_SECONDS * 2 ** min(restarts, 10), LAST_RESTART_SECONDS))


def starts_again(pod: Pod, exit_code: int) -> bool:
    """Says whether the restart policy wants another run after an end."""
    policy = pod.spec.restart_policy
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def phase_of(pod: Pod, life: Life, now: float) -> str:
    """Returns the pod's phase."""
    if now < life.runs_at and not life.restarts:
        return "Pending"
    if life.ended(now) and not starts_again(pod, life.exit_code):
        return "Failed" if life.exit_code else "Succeeded"
    return "Running"


def plan_status(pod: Pod, life: Life, node_address: str, now: float) -> Document | None:
    """Returns the strategic merge patch of the status, None where it says all this already."""
    if life.evicted(now):
        return plan_evicted(pod, life, now)
    phase = phase_of(pod, life, now)
    serves = phase == "Running" and life.runs_at <= life.ready_at <= now and not life.ended(now)
    closed = closed_gates(pod)
    if _says(pod, phase, serves and not closed, life, now):
        return None
    address = node_address if pod.spec.host_network else life.address
    status: Document = {
        "phase": phase,
        "observedGeneration": pod.metadata.generation,
        "hostIP": node_address,
        "hostIPs": [{"ip": node_address}],
        "startTime": rfc3339(life.began_at),
        "conditions": _conditions(pod, phase, serves, closed, now),
        "containerStatuses": [_container(pod, it, life, serves, now) for it in pod.spec.containers],
    }
    if phase != "Pending":
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    if pod.spec.init_containers:
        status["initContainerStatuses"] = [
            _initialized(it, life, now) for it in pod.spec.init_containers
        ]
    return {"status": status}


def _says(pod: Pod, phase: str, ready: bool, life: Life, now: float) -> bool:
    """Says whether the present status tells the same state."""
    old = pod.status
    found = condition(old.conditions, "Ready")
    is_ready = found is not None and found.status == "True"
    running = bool(old.container_statuses) and all(
        it.state.running is not None for it in old.container_statuses
    )
    restarts = max((it.restart_count for it in old.container_statuses), default=0)
    runs = life.runs_at <= now and not life.ended(now)
    waits = next((it.state.waiting for it in old.container_statuses), None)
    told = (old.phase, is_ready, running, restarts, old.observed_generation, bool(old.host_ip))
    wanted = (phase, ready, runs, life.restarts, pod.metadata.generation, True)
    return told == wanted and (waits is None or waits.reason == _waiting(life)["reason"])


def _conditions(pod: Pod, phase: str, serves: bool, closed: str, now: float) -> list[Document]:
    why = "PodCompleted" if phase in ENDED else "ContainersNotReady"
    names = ", ".join(it.name for it in pod.spec.containers)
    text = "" if phase in ENDED else f"containers with unready status: [{names}]"
    states = {
        "PodReadyToStartContainers": (phase == "Running", "", ""),
        "Initialized": (not pod.spec.init_containers or phase != "Pending", "", ""),
        "Ready": (serves and not closed, GATES, closed) if serves else (False, why, text),
        "ContainersReady": (serves, why, text),
        "PodScheduled": (True, "", ""),
    }
    return [_condition(pod, kind, *state, now) for kind, state in states.items()]


def _condition(pod: Pod, kind: str, state: bool, reason: str, message: str, now: float) -> Document:
    item: Document = {
        "type": kind,
        "status": "True" if state else "False",
        "observedGeneration": pod.metadata.generation,
        "reason": None if state else reason or None,
        "message": None if state else message or None,
    }
    old = condition(pod.status.conditions, kind)
    if old is None or old.status != item["status"]:
        item["lastTransitionTime"] = rfc3339(now)
    return {name: value for name, value in item.items() if value or old is not None}


def _container(pod: Pod, container: Container, life: Life, ready: bool, now: float) -> Document:
    state, last = _states(life, container.image, now)
    runs = "running" in state
    made: Document = {
        "name": container.name,
        "image": container.image,
        "imageID": f"simulated://{container.image}",
        "ready": ready,
        "started": runs,
        "restartCount": life.restarts,
        "state": state,
    }
    if runs:
        made |= _has(container)
    if runs or life.restarts:
        made["containerID"] = _id(pod, container.name, life)
    return {**made, **({"lastState": last} if last else {})}


def _has(container: Container) -> Document:
    """Returns what a container was given: what it asks for, also where that changed meanwhile."""
    asked = container.resources
    sides = {"limits": dict(asked.limits), "requests": dict(asked.requests)}
    has = {"resources": {name: amounts for name, amounts in sides.items() if amounts}}
    return has | ({"allocatedResources": sides["requests"]} if asked.requests else {})


def _id(pod: Pod, name: str, life: Life) -> str:
    return f"simulated://{pod.metadata.uid}/{name}/{life.restarts}"


def _states(life: Life, image: str, now: float) -> tuple[Document, Document]:
    """Returns the state of the containers and the one before."""
    last: Document = {}
    if life.restarts:
        last = {"terminated": {"exitCode": life.exit_code, "reason": _reason(life.exit_code)}}
    if now < life.runs_at:
        return {"waiting": _waiting(life, image)}, last
    if not life.ended(now):
        return {"running": {"startedAt": rfc3339(life.runs_at)}}, last
    return _terminated(life, life.exit_code, life.ends_at or now), last


def _waiting(life: Life, image: str = "") -> Document:
    """Returns why a container does not run yet, in kubelet's words."""
    if not life.failures:
        return {"reason": "CrashLoopBackOff" if life.restarts else "ContainerCreating"}
    if life.failures == 1:
        return {"reason": "ErrImagePull", "message": life.pull_fails}
    text = f'Back-off pulling image "{image}": ErrImagePull: {life.pull_fails}'
    return {"reason": "ImagePullBackOff", "message": text}


def _terminated(life: Life, exit_code: int, at: float) -> Document:
    """Returns the state of a container that ended."""
    end = {
        "exitCode": exit_code,
        "reason": _reason(exit_code),
        "startedAt": rfc3339(min(life.runs_at, at)),
        "finishedAt": rfc3339(at),
    }
    return {"terminated": end}


def _reason(exit_code: int) -> str:
    return "Error" if exit_code else "Completed"


def _initialized(container: Container, life: Life, now: float) -> Document:
    done = now >= life.runs_at
    state: Document = {"waiting": {"reason": "PodInitializing"}}
    sidecar = container.restart_policy == "Always"
    if done and sidecar:
        state = {"running": {"startedAt": rfc3339(life.runs_at)}}
    elif done:
        state = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    return {
        "name": container.name,
        "image": container.image,
        "imageID": f"simulated://{container.image}",
        "ready": done,
        "started": done and sidecar,
        "restartCount": 0,
        "state": state,
    }


def plan_evicted(pod: Pod, life: Life, now: float) -> Document | None:
    """Returns the status of a pod that its node evicts, None where it has ended already."""
    if pod.status.phase in ENDED:
        return None
    target = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
    target |= {"message": LOW_ON_MEMORY, "lastTransitionTime": rfc3339(now)}
    return {
        "status": {
            "phase": "Failed",
            "reason": EVICTED,
            "message": LOW_ON_MEMORY,
            "conditions": [*_conditions(pod, "Failed", False, "", now), target],
            "containerStatuses": _all_ended(pod, life, KILLED, now),
        }
    }


def plan_stopped(pod: Pod, life: Life, now: float) -> Document | None:
    """Returns the last status of a pod that is being deleted, None where it has ended already."""
    if pod.status.phase in ENDED:
        return None
    if not pod.status.container_statuses:  # it never began; who counts pods is to know its end
        return {"status": {"phase": "Failed"}}
    ended = _all_ended(pod, life, life.exit_code, now)
    conditions = _conditions(pod, "Succeeded", False, "", now)
    return {"status": {"phase": "Succeeded", "conditions": conditions, "containerStatuses": ended}}


def _all_ended(pod: Pod, life: Life, exit_code: int, now: float) -> list[Document]:
    """Returns the statuses of containers that their node has ended."""
    end = {"started": False, "state": _terminated(life, exit_code, now)}
    return [{**_container(pod, it, life, False, now), **end} for it in pod.spec.containers]
