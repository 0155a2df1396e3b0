"""Job: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from msgspec import Raw

from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import (
    AGE,
    NAME,
    at,
    containers,
    human_duration,
    is_true,
    selector_column,
)
from steersman.model.kinds.subresources import STATUS
from steersman.model.times import seconds_of
from steersman.model.types import job_check, job_status_check
from steersman.model.types.condition import Condition
from steersman.model.types.metadata import check_metadata
from steersman.model.types.selector import LabelSelector
from steersman.model.types.warnings import workload
from steersman.model.view import Object, View


class JobSpec(View, frozen=True):
    """What a job shall be; None means unset, the template stays raw."""

    parallelism: int | None = None
    completions: int | None = None
    active_deadline_seconds: int | None = None
    pod_failure_policy: Mapping[str, Any] | None = None
    success_policy: Mapping[str, Any] | None = None
    backoff_limit: int = 6
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    selector: LabelSelector | None = None
    manual_selector: bool = False
    template: Raw = Raw(b"{}")
    ttl_seconds_after_finished: int | None = None
    completion_mode: str = "NonIndexed"
    suspend: bool = False
    pod_replacement_policy: str = ""
    managed_by: str | None = None


class UncountedPods(View, frozen=True):
    """Pods that ended and are not in the counters yet."""

    succeeded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class JobStatus(View, frozen=True):
    """What is known of a job."""

    conditions: tuple[Condition, ...] = ()
    start_time: datetime | None = None
    completion_time: datetime | None = None
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    terminating: int | None = None
    ready: int | None = None
    completed_indexes: str = ""
    failed_indexes: str | None = None
    uncounted_terminated_pods: UncountedPods | None = None


class Job(Object, frozen=True):
    """batch/v1 Job."""

    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


# the unprefixed names are older (pkg/apis/batch)
_NAME_LABELS = ("batch.kubernetes.io/job-name", "job-name")
_UID_LABELS = ("batch.kubernetes.io/controller-uid", "controller-uid")


def _select_own_pods(new: Document, old: Document | None) -> Document:
    """Gives a new job a selector that nobody else's pods meet (generateSelector)."""
    spec = new.get("spec") or {}
    if old is not None or spec.get("manualSelector"):
        return new
    metadata, template = new.get("metadata") or {}, spec.get("template") or {}
    name, uid = metadata.get("name", ""), metadata.get("uid", "")
    labels = dict.fromkeys(_NAME_LABELS, name) | dict.fromkeys(_UID_LABELS, uid)
    about = template.get("metadata") or {}
    about = {**about, "labels": {**labels, **(about.get("labels") or {})}}
    selector = spec.get("selector") or {}
    wanted = {**(selector.get("matchLabels") or {}), _UID_LABELS[0]: uid}
    changed = {
        "selector": {**selector, "matchLabels": wanted},
        "template": {**template, "metadata": about},
    }
    return {**new, "spec": {**spec, **changed}}


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    if subresource == "status":
        if old is not None:
            yield from job_status_check.check_status(new, old)
        return
    yield from job_check.check_selected(new, old)
    yield from job_check.check_spec(new.get("spec") or {}, old)
    yield from job_check.check_hostnames(new)
    if old is not None:
        yield from job_check.check_change(new, old)


def _status(job: Document, _now: float) -> str:
    conditions = at(job, "status", "conditions")
    for condition, word in (("Complete", "Complete"), ("Failed", "Failed")):
        if is_true(conditions, condition):
            return word
    if at(job, "metadata", "deletionTimestamp"):
        return "Terminating"
    for condition, word in (("Suspended", "Suspended"), ("FailureTarget", "FailureTarget")):
        if is_true(conditions, condition):
            return word
    return "Running"


def _completions(job: Document, _now: float) -> str:
    done = at(job, "status", "succeeded") or 0
    if (wanted := at(job, "spec", "completions")) is not None:
        return f"{done}/{wanted}"
    parallelism = at(job, "spec", "parallelism") or 0
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _duration(job: Document, now: float) -> str:
    started, ended = at(job, "status", "startTime"), at(job, "status", "completionTime")
    if not started:
        return ""
    return human_duration((seconds_of(ended) if ended else now) - seconds_of(started))


_COLUMNS = (
    NAME,
    Column("Status", _status, description="Status of the job."),
    Column("Completions", _completions),
    Column("Duration", _duration, description="Time required to complete the job."),
    AGE,
    *containers("spec", "template"),
    selector_column("spec", "selector"),
)

JOB = Kind(
    group="batch",
    name="Job",
    plural="jobs",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.batch.v1.Job"),),
    storage="v1",
    categories=("all",),
    columns=_COLUMNS,
    check=_check,
    warn=workload(named=True),
    view=Job,
    prepare=preparer(_select_own_pods, status={}),
    subresources=(STATUS,),
    selectable={
        "status.successful": lambda job: str(job.get("status", {}).get("succeeded", 0)),
    },
    spec_fields=("spec",),
    complete=True,
)
