"""Conditions: the typed form that all kinds share, and the check of metav1.Condition
(ValidateConditions in apimachinery/pkg/apis/meta/v1/validation)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from steersman.model import names
from steersman.model.causes import duplicate, each, invalid, one_of, required, too_long
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.view import View

CONDITION_STATUSES: Final = ("False", "True", "Unknown")
_REASON: Final = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_REASON_TEXT: Final = (
    "a condition reason must start with alphabetic character, optionally followed by a string of "
    "alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'"
)
_REASON_EXAMPLES: Final = ("my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")
_MOST_REASON_BYTES: Final = 1024
_MOST_MESSAGE_BYTES: Final = 32 * 1024


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
    for found in conditions:
        if found.type == type:
            return found
    return None


def with_kept(
    conditions: Sequence[Document], before: Sequence[Document], types: Iterable[str]
) -> list[Document]:
    """Returns conditions of which those of some types are as they were, unless some came or went
    (preserveConditionInstances)."""
    made = list(conditions)
    for kind in types:
        old = [one for one in before if one.get("type") == kind]
        places = [index for index, one in enumerate(made) if one.get("type") == kind]
        if len(places) == len(old):
            for index, one in zip(places, old, strict=True):
                made[index] = one
    return made


def is_true(conditions: Iterable[Condition], type: str) -> bool:
    """Tells whether a condition is set and True."""
    found = condition(conditions, type)
    return found is not None and found.status == "True"


def check_conditions(conditions: Sequence[Document], path: str) -> Iterator[Cause]:
    """Yields what is wrong with a list of metav1.Condition."""
    seen: set[str] = set()
    for index, found in enumerate(conditions):
        kind = found.get("type", "")
        if kind in seen:
            yield duplicate(f"{path}[{index}]", kind)
        seen.add(kind)
        yield from _check_condition(found, kind, f"{path}[{index}]")


def _check_condition(found: Document, kind: str, path: str) -> Iterator[Cause]:
    if kind:
        yield from each(f"{path}.type", kind, names.qualified_name(kind))
    else:
        yield required(f"{path}.type", "is required")
    yield from one_of(f"{path}.status", found.get("status", ""), CONDITION_STATUSES)
    generation = found.get("observedGeneration", 0)
    if generation < 0:
        detail = "must be greater than or equal to zero"
        yield invalid(f"{path}.observedGeneration", generation, detail)
    if not found.get("lastTransitionTime"):
        yield required(f"{path}.lastTransitionTime")
    reason = found.get("reason", "")
    if not reason:
        yield required(f"{path}.reason")
    elif not re.fullmatch(_REASON, reason):
        detail = names.regex_error(_REASON_TEXT, _REASON, *_REASON_EXAMPLES)
        yield invalid(f"{path}.reason", reason, detail)
    if len(reason.encode()) > _MOST_REASON_BYTES:
        yield too_long(f"{path}.reason", _MOST_REASON_BYTES)
    if len(found.get("message", "").encode()) > _MOST_MESSAGE_BYTES:
        yield too_long(f"{path}.message", _MOST_MESSAGE_BYTES)
