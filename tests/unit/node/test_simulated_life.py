"""What is said of a simulated pod's end."""

from __future__ import annotations

from typing import Any

import pytest
from node_documents import pod

from steersman.node.simulated.life import Life, plan_stopped

LIFE = Life("10.0.0.1", 0.0, 1.0, 2.0, uid="u")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_of_a_pod_that_has_ended_nothing_more_is_said(phase: str) -> None:
    assert plan_stopped(pod(status={"phase": phase}), LIFE, 5.0) is None


def test_a_pod_that_is_deleted_before_it_began_has_failed() -> None:
    assert plan_stopped(pod(status={"phase": "Pending"}), LIFE, 5.0) == {
        "status": {"phase": "Failed"}
    }


def test_a_pod_that_ran_ends_with_its_containers() -> None:
    container: dict[str, Any] = {"name": "app", "image": "i", "imageID": "", "ready": True}
    told = plan_stopped(
        pod(status={"phase": "Running", "containerStatuses": [{**container, "restartCount": 0}]}),
        LIFE,
        5.0,
    )
    assert told is not None
    status = told["status"]
    assert status["phase"] == "Succeeded"
    assert "terminated" in status["containerStatuses"][0]["state"]
    assert {it["type"]: it["status"] for it in status["conditions"]}["Ready"] == "False"
