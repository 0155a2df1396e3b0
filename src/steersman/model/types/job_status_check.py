"""What is checked of a Job's status when it changes (ValidateJobStatusUpdate in
pkg/apis/batch/validation, KEP-4368): a Job that ended stays so, and its numbers fit each other.

A rule holds only for what an update changes (getStatusValidationOptions in registry/batch/job), so
that a status that broke it before can still be written.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from steersman.model.causes import duplicate, invalid, not_negative, required, unshown
from steersman.model.errors import Cause
from steersman.model.gotext import struct
from steersman.model.kind import Document
from steersman.model.types import job_indexes

_COUNTS: Final = ("active", "succeeded", "failed", "ready", "terminating")
_CONDITIONS: Final = "status.conditions"
_FINAL: Final = ("Failed", "Complete", "FailureTarget")
_MET: Final = "SuccessCriteriaMet"
# (changed by any of these, condition, the other one, what is said where both are True)
_EXCLUSIVE: Final = (
    (("Complete", "Failed"), "cannot set Complete=True and Failed=true conditions"),
    (("Complete", "FailureTarget"), "cannot set Complete=True and FailureTarget=true conditions"),
)
# (condition, what must come with it)
_ANNOUNCED: Final = (
    ("Failed", "FailureTarget", "cannot set Failed=True condition without the FailureTarget=true"),
    ("Complete", _MET, "cannot set Complete=True condition without the SuccessCriteriaMet=true"),
)


class _Change:
    """An update of a Job's status: what it was, what it is, and what is different."""

    def __init__(self, new: Document, old: Document) -> None:
        self.spec = new.get("spec") or {}
        self.status, self.before = new.get("status") or {}, old.get("status") or {}
        self.set = _true(self.status)
        self.was = _true(self.before)
        self.finished = _is_finished(self.set)

    def field(self, *names: str) -> bool:
        """Tells whether any of these fields changes."""
        return any((self.status.get(it) or None) != (self.before.get(it) or None) for it in names)

    def condition(self, *types: str) -> bool:
        """Tells whether any of these conditions comes or goes."""
        return any((it in self.set) != (it in self.was) for it in types)

    @property
    def ends(self) -> bool:
        """Whether the Job finishes with this update, or no longer is finished."""
        return self.finished != _is_finished(self.was)


def check_status(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what is wrong with the update of a Job's status."""
    change = _Change(new, old)
    for name in _COUNTS:
        yield from not_negative(f"status.{name}", change.status.get(name))
    yield from _check_uncounted(change.status.get("uncountedTerminatedPods") or {})
    yield from _check_conditions(change)
    yield from _check_finished(change)
    yield from _check_indexes(change)
    yield from _check_numbers(change)
    yield from _check_success(change)
    yield from _check_kept(change)


def _true(status: Document) -> set[str]:
    conditions = status.get("conditions") or ()
    return {one.get("type", "") for one in conditions if one.get("status") == "True"}


def _is_finished(conditions: set[str]) -> bool:
    return "Complete" in conditions or "Failed" in conditions


def _check_uncounted(pods: Document) -> Iterator[Cause]:
    seen: set[str] = set()
    for name in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(name) or ()):
            path = f"status.uncountedTerminatedPods.{name}[{index}]"
            if not uid:
                yield invalid(path, uid, "must not be empty")
            elif uid in seen:
                yield duplicate(path, uid)
            seen.add(uid)


def _check_conditions(change: _Change) -> Iterator[Cause]:
    for both, problem in _EXCLUSIVE:
        if change.condition(*both) and change.set.issuperset(both):
            yield unshown(_CONDITIONS, problem)
    yield from _check_completion(change)
    for condition, announced, problem in _ANNOUNCED:
        changed = change.condition(condition, announced)
        if changed and condition in change.set and announced not in change.set:
            yield unshown(_CONDITIONS, f"{problem} condition")


def _check_completion(change: _Change) -> Iterator[Cause]:
    path, ended = "status.completionTime", change.status.get("completionTime")
    complete = "Complete" in change.set
    if change.condition("Complete") or change.field("completionTime"):
        if ended and not complete:
            detail = "cannot set completionTime when there is no Complete=True condition"
            yield invalid(path, ended, detail)
        if complete and not ended:
            yield required(path, "completionTime is required for Complete jobs")
    started = change.status.get("startTime")
    if change.field("startTime", "completionTime") and _is_before(ended, started):
        yield invalid(path, ended, "completionTime cannot be set before startTime")


def _is_before(one: str | None, other: str | None) -> bool:
    return bool(one and other) and datetime.fromisoformat(one or "") < datetime.fromisoformat(
        other or ""
    )


def _check_finished(change: _Change) -> Iterator[Cause]:
    if not change.finished:
        return
    status = change.status
    active, pods = status.get("active") or 0, status.get("uncountedTerminatedPods") or {}
    if (change.ends or change.field("active")) and active > 0:
        yield invalid("status.active", active, "active>0 is invalid for finished job")
    if (change.ends or change.field("startTime")) and not status.get("startTime"):
        yield required("status.startTime", "startTime is required for finished job")
    path = "uncountedTerminatedPods"
    if (change.ends or change.field(path)) and (pods.get("succeeded") or pods.get("failed")):
        detail = f"{path} needs to be empty for finished job"
        yield invalid(f"status.{path}", struct(pods, "Succeeded", "Failed"), detail)


def _check_indexes(change: _Change) -> Iterator[Cause]:
    spec, completions = change.spec, change.spec.get("completions")
    completed = change.status.get("completedIndexes") or ""
    failed = change.status.get("failedIndexes")
    limited = spec.get("backoffLimitPerIndex") is not None
    if completions is not None:
        if change.field("completedIndexes"):
            yield from _check_format("completedIndexes", completed, completions)
        if change.field("failedIndexes") and limited and failed is not None:
            yield from _check_format("failedIndexes", failed, completions)
    if change.field("completedIndexes") and completed and spec.get("completionMode") != "Indexed":
        detail = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield invalid("status.completedIndexes", completed, detail)
    if change.field("failedIndexes") and failed is not None and not limited:
        detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield invalid("status.failedIndexes", failed, detail)
    if change.field("completedIndexes", "failedIndexes") and completions is not None and failed:
        index = job_indexes.overlap(completed, failed, completions)
        if index is not None:
            detail = f"failedIndexes and completedIndexes overlap at index: {index}"
            yield invalid("status.failedIndexes", failed, detail)


def _check_format(name: str, text: str, completions: int) -> Iterator[Cause]:
    try:
        job_indexes.count(text, completions)
    except ValueError as error:
        yield invalid(f"status.{name}", text, f"error parsing {name}: {error}")


def _check_numbers(change: _Change) -> Iterator[Cause]:
    status = change.status
    going, ready = status.get("terminating") or 0, status.get("ready") or 0
    if change.finished and (change.ends or change.field("terminating")) and going > 0:
        yield invalid("status.terminating", going, "terminating>0 is invalid for finished job")
    if change.field("ready", "active") and ready > (status.get("active") or 0):
        yield invalid("status.ready", ready, "cannot set more ready pods than active")


def _check_success(change: _Change) -> Iterator[Cause]:
    met = _MET in change.set
    for other, word in (("Failed", "Failed=true"), ("FailureTarget", "FailureTarget=true")):
        if met and other in change.set:
            yield unshown(_CONDITIONS, f"cannot set {_MET}=True and {word} conditions")
    if change.spec.get("successPolicy") is not None and not met and "Complete" in change.set:
        detail = f"cannot set Complete=True for Job with SuccessPolicy unless {_MET}=True"
        yield unshown(_CONDITIONS, detail)


def _check_kept(change: _Change) -> Iterator[Cause]:
    """Yields what was final and is no longer so."""
    status, before = change.status, change.before
    for condition in _FINAL:
        if condition in change.was and condition not in change.set:
            yield unshown(_CONDITIONS, f"cannot disable the terminal {condition}=True condition")
    for name in ("failed", "succeeded"):
        count = status.get(name) or 0
        if count < (before.get(name) or 0) and not (name == "succeeded" and _is_elastic(change)):
            yield invalid(f"status.{name}", count, f"cannot decrease the {name} counter")
    ended, had_ended = status.get("completionTime"), before.get("completionTime")
    if ended and had_ended and ended != had_ended:
        yield invalid("status.completionTime", ended, "completionTime cannot be mutated")
    restarted = "Suspended" in change.was and "Suspended" not in change.set
    free = restarted or change.spec.get("suspend")
    if before.get("startTime") and change.field("startTime") and not free:
        yield required("status.startTime", "startTime cannot be removed for unsuspended job")
    if _MET in change.was and _MET not in change.set:
        yield unshown(_CONDITIONS, f"cannot disable the {_MET}=True condition")
    if "Complete" in change.was and _MET not in change.was and _MET in change.set:
        detail = f"cannot set {_MET}=True for Job already has Complete=true conditions"
        yield unshown(_CONDITIONS, detail)


def _is_elastic(change: _Change) -> bool:
    """Tells whether a Job may be made smaller, and have succeeded less often with it."""
    spec = change.spec
    indexed = spec.get("completionMode") == "Indexed"
    return indexed and spec.get("completions") == spec.get("parallelism")
