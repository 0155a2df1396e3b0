"""All controllers of a cluster together."""

from __future__ import annotations

from controlled import EVERYBODY
from steersman.reconcile.figures import queue_name


def test_every_controller_has_a_queue_that_metrics_can_tell_from_others() -> None:
    names = [queue_name(one.name) for one in EVERYBODY]
    assert len(names) == len(set(names))
    assert {"deployment", "endpoint_slice", "replicationmanager", "noexec_taint_pod"} <= {*names}
