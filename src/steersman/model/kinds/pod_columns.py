"""What `kubectl get pods` shows: readiness, the one word of status, restarts, places.

Source: printPod in pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from steersman.model.kind import Column, Document
from steersman.model.kinds.printing import (
    AGE,
    NAME,
    NONE,
    at,
    is_true,
    since,
    text,
)
from steersman.model.times import seconds_of

_ENDED: Final = ("Succeeded", "Failed")


class Summary(NamedTuple):
    """How many containers are ready of how many, the pod's one word, and its restarts."""

    ready: int
    total: int
    reason: str
    restarts: int
    last_restart: str


class _Restarts:
    """Counts restarts and keeps the latest end of a container."""

    def __init__(self) -> None:
        self.count = 0
        self.last = ""

    def add(self, status: Document) -> None:
        self.count += status.get("restartCount", 0)
        ended = at(status, "lastState", "terminated", "finishedAt") or ""
        if ended and (not self.last or seconds_of(ended) > seconds_of(self.last)):
            self.last = ended


def summarize(pod: Document) -> Summary:
    """Returns what the columns say of a pod."""
    spec, status = pod.get("spec", {}), pod.get("status", {})
    sidecars = {
        one.get("name")
        for one in spec.get("initContainers") or ()
        if one.get("restartPolicy") == "Always"
    }
    restarts, of_sidecars = _Restarts(), _Restarts()
    ready, initializing = _initialize(pod, sidecars, restarts, of_sidecars)
    reason = initializing or _own_reason(status)
    if not initializing or is_true(status.get("conditions"), "Initialized"):
        restarts = of_sidecars
        running, reason = _run(status, reason, restarts)
        ready += running
    return Summary(
        ready,
        len(spec.get("containers") or ()) + len(sidecars),
        _deleting(pod) or reason,
        restarts.count,
        restarts.last,
    )


def _own_reason(status: Document) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            return "SchedulingGated"
    return status.get("reason") or status.get("phase") or ""


def _deleting(pod: Document) -> str:
    if not at(pod, "metadata", "deletionTimestamp"):
        return ""
    status = pod.get("status", {})
    if status.get("reason") == "NodeLost":
        return "Unknown"
    return "" if status.get("phase") in _ENDED else "Terminating"


def _initialize(
    pod: Document, sidecars: set[str], restarts: _Restarts, of_sidecars: _Restarts
) -> tuple[int, str]:
    """Returns how many sidecars are ready, and what the init containers wait for."""
    ready = 0
    for index, status in enumerate(at(pod, "status", "initContainerStatuses") or ()):
        restarts.add(status)
        sidecar = status.get("name") in sidecars
        if sidecar:
            of_sidecars.add(status)
        state = status.get("state") or {}
        if (ended := state.get("terminated")) and not ended.get("exitCode"):
            continue
        if sidecar and status.get("started"):
            ready += bool(status.get("ready"))
            continue
        waiting = at(state, "waiting", "reason") or ""
        if ended:
            return ready, f"Init:{_ending(ended)}"
        if waiting and waiting != "PodInitializing":
            return ready, f"Init:{waiting}"
        return ready, f"Init:{index}/{len(at(pod, 'spec', 'initContainers') or ())}"
    return ready, ""


def _ending(ended: Document) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    if ended.get("signal"):
        return f"Signal:{ended['signal']}"
    return f"ExitCode:{ended.get('exitCode', 0)}"


def _run(status: Document, reason: str, restarts: _Restarts) -> tuple[int, str]:
    """Returns how many main containers are ready, and the pod's word."""
    ready = 0
    for found in reversed(status.get("containerStatuses") or ()):
        restarts.add(found)
        state = found.get("state") or {}
        if at(state, "waiting", "reason"):
            reason = state["waiting"]["reason"]
        elif state.get("terminated") is not None:
            reason = _ending(state["terminated"])
        elif found.get("ready") and state.get("running") is not None:
            ready += 1
    if reason == "Completed" and ready:
        reason = "Running" if is_true(status.get("conditions"), "Ready") else "NotReady"
    return ready, reason


class _Latest:
    """The summary of the pod that was asked about last: three columns of one row ask in turn."""

    def __init__(self) -> None:
        self._pod: Document | None = None
        self._summary = Summary(0, 0, "", 0, "")

    def of(self, pod: Document) -> Summary:
        """Returns the summary of a pod that nobody changes while its row is made."""
        if pod is not self._pod:
            self._pod, self._summary = pod, summarize(pod)
        return self._summary


_summary: Final = _Latest().of


def _ready(pod: Document, _now: float) -> str:
    found = _summary(pod)
    return f"{found.ready}/{found.total}"


def _status(pod: Document, _now: float) -> str:
    return _summary(pod).reason


def _restarts(pod: Document, now: float) -> str:
    found = _summary(pod)
    if not found.restarts or not found.last_restart:
        return str(found.restarts)
    return f"{found.restarts} ({since(found.last_restart, now)} ago)"


def _address(pod: Document, _now: float) -> str:
    addresses = at(pod, "status", "podIPs") or [{}]
    return addresses[0].get("ip") or NONE


def _gates(pod: Document, _now: float) -> str:
    gates = at(pod, "spec", "readinessGates") or ()
    if not gates:
        return NONE
    conditions = at(pod, "status", "conditions")
    passed = sum(is_true(conditions, gate.get("conditionType", "")) for gate in gates)
    return f"{passed}/{len(gates)}"


COLUMNS: Final = (
    NAME,
    Column(
        "Ready",
        _ready,
        description="The aggregate readiness state of this pod for accepting traffic.",
    ),
    Column("Status", _status, description="The aggregate status of the containers in this pod."),
    Column(
        "Restarts",
        _restarts,
        description="The number of times the containers in this pod have been restarted and when "
        "the last container in this pod has restarted.",
    ),
    AGE,
    Column("IP", _address, priority=1),
    text("Node", "spec", "nodeName", default=NONE, priority=1),
    text("Nominated Node", "status", "nominatedNodeName", default=NONE, priority=1),
    Column("Readiness Gates", _gates, priority=1),
)
