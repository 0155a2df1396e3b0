"""In which words a failure of the node is told of a pod."""

from __future__ import annotations

import pytest

from steersman.node.acting.failures import describe_failure
from steersman.node.claims.interface import CannotPrepare
from steersman.node.plan import Action, PrepareVolumes, StartContainer, StartSandbox, TearDown


@pytest.mark.parametrize(
    ("action", "error", "reason", "text"),
    [
        (
            StartSandbox(),
            OSError("no room"),
            "FailedCreatePodSandBox",
            "Failed to create pod sandbox: no room",
        ),
        (
            StartSandbox(),
            CannotPrepare("prepare dynamic resources: x"),
            "FailedPrepareDynamicResources",
            "Failed to prepare dynamic resources: prepare dynamic resources: x",
        ),
        (PrepareVolumes(), OSError("no token"), "FailedMount", "no token"),
        (
            TearDown(),
            CannotPrepare("unprepare dynamic resources: x"),
            "FailedKillPod",
            "error killing pod: unprepare dynamic resources: x",
        ),
        (StartContainer("app", 0), TimeoutError(), "FailedSync", "error syncing pod: TimeoutError"),
    ],
)
def test_a_failure_has_a_reason_and_a_message(
    action: Action, error: Exception, reason: str, text: str
) -> None:
    assert describe_failure(action, error) == (reason, text)
