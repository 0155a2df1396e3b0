"""How many pods of a budget may be disrupted now: what is expected, healthy, wanted. Pure.

Follows pkg/controller/disruption/disruption.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from steersman.controllers import conditions, pods
from steersman.controllers.deployment_bounds import scaled
from steersman.model.kind import Document
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.poddisruptionbudget import PODDISRUPTIONBUDGET, PodDisruptionBudget
from steersman.model.times import rfc3339, seconds
from steersman.model.types.condition import condition
from steersman.reconcile.actions import Patch, Tell, status

DELETION_SECONDS = 120.0  # upstream DeletionTimeout: an evicted pod that is still there was not
STALE_SECONDS = 120.0  # upstream stalePodDisruptionTimeout
ALLOWED = "DisruptionAllowed"
UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a "
    "result, the status of the PDB cannot be calculated correctly, which may result in undefined "
    'behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an '
    "integer value."
)


class NotCountable(Exception):
    """It cannot be told how many pods there should be; the message is upstream's."""


class Expected(msgspec.Struct, frozen=True):
    """How many pods there should be, how many of them healthy, and which nobody manages."""

    pods: int
    healthy: int
    unmanaged: Sequence[Pod] = ()


class Scale(msgspec.Struct, frozen=True):
    """An owner of pods that can be scaled: its uid and the pods it shall have."""

    uid: str
    replicas: int


def expect(
    budget: PodDisruptionBudget, covered: Sequence[Pod], scales: Mapping[str, Scale]
) -> Expected:
    """Returns what a budget asks of its pods; `scales` are the owners by uid of the pod."""
    most, least = budget.spec.max_unavailable, budget.spec.min_available
    total = len(covered)
    if most is None and (least is None or isinstance(least, int)):
        return Expected(total, least or 0)
    unmanaged = tuple(pod for pod in covered if pod.metadata.controller is None)
    owners = {it.uid: it.replicas for it in scales.values()}
    total = sum(owners.values())
    if most is not None:
        return Expected(total, max(0, total - scaled(most, total, up=True)), unmanaged)
    return Expected(total, scaled(least or 0, total, up=True), unmanaged)


def plan_disrupted(
    budget: PodDisruptionBudget, covered: Sequence[Pod], now: float
) -> tuple[dict[str, float], list[Tell]]:
    """Returns the pods whose eviction was granted and that are still to be deleted; what was not
    deleted in time is told."""
    kept: dict[str, float] = {}
    told: list[Tell] = []
    granted = {name: seconds(time) for name, time in budget.status.disrupted_pods.items()}
    for pod in covered:
        since = granted.get(pod.metadata.name)
        if since is None or pods.is_terminating(pod):
            continue
        if since + DELETION_SECONDS < now:
            of = f"{budget.metadata.namespace}/{budget.metadata.name}"
            text = f"Pod was expected by PDB {of} to be deleted but it wasn't"
            told.append(Tell(pod, "NotDeleted", text, "Warning"))
        else:
            kept[pod.metadata.name] = since
    return kept, told


def healthy(covered: Sequence[Pod], disrupted: Mapping[str, float]) -> int:
    """Returns the pods that are ready and stay."""
    return sum(
        pods.is_ready(pod) and not pods.is_terminating(pod) and pod.metadata.name not in disrupted
        for pod in covered
    )


def plan_status(
    budget: PodDisruptionBudget,
    expected: Expected,
    current: int,
    disrupted: Mapping[str, float],
    now: float,
) -> Patch | None:
    """Returns the patch of the status, None where it is right.

    Where no pods are expected none may be disrupted: the first ones may only not be counted yet.
    """
    allowed = max(0, current - expected.healthy) if expected.pods > 0 else 0
    new: Document = {
        "currentHealthy": current,
        "desiredHealthy": expected.healthy,
        "expectedPods": expected.pods,
        "disruptionsAllowed": allowed,
        "observedGeneration": budget.metadata.generation,
    }
    if disrupted:
        new["disruptedPods"] = {name: rfc3339(time) for name, time in disrupted.items()}
    state, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    new["conditions"] = _allowed(budget, state, reason, "", now)
    return _patch(budget, new)


def plan_failed(budget: PodDisruptionBudget, message: str, now: float) -> Patch | None:
    """Returns the patch that allows nothing where the pods cannot be counted."""
    new = {**_old(budget), "disruptionsAllowed": 0}
    new["conditions"] = _allowed(budget, "False", "SyncFailed", message, now)
    return _patch(budget, new)


def _allowed(
    budget: PodDisruptionBudget, state: str, reason: str, message: str, now: float
) -> list[Document]:
    old = _conditions(budget)
    present = conditions.find(old, ALLOWED)
    kept = present is not None and present["status"] == state
    made = {
        "type": ALLOWED,
        "status": state,
        "observedGeneration": budget.metadata.generation,
        "lastTransitionTime": present["lastTransitionTime"] if kept and present else rfc3339(now),
        "reason": reason,
        "message": message,
    }
    return [*conditions.without(old, ALLOWED), made]


def _conditions(budget: PodDisruptionBudget) -> list[Document]:
    return [{"message": "", **conditions.document(it)} for it in budget.status.conditions]


def _old(budget: PodDisruptionBudget) -> Document:
    old = budget.status
    found: Document = {
        "currentHealthy": old.current_healthy,
        "desiredHealthy": old.desired_healthy,
        "expectedPods": old.expected_pods,
        "disruptionsAllowed": old.disruptions_allowed,
        "observedGeneration": old.observed_generation,
    }
    if old.disrupted_pods:
        named = old.disrupted_pods.items()
        found["disruptedPods"] = {name: rfc3339(seconds(time)) for name, time in named}
    if old.conditions:
        found["conditions"] = _conditions(budget)
    return found


def _patch(budget: PodDisruptionBudget, new: Document) -> Patch | None:
    old = _old(budget)
    changed = conditions.changes(old, new)
    if not changed:
        return None
    if changed.get("disruptedPods"):  # a merge patch takes away only what it names
        gone = dict.fromkeys(old.get("disruptedPods", {}))
        changed["disruptedPods"] = {**gone, **changed["disruptedPods"]}
    metadata = budget.metadata
    ref = PODDISRUPTIONBUDGET.ref(*budget.key)
    return status(ref, changed, uid=metadata.uid, revision=metadata.revision)


def stale_in(pod: Pod, now: float) -> float | None:
    """Returns the seconds until a pod that was said to be disrupted is not thought to be any more
    (0: now), None where that is not said of it."""
    found = condition(pod.status.conditions, "DisruptionTarget")
    ended = pod.status.phase in ("Succeeded", "Failed")
    if found is None or found.status != "True" or ended or pods.is_terminating(pod):
        return None
    return max(0.0, seconds(found.last_transition_time) + STALE_SECONDS - now)


def plan_stale(pod: Pod, now: float) -> Patch:
    """Returns the patch that takes back what was said of a pod that was not disrupted."""
    made = {"type": "DisruptionTarget", "status": "False", "lastTransitionTime": rfc3339(now)}
    patch = {"status": {"conditions": [{**made, "reason": None, "message": None}]}}
    return Patch(POD.ref(*pod.key), patch, "status", pod.metadata.uid, how="strategic")
