"""What is said of autoscalers and budgets."""

from __future__ import annotations

from typing import Any

from explained import cause, thing, why


def scaler(*conditions: tuple[str, str, str, str], wanted: int = 3) -> Any:
    fields = ("type", "status", "reason", "message")
    found = [dict(zip(fields, it, strict=True)) for it in conditions]
    return thing("hpa", "web", status={"desiredReplicas": wanted, "conditions": found})


def test_an_autoscaler_that_cannot_scale_says_in_which_words_and_what_would_help() -> None:
    able = ("AbleToScale", "True", "SucceededGetScale", "fine")
    blind = ("ScalingActive", "False", "FailedGetResourceMetric", "no metrics returned")
    assert why("hpa/web", scaler(able, blind)) == (
        "horizontalpodautoscaler.autoscaling/web: does not scale\n"
        "  FailedGetResourceMetric: no metrics returned\n"
        "  -> see that its metrics are served (kubectl top pods) and that its pods have requests"
    )
    lost = ("AbleToScale", "False", "FailedGetScale", "not found")
    assert "name a target that exists" in why("hpa/web", scaler(lost))
    assert why("hpa/web", scaler()).endswith("has not been looked at yet")


def test_an_autoscaler_that_works_says_how_many_it_wants_and_what_bounds_it() -> None:
    active = ("ScalingActive", "True", "ValidMetricFound", "fine")
    assert cause("hpa/web", scaler(active)).sound
    bound = ("ScalingLimited", "True", "TooManyReplicas", "more than the maximum")
    assert why("hpa/web", scaler(active, bound)) == (
        "horizontalpodautoscaler.autoscaling/web: wants 3 replicas, and may want no others\n"
        "  TooManyReplicas: more than the maximum"
    )


def budget(**status: Any) -> Any:
    return thing("pdb", "web", status=status)


def test_a_budget_that_lets_nobody_go_says_how_many_pods_it_lacks() -> None:
    tight = budget(currentHealthy=2, desiredHealthy=2, expectedPods=3)
    assert why("pdb/web", tight) == (
        "poddisruptionbudget.policy/web: lets no pod be evicted\n"
        "  2 pods are healthy, and 2 have to be\n"
        "  -> more replicas, pods that are ready, or a budget that asks for less"
    )
    assert cause("pdb/web", budget(disruptionsAllowed=1, expectedPods=3)).sound
    assert "selects no pods" in why("pdb/web", budget(expectedPods=0))
    failed = {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed"}
    uncounted = budget(conditions=[{**failed, "message": "found no controllers"}])
    assert "found no controllers" in why("pdb/web", uncounted)
