"""Readiness gates: conditions of a pod that others write and its readiness waits for (KEP-580)."""

from __future__ import annotations

from typing import Final

from steersman.model.kinds.pod import Pod
from steersman.model.types.condition import condition

# Why a pod whose containers are ready is not
GATES: Final = "ReadinessGatesNotReady"


def closed_gates(pod: Pod) -> str:
    """Returns what is missing of a pod's readiness gates, empty where all are open."""
    missing = []
    for gate in pod.spec.readiness_gates:
        name = gate.condition_type
        found = condition(pod.status.conditions, name)
        if found is None:
            missing.append(
                f'corresponding condition of pod readiness gate "{name}" does not exist.'
            )
        elif found.status != "True":
            missing.append(
                f'the status of pod readiness gate "{name}" is not "True", but {found.status}'
            )
    return ", ".join(missing)
