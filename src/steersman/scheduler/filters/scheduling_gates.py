"""SchedulingGates: a gated pod is not looked at before all of its gates are gone."""

from __future__ import annotations

from steersman.model.kinds.pod import Pod


def gated(pod: Pod) -> bool:
    """Says whether a gate keeps the pod from being scheduled."""
    return bool(pod.spec.scheduling_gates)
