"""Budgets: what is expected and healthy, what may be disrupted, and when a grant has run out."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers import disruption_plan
from steersman.controllers.disruption_plan import Expected, Scale, expect, healthy, plan_disrupted
from steersman.model.kinds.poddisruptionbudget import PodDisruptionBudget
from unit.controllers.views import LABELS, NOW, decoded, owned_by, pod, replica_set, time

SET = replica_set("web", 10)
OWNED = owned_by(SET, "ReplicaSet")
SCALES = {"uid-web": Scale("uid-web", 10)}


def budget(status: Any = None, **spec: Any) -> PodDisruptionBudget:
    document = {
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "uid-b",
            "generation": 2,
            "resourceVersion": "9",
        },
        "spec": {"selector": {"matchLabels": LABELS}, **spec},
        "status": status or {},
    }
    found: PodDisruptionBudget = decoded(document, PodDisruptionBudget)
    return found


def owned(name: str, **fields: Any) -> Any:
    return pod(name, ownerReferences=OWNED, ready=5, **fields)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 3}, Expected(2, 3)),
        ({"minAvailable": "25%"}, Expected(10, 3)),
        ({"maxUnavailable": 3}, Expected(10, 7)),
        ({"maxUnavailable": "25%"}, Expected(10, 7)),
        ({"maxUnavailable": 30}, Expected(10, 0)),
        ({}, Expected(2, 0)),
    ],
)
def test_what_is_expected_follows_from_the_spec(spec: Any, expected: Expected) -> None:
    assert expect(budget(**spec), [owned("a"), owned("b")], SCALES) == expected


def test_sizes_of_one_owner_count_once_and_unmanaged_pods_are_named() -> None:
    scales = {"a": Scale("deployment", 4), "b": Scale("deployment", 4), "c": Scale("other", 2)}
    found = expect(budget(maxUnavailable=1), [owned("a"), pod("free")], scales)
    assert (found.pods, found.healthy) == (6, 5)
    assert [it.metadata.name for it in found.unmanaged] == ["free"]


def test_pods_on_their_way_out_are_not_healthy() -> None:
    pods = [owned("a"), owned("b", deleted=True), pod("c"), owned("d")]
    assert healthy(pods, {"d": NOW}) == 1


def test_a_granted_eviction_counts_for_two_minutes() -> None:
    disrupted = {"fresh": time(119), "old": time(121), "gone": time(1), "going": time(1)}
    found = budget(status={"disruptedPods": disrupted})
    pods = [owned("fresh"), owned("old"), owned("going", deleted=True), owned("else")]
    kept, told = plan_disrupted(found, pods, NOW)
    assert kept == {"fresh": NOW - 119}
    text = "Pod was expected by PDB default/web to be deleted but it wasn't"
    assert [(it.about.metadata.name, it.reason, it.note) for it in told] == [
        ("old", "NotDeleted", text)
    ]


def test_the_status_says_what_is_allowed_and_why() -> None:
    patch = disruption_plan.plan_status(budget(), Expected(5, 3), 5, {"a": NOW}, NOW)
    assert patch is not None
    condition = {
        "type": "DisruptionAllowed",
        "status": "True",
        "observedGeneration": 2,
        "lastTransitionTime": time(0),
        "reason": "SufficientPods",
        "message": "",
    }
    assert patch.patch == {
        "status": {
            "currentHealthy": 5,
            "desiredHealthy": 3,
            "expectedPods": 5,
            "disruptionsAllowed": 2,
            "observedGeneration": 2,
            "disruptedPods": {"a": time(0)},
            "conditions": [condition],
        }
    }
    assert (patch.uid, patch.revision) == ("uid-b", 9)


@pytest.mark.parametrize(
    ("expected", "current", "allowed"),
    [
        (Expected(5, 3), 3, 0),
        (Expected(5, 3), 1, 0),
        (Expected(0, 0), 2, 0),
        (Expected(2, 1), 2, 1),
    ],
)
def test_nothing_is_allowed_below_what_is_wanted_or_while_nothing_is_expected(
    expected: Expected, current: int, allowed: int
) -> None:
    patch = disruption_plan.plan_status(
        budget(status={"disruptionsAllowed": 9}), expected, current, {}, NOW
    )
    assert patch is not None
    written = patch.patch["status"]  # type: ignore[call-overload]
    assert written["disruptionsAllowed"] == allowed
    (condition,) = written["conditions"]
    words = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    assert (condition["status"], condition["reason"]) == words


def test_a_status_that_is_right_is_left_alone_and_keeps_its_time() -> None:
    condition = {
        "type": "DisruptionAllowed",
        "status": "True",
        "reason": "SufficientPods",
        "message": "",
        "observedGeneration": 2,
        "lastTransitionTime": time(50),
    }
    right = {
        "currentHealthy": 5,
        "desiredHealthy": 3,
        "expectedPods": 5,
        "disruptionsAllowed": 2,
        "observedGeneration": 2,
        "conditions": [condition],
    }
    found = budget(status=right)
    assert disruption_plan.plan_status(found, Expected(5, 3), 5, {}, NOW) is None
    patch = disruption_plan.plan_failed(found, "why", NOW)
    assert patch is not None
    failed = {**condition, "status": "False", "reason": "SyncFailed", "message": "why"}
    failed["lastTransitionTime"] = time(0)
    assert patch.patch == {"status": {"disruptionsAllowed": 0, "conditions": [failed]}}


def test_a_pod_that_is_gone_leaves_the_disrupted_ones() -> None:
    found = budget(status={"disruptedPods": {"a": time(9), "b": time(9)}})
    patch = disruption_plan.plan_status(found, Expected(5, 3), 5, {"b": NOW - 9}, NOW)
    assert patch is not None
    written = patch.patch["status"]  # type: ignore[call-overload]
    assert written["disruptedPods"] == {"a": None, "b": time(9)}
    patch = disruption_plan.plan_status(found, Expected(5, 3), 5, {}, NOW)
    assert patch is not None
    assert patch.patch["status"]["disruptedPods"] is None  # type: ignore[call-overload]


def test_what_was_said_of_a_pod_that_was_not_disrupted_is_taken_back() -> None:
    def told(ago: float, state: str = "True", **fields: Any) -> Any:
        one = {"type": "DisruptionTarget", "status": state, "lastTransitionTime": time(ago)}
        return pod("a", status={"conditions": [one]}, **fields)

    assert disruption_plan.stale_in(told(100), NOW) == 20
    assert disruption_plan.stale_in(told(130), NOW) == 0
    assert disruption_plan.stale_in(told(130, "False"), NOW) is None
    assert disruption_plan.stale_in(told(130, deleted=True), NOW) is None
    assert disruption_plan.stale_in(told(130, phase="Failed"), NOW) is None
    patch = disruption_plan.plan_stale(told(130), NOW)
    (condition,) = patch.patch["status"]["conditions"]  # type: ignore[call-overload]
    assert (condition["type"], condition["status"]) == ("DisruptionTarget", "False")
