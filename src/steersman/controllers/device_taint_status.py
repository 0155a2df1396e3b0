"""What is told of a DeviceTaintRule: its condition EvictionInProgress (KEP-5055). Pure; words and
pace are those of pkg/controller/devicetainteviction."""

from __future__ import annotations

from typing import Final, NamedTuple

from steersman.controllers import conditions
from steersman.model.kinds.devicetaintrule import DEVICETAINTRULE, DeviceTaintRule
from steersman.model.times import rfc3339, seconds
from steersman.model.types.condition import Condition, condition
from steersman.reconcile.actions import Patch

CONDITION: Final = "EvictionInProgress"
# So long one text stands before it is replaced: pods go one after another
PERIOD_SECONDS: Final = 10.0
_ONCE: Final = (
    "if the effect was NoExecute. This information will not be updated again. Recreate the "
    "DeviceTaintRule to trigger an update."
)


class Counts(NamedTuple):
    """What a rule comes to: devices in slices and in claims that it taints, pods that are to go
    (or would be) and their namespaces, pods that went since the controller was started."""

    published: int = 0
    allocated: int = 0
    pods: int = 0
    namespaces: int = 0
    evicted: int = 0


def stands_for(rule: DeviceTaintRule, now: float) -> float:
    """Returns for how many seconds more the present text stands; 0 where it may be replaced."""
    found = _present(rule)
    if found is None or found.observed_generation != rule.metadata.generation:
        return 0.0
    return max(0.0, seconds(found.last_transition_time) + PERIOD_SECONDS - now)


def is_told(rule: DeviceTaintRule) -> bool:
    """Says whether a rule that evicts nobody has had its one text."""
    found = _present(rule)
    told = found is not None and found.observed_generation == rule.metadata.generation
    return told and rule.spec.taint.effect != "NoExecute"


def plan(rule: DeviceTaintRule, counts: Counts, now: float) -> Patch | None:
    """Returns what writes the condition, None where it says all this already."""
    status, reason, message = describe(rule.spec.taint.effect, counts)
    generation = rule.metadata.generation
    old = _present(rule)
    if old is not None and (status, reason, message, generation) == (
        old.status,
        old.reason,
        old.message,
        old.observed_generation,
    ):
        return None
    made = {
        "type": CONDITION,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": rfc3339(now),  # of any change, as upstream has it
    }
    others = conditions.without(conditions.documents(rule.status.conditions), CONDITION)
    patch = {"status": {"conditions": [*others, made]}}
    metadata = rule.metadata
    ref = DEVICETAINTRULE.ref(*rule.key)
    return Patch(ref, patch, "status", metadata.uid, metadata.revision)


def describe(effect: str, counts: Counts) -> tuple[str, str, str]:
    """Returns status, reason and message of the condition."""
    status, reason, message = _eviction(effect, counts)
    if counts.evicted:
        gone = f"{_pods(counts.evicted)} evicted since starting the controller."
        message = f"{message} {gone}" if message else gone
    return status, reason, message


def _eviction(effect: str, counts: Counts) -> tuple[str, str, str]:
    pods, spaces = _pods(counts.pods), _namespaces(counts.namespaces)
    if effect == "None":
        devices = f"{_devices(counts.published, 'published')} "
        devices += f"{_devices(counts.allocated, 'allocated')} "
        return "False", "NoEffect", f"{devices}{pods} would be evicted in {spaces} {_ONCE}"
    if effect != "NoExecute":
        return "False", "OtherEffect", "Eviction only happens for the NoExecute effect."
    if counts.pods:
        verb = "needs" if counts.pods == 1 else "need"
        return "True", "PodsPendingEviction", f"{pods} {verb} to be evicted in {spaces}."
    return "False", "Completed" if counts.evicted else "NotStarted", ""


def _pods(number: int) -> str:
    return "1 pod" if number == 1 else f"{number} pods"


def _namespaces(number: int) -> str:
    return "1 namespace" if number == 1 else f"{number} different namespaces"


def _devices(number: int, kind: str) -> str:
    return f"{number} {kind} device{'' if number == 1 else 's'} selected."


def _present(rule: DeviceTaintRule) -> Condition | None:
    return condition(rule.status.conditions, CONDITION)
