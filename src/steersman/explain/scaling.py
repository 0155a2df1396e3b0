"""Why an autoscaler does not scale, and why a budget lets no pod be evicted."""

from __future__ import annotations

from steersman.explain.cause import Cause
from steersman.explain.objects import Objects, about, condition, name_of
from steersman.model.kind import Document
from steersman.model.kinds.horizontalpodautoscaler import HORIZONTALPODAUTOSCALER
from steersman.model.kinds.poddisruptionbudget import PODDISRUPTIONBUDGET
from steersman.model.kinds.printing import at

_HELPS = {
    "FailedGetScale": "name a target that exists and can be scaled in spec.scaleTargetRef",
    "InvalidSelector": "have the target tell the labels of its pods in its scale",
    "AmbiguousSelector": "have one autoscaler alone select these pods",
    "ScalingDisabled": "scale the target to one replica at least",
}
_METRICS = "see that its metrics are served (kubectl top pods) and that its pods have requests"


def of_autoscaler(objects: Objects, scaler: Document) -> Cause:
    """Returns why an autoscaler cannot scale, or what bounds it."""
    del objects
    name = about(HORIZONTALPODAUTOSCALER, name_of(scaler))
    for kind in ("AbleToScale", "ScalingActive"):
        found = condition(scaler, kind)
        if found.get("status") == "False":
            reason = str(found.get("reason"))
            told = f"{reason}: {found.get('message')}"
            helps = _HELPS.get(reason, _METRICS if reason.endswith("Metric") else "")
            return Cause(name, "does not scale", (told,), (helps,) if helps else ())
    if not condition(scaler, "ScalingActive"):
        return Cause(name, "has not been looked at yet")
    wanted = at(scaler, "status", "desiredReplicas") or 0
    limited = condition(scaler, "ScalingLimited")
    if limited.get("status") == "True":
        told = f"{limited.get('reason')}: {limited.get('message')}"
        return Cause(name, f"wants {wanted} replicas, and may want no others", (told,), sound=True)
    return Cause(name, f"wants {wanted} replicas", sound=True)


def of_budget(objects: Objects, budget: Document) -> Cause:
    """Returns why a budget lets no pod be evicted."""
    del objects
    name, status = about(PODDISRUPTIONBUDGET, name_of(budget)), at(budget, "status") or {}
    healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    if allowed := status.get("disruptionsAllowed", 0):
        pods = "1 pod" if allowed == 1 else f"{allowed} pods"
        return Cause(name, f"lets {pods} be evicted now", sound=True)
    found = condition(budget, "DisruptionAllowed")
    if found.get("reason") == "SyncFailed":
        return Cause(name, "lets no pod be evicted", (str(found.get("message")),))
    if not status.get("expectedPods"):
        return Cause(name, "selects no pods", helps=("select pods in spec.selector",))
    counted = f"{healthy} pods are healthy, and {wanted} have to be"
    helps = "more replicas, pods that are ready, or a budget that asks for less"
    return Cause(name, "lets no pod be evicted", (counted,), (helps,))
