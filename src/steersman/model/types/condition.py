"""Conditions: the typed form that all kinds share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from steersman.model.view import View


class Condition(View, frozen=True):
    """One condition of a status; status is True, False or Unknown."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    observed_generation: int = 0
    last_transition_time: datetime | None = None
    last_probe_time: datetime | None = None
    last_update_time: datetime | None = None
    last_heartbeat_time: datetime | None = None


def condition(conditions: Iterable[Condition], type: str) -> Condition | None:
    """Returns the condition of a type, None where it is not set."""
    return next((found for found in conditions if found.type == type), None)


def is_true(conditions: Iterable[Condition], type: str) -> bool:
    """Tells whether a condition is set and True."""
    found = condition(conditions, type)
    return found is not None and found.status == "True"
