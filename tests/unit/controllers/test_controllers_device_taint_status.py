"""What is told of a DeviceTaintRule, word for word."""

from __future__ import annotations

from typing import Any

import pytest
from views import NOW, decoded, time

from steersman.controllers.device_taint_status import (
    Counts,
    describe,
    is_told,
    plan,
    stands_for,
)
from steersman.model.kinds.devicetaintrule import DeviceTaintRule

ONCE = (
    " if the effect was NoExecute. This information will not be updated again. Recreate the "
    "DeviceTaintRule to trigger an update."
)
PENDING = "PodsPendingEviction"


@pytest.mark.parametrize(
    ("effect", "counts", "expected"),
    [
        ("NoExecute", Counts(), ("False", "NotStarted", "")),
        (
            "NoExecute",
            Counts(pods=1, namespaces=1),
            ("True", PENDING, "1 pod needs to be evicted in 1 namespace."),
        ),
        (
            "NoExecute",
            Counts(pods=3, namespaces=2, evicted=1),
            (
                "True",
                PENDING,
                "3 pods need to be evicted in 2 different namespaces. "
                "1 pod evicted since starting the controller.",
            ),
        ),
        (
            "NoExecute",
            Counts(evicted=2),
            ("False", "Completed", "2 pods evicted since starting the controller."),
        ),
        (
            "NoSchedule",
            Counts(),
            ("False", "OtherEffect", "Eviction only happens for the NoExecute effect."),
        ),
        (
            "None",
            Counts(1, 1, 1, 1),
            (
                "False",
                "NoEffect",
                "1 published device selected. 1 allocated device selected. 1 pod would be evicted "
                f"in 1 namespace{ONCE}",
            ),
        ),
        (
            "None",
            Counts(2, 0, 0, 0),
            (
                "False",
                "NoEffect",
                "2 published devices selected. 0 allocated devices selected. 0 pods would be "
                f"evicted in 0 different namespaces{ONCE}",
            ),
        ),
    ],
)
def test_the_condition_is_upstreams(
    effect: str, counts: Counts, expected: tuple[str, str, str]
) -> None:
    assert describe(effect, counts) == expected


def rule(effect: str = "NoExecute", *conditions: dict[str, Any]) -> DeviceTaintRule:
    document = {
        "metadata": {"name": "t", "uid": "u", "generation": 2, "resourceVersion": "7"},
        "spec": {"deviceSelector": {}, "taint": {"key": "k", "effect": effect}},
        "status": {"conditions": list(conditions)},
    }
    found: DeviceTaintRule = decoded(document, DeviceTaintRule)
    return found


def told(ago: float = 3.0, generation: int = 2, **fields: Any) -> dict[str, Any]:
    base = {"type": "EvictionInProgress", "status": "False", "reason": "NotStarted"}
    times = {"lastTransitionTime": time(ago), "observedGeneration": generation}
    return {**base, **times, **fields}


def test_a_text_stands_for_ten_seconds_unless_the_rule_has_changed() -> None:
    assert stands_for(rule(), NOW) == 0
    assert stands_for(rule("NoExecute", told(3)), NOW) == 7
    assert stands_for(rule("NoExecute", told(11)), NOW) == 0
    assert stands_for(rule("NoExecute", told(3, generation=1)), NOW) == 0


def test_a_rule_that_evicts_nobody_is_told_once() -> None:
    assert is_told(rule("None", told(100)))
    assert is_told(rule("NoSchedule", told(100)))
    assert not is_told(rule("NoExecute", told(100)))
    assert not is_told(rule("None"))
    assert not is_told(rule("None", told(100, generation=1)))


def test_what_is_said_already_is_not_written_and_other_conditions_stay() -> None:
    assert plan(rule("NoExecute", told()), Counts(), NOW) is None
    other = {"type": "Other", "status": "True"}
    action = plan(rule("NoExecute", told(), other), Counts(pods=1, namespaces=1), NOW)
    assert action is not None
    assert (action.subresource, action.uid, action.revision) == ("status", "u", 7)
    first, made = action.patch["status"]["conditions"]  # type: ignore[call-overload]
    assert first == other
    assert (made["status"], made["reason"]) == ("True", PENDING)
    assert (made["observedGeneration"], made["lastTransitionTime"]) == (2, time(0))
    again = plan(rule("NoExecute", told(generation=1)), Counts(), NOW)
    assert again is not None
