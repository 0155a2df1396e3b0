"""The phases of PodGroups, as scheduler-plugins' controller goes through them."""

from __future__ import annotations

from typing import Any

import pytest
from views import decoded, pod

from steersman.controllers.pod_group import decide, plan
from steersman.model.podgroup import PodGroup


def counts(running: int = 0, succeeded: int = 0, failed: int = 0) -> dict[str, int]:
    return {"running": running, "succeeded": succeeded, "failed": failed}


@pytest.mark.parametrize(
    ("phase", "number", "found", "expected"),
    [
        ("", 1, counts(), "Pending"),
        ("", 2, counts(), "Scheduling"),
        ("Pending", 2, counts(running=2), "Scheduling"),
        ("Scheduling", 1, counts(running=1), "Pending"),
        ("Scheduling", 2, counts(running=1), "Scheduling"),
        ("Scheduling", 2, counts(running=2), "Running"),
        ("Running", 3, counts(running=1, succeeded=1), "Running"),
        ("Running", 3, counts(running=1), "Scheduling"),
        ("Running", 2, counts(running=1, failed=1), "Failed"),
        ("Running", 3, counts(failed=1), "Scheduling"),
        ("Running", 2, counts(succeeded=2), "Finished"),
        ("Running", 3, counts(succeeded=2, failed=1), "Finished"),
    ],
)
def test_the_phase_follows_from_the_pods(
    phase: str, number: int, found: dict[str, int], expected: str
) -> None:
    assert decide(phase, 2, number, found) == expected


def group(**status: Any) -> PodGroup:
    document = {"metadata": {"name": "g"}, "spec": {"minMember": 1}, "status": status or None}
    found: PodGroup = decoded(document, PodGroup)
    return found


def test_a_group_is_told_whose_it_is_and_not_again_what_it_says() -> None:
    owners = [{"apiVersion": "v1", "kind": "Job", "name": name, "uid": name} for name in "ba"]
    one = pod("p", ownerReferences=owners)
    first = plan(group(), [one])
    expected = {"phase": "Scheduling", **counts(running=1), "occupiedBy": "default/a,default/b"}
    assert first == expected
    again = plan(group(**expected), [one])
    assert again == {**expected, "phase": "Running"}
    assert plan(group(**again), [one]) is None
    assert plan(group(phase="Pending"), []) is None


@pytest.mark.parametrize("phase", ["Finished", "Failed"])
def test_a_group_that_has_ended_is_left_alone(phase: str) -> None:
    assert plan(group(phase=phase), [pod("p")]) is None


def test_a_status_of_another_shape_is_replaced() -> None:
    document = {"metadata": {"name": "g"}, "spec": "none", "status": "fine"}
    found: PodGroup = decoded(document, PodGroup)
    assert plan(found, []) == {"phase": "Pending"}
