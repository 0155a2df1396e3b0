"""Job: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Raw

from steersman.model.kind import Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.subresources import STATUS
from steersman.model.types.condition import Condition
from steersman.model.types.selector import LabelSelector
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


JOB = Kind(
    group="batch",
    name="Job",
    plural="jobs",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.batch.v1.Job"),),
    storage="v1",
    categories=("all",),
    view=Job,
    prepare=preparer(status={}),
    subresources=(STATUS,),
    selectable={
        "status.successful": lambda job: str(job.get("status", {}).get("succeeded", 0)),
    },
    spec_fields=("spec",),
)
