"""What a worker's doings are called where they are counted: kubelet's words for a sync of a pod
(SyncPodType) and for what its runtime is asked for (instrumented_services.go)."""

from __future__ import annotations

from typing import Final

from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.node.measure.counts import Counts
from steersman.node.observed import Observed
from steersman.node.plan import (
    Action,
    DeletePod,
    KillContainer,
    ResizePod,
    StartContainer,
    StartSandbox,
    TearDown,
)

_OPERATIONS: Final = {
    StartSandbox: "run_podsandbox",
    StartContainer: "start_container",
    KillContainer: "stop_container",
    ResizePod: "update_container_resources",
    TearDown: "remove_podsandbox",
}


def count(counts: Counts, pod: Pod, action: Action, seconds: float, *, failed: bool) -> None:
    """Counts one thing that the worker of a pod has done."""
    if (operation := _OPERATIONS.get(type(action))) is not None:
        counts.operated(operation, seconds, failed=failed)
    counts.worked(kind_of(pod, action), seconds)


def kind_of(pod: Pod, action: Action) -> str:
    """Returns what something is done for."""
    if isinstance(action, KillContainer | TearDown | DeletePod):
        return "kill"
    if isinstance(action, ResizePod):
        return "update"
    return "create" if pod.status.phase in ("", "Pending") else "sync"


def count_start(counts: Counts, pod: Pod, seen: Observed, status: Document, now: float) -> None:
    """Counts that a pod runs, where it did not when the API heard of it last."""
    if status["phase"] == "Running" and pod.status.phase in ("", "Pending"):
        counts.started(now - seen.began_at)
