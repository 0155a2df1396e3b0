"""What an autoscaler decides and says, once it is known how many replicas its metrics ask for.

Pure; conditions and events in the words of pkg/controller/podautoscaler/horizontal.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from steersman.controllers import conditions
from steersman.controllers.autoscaler_bounds import Bounds, History, normalize
from steersman.controllers.autoscaler_replicas import Tolerance
from steersman.model.kind import Document
from steersman.model.kinds.horizontalpodautoscaler import HorizontalPodAutoscaler
from steersman.model.quantity import parse
from steersman.model.times import rfc3339, seconds
from steersman.model.types.condition import is_true

ABLE, ACTIVE, LIMITED = "AbleToScale", "ScalingActive", "ScalingLimited"
ZERO = "ScaledToZero"
DEFAULT_TOLERANCE: Final = 0.1  # --horizontal-pod-autoscaler-tolerance


class Scale(msgspec.Struct, frozen=True):
    """What the scale of a target says: how many replicas it wants, how many there are, and which
    pods they are; `document` is the whole of it."""

    wanted: int
    running: int
    selector: str
    document: Document


class Proposal(msgspec.Struct, frozen=True):
    """What one metric asks for: so many replicas, by its name, with its status."""

    replicas: int
    metric: str
    status: Document


class Refusal(msgspec.Struct, frozen=True):
    """Why one metric asks for nothing: the condition's reason, what went wrong, and that with
    the metric it was."""

    reason: str
    error: str
    whole: str


class Said(msgspec.Struct, frozen=True):
    """An event."""

    type: str
    reason: str
    note: str


class Draft(msgspec.Struct, frozen=True):
    """The status that an autoscaler is to have, what is told on the way, and its history."""

    status: Document
    history: History
    told: tuple[Said, ...] = ()

    def put(self, type: str, status: str, reason: str, message: str, now: float) -> Draft:
        """Returns the draft with a condition; it keeps its place and the time of its change."""
        made: Document = {"type": type, "status": status, "lastTransitionTime": rfc3339(now)}
        made |= {"reason": reason, "message": message}
        present: list[Document] = self.status.get("conditions") or []
        found = [made if one["type"] == type else one for one in present]
        old = conditions.find(present, type)
        if old is None:
            found.append(made)
        elif old["status"] == status and "lastTransitionTime" in old:
            made["lastTransitionTime"] = old["lastTransitionTime"]
        return replace(self, status={**self.status, "conditions": found})

    def tell(self, reason: str, note: str, type: str = "Warning") -> Draft:
        """Returns the draft with an event."""
        return replace(self, told=(*self.told, Said(type, reason, note)))

    def set(self, **fields: Any) -> Draft:
        """Returns the draft with other fields of its status."""
        return replace(self, status={**self.status, **fields})


class Decision(msgspec.Struct, frozen=True):
    """What is to be done: scale to `replicas` for a reason (None: leave it), and what the status
    is if that succeeds."""

    draft: Draft
    replicas: int | None = None
    reason: str = ""


def begin(hpa: HorizontalPodAutoscaler, history: History) -> Draft:
    """Returns the draft that says what the status says."""
    status = hpa.status
    found: Document = {
        "currentReplicas": status.current_replicas,
        "desiredReplicas": status.desired_replicas,
        "conditions": conditions.documents(status.conditions),
        "currentMetrics": [dict(one) for one in status.current_metrics],
    }
    if generation := hpa.metadata.generation:
        found["observedGeneration"] = generation
    if status.last_scale_time is not None:
        found["lastScaleTime"] = rfc3339(seconds(status.last_scale_time))
    return Draft(found, history)


def tolerance_of(hpa: HorizontalPodAutoscaler) -> Tolerance:
    """Returns how exact the metrics of an autoscaler are taken (KEP-4951)."""
    behavior = hpa.spec.behavior or {}

    def one(name: str) -> float:
        text = (behavior.get(name) or {}).get("tolerance")
        return DEFAULT_TOLERANCE if text is None else parse(text).nanos / 1e9

    return Tolerance(one("scaleUp"), one("scaleDown"))


def without_scale(draft: Draft, error: str, now: float) -> Draft:
    """Says that the target's scale could not be read."""
    message = f"the HPA controller was unable to get the target's current scale: {error}"
    draft = draft.tell("FailedGetScale", error)
    return draft.put(ABLE, "False", "FailedGetScale", message, now)


def with_scale(draft: Draft, scale: Scale, now: float) -> Draft:
    """Says that the target's scale was read, and remembers it where nothing is remembered."""
    message = "the HPA controller was able to get the target's current scale"
    draft = draft.put(ABLE, "True", "SucceededGetScale", message, now)
    if draft.history.asked:
        return draft
    return replace(draft, history=replace(draft.history, asked=((now, scale.wanted),)))


def without_metrics(hpa: HorizontalPodAutoscaler, scale: Scale) -> tuple[int, str] | None:
    """Returns the replicas and the reason where the bounds alone decide; the reason is empty where
    scaling is switched off. None where metrics are to be asked."""
    spec = hpa.spec
    if scale.wanted == 0:
        zeroed = is_true(hpa.status.conditions, ZERO)
        return None if zeroed and (spec.min_replicas or _is_told_at_zero(hpa)) else (0, "")
    if scale.wanted > spec.max_replicas:
        return spec.max_replicas, "Current number of replicas above Spec.MaxReplicas"
    if scale.wanted < spec.min_replicas:
        return spec.min_replicas, "Current number of replicas below Spec.MinReplicas"
    return None


def _is_told_at_zero(hpa: HorizontalPodAutoscaler) -> bool:
    """Says whether a metric says something though there are no pods (KEP-2021)."""
    return any(metric.get("type") in ("Object", "External") for metric in hpa.spec.metrics)


def decide_by_bounds(draft: Draft, scale: Scale, found: tuple[int, str], now: float) -> Decision:
    """Decides where no metric was asked."""
    replicas, reason = found
    if not reason:
        message = "scaling is disabled since the replica count of the target is zero"
        draft = draft.put(ACTIVE, "False", "ScalingDisabled", message, now)
        return Decision(draft.set(currentReplicas=0, desiredReplicas=0, currentMetrics=[]))
    draft = draft.set(currentReplicas=scale.wanted, desiredReplicas=replicas, currentMetrics=[])
    return Decision(draft, replicas, reason)


def decide(
    hpa: HorizontalPodAutoscaler,
    draft: Draft,
    scale: Scale,
    asked: Sequence[Proposal | Refusal],
    now: float,
) -> Decision:
    """Decides by what the metrics ask for; the highest wins, and one that says nothing keeps
    the target from shrinking."""
    statuses = [one.status if isinstance(one, Proposal) else {"type": ""} for one in asked]
    refusals = [one for one in asked if isinstance(one, Refusal)]
    proposals = [one for one in asked if isinstance(one, Proposal)]
    for refusal in refusals:
        draft = draft.tell(refusal.reason, refusal.error)
    best = max(proposals, key=lambda one: one.replicas, default=None)
    if best is None or (refusals and best.replicas < scale.wanted):
        return Decision(_failed(draft, scale, refusals, len(asked), statuses, now))
    message = f"the HPA was able to successfully calculate a replica count from {best.metric}"
    draft = draft.put(ACTIVE, "True", "ValidMetricFound", message, now)
    draft = draft.set(currentReplicas=scale.wanted, currentMetrics=statuses)
    return _bounded(hpa, draft, scale, best, now)


def failed_selector(draft: Draft, scale: Scale, problem: tuple[str, str, str], now: float) -> Draft:
    """Says why the target's pods are not known: the event's and the condition's reason, and the
    message."""
    event, reason, message = problem
    error = message if event != "SelectorRequired" else "selector is required"
    draft = draft.tell(event, error)
    draft = draft.put(ACTIVE, "False", reason, message, now)
    draft = draft.set(currentReplicas=scale.wanted)
    return draft.tell("FailedComputeMetricsReplicas", error)


def _failed(
    draft: Draft,
    scale: Scale,
    refusals: Sequence[Refusal],
    total: int,
    statuses: list[Document],
    now: float,
) -> Draft:
    first = refusals[0] if refusals else Refusal("InvalidMetricSourceType", "", "")
    message = f"the HPA was unable to compute the replica count: {first.error}"
    draft = draft.put(ACTIVE, "False", first.reason, message, now)
    draft = draft.set(currentReplicas=scale.wanted, currentMetrics=statuses)
    counted = f"{len(refusals)} invalid out of {total}"
    note = f"invalid metrics ({counted}), first error is: {first.whole}"
    return draft.tell("FailedComputeMetricsReplicas", note)


def _bounded(
    hpa: HorizontalPodAutoscaler, draft: Draft, scale: Scale, best: Proposal, now: float
) -> Decision:
    reason = ""
    if best.replicas > scale.wanted:
        reason = f"{best.metric} above target"
    elif best.replicas < scale.wanted:
        reason = "All metrics below target"
    spec = hpa.spec
    bounds = Bounds(spec.min_replicas, spec.max_replicas, spec.behavior)
    normal = normalize(bounds, draft.history, scale.wanted, best.replicas, now)
    draft = draft.put(ABLE, "True", *normal.able, now)
    draft = draft.put(LIMITED, str(normal.is_limited), *normal.limited, now)
    draft = replace(draft.set(desiredReplicas=normal.replicas), history=normal.history)
    if normal.replicas == scale.wanted:
        return Decision(draft)
    return Decision(draft, normal.replicas, reason)


def scaled(hpa: HorizontalPodAutoscaler, decision: Decision, scale: Scale, now: float) -> Draft:
    """Says that the target was scaled."""
    replicas = decision.replicas
    assert replicas is not None
    message = f"the HPA controller was able to update the target scale to {replicas}"
    draft = decision.draft.put(ABLE, "True", "SucceededRescale", message, now)
    note = f"New size: {replicas}; reason: {decision.reason}"
    draft = draft.tell("SuccessfulRescale", note, "Normal").set(lastScaleTime=rfc3339(now))
    draft = _after_zero(hpa, draft, scale.wanted, replicas, now)
    if hpa.spec.behavior is None:
        return draft
    return replace(draft, history=draft.history.after(replicas - scale.wanted, now))


def _after_zero(
    hpa: HorizontalPodAutoscaler, draft: Draft, before: int, replicas: int, now: float
) -> Draft:
    """Says whether there are no pods because the autoscaler wants none: only then it may want some
    again, else somebody has paused the target."""
    if before > 0 and replicas == 0 and hpa.spec.min_replicas == 0 and _is_told_at_zero(hpa):
        return draft.put(ZERO, "True", ZERO, "the HPA controller scaled the workload to zero", now)
    message = "the HPA controller did not scale the workload to zero"
    return draft.put(ZERO, "False", "NotScaledToZero", message, now)


def unscaled(draft: Draft, decision: Decision, scale: Scale, error: str, now: float) -> Draft:
    """Says that the target could not be scaled; what it wants and its metrics stay as they were
    in `draft`."""
    note = f"New size: {decision.replicas}; reason: {decision.reason}; error: {error}"
    message = f"the HPA controller was unable to update the target scale: {error}"
    before: Mapping[str, Any] = draft.status
    kept = {name: before[name] for name in ("desiredReplicas", "currentMetrics")}
    failed = decision.draft.tell("FailedRescale", note).set(currentReplicas=scale.wanted, **kept)
    return failed.put(ABLE, "False", "FailedUpdateScale", message, now)
