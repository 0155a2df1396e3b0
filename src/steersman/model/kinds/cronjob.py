"""CronJob: its view and its life in the API."""

from __future__ import annotations

from datetime import datetime

from msgspec import Raw

from steersman.model.kind import Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.subresources import STATUS
from steersman.model.types.reference import ObjectReference
from steersman.model.view import Object, View


class CronJobSpec(View, frozen=True):
    """What a cron job shall be; the job's template stays raw."""

    schedule: str = ""
    time_zone: str | None = None
    starting_deadline_seconds: int | None = None
    concurrency_policy: str = "Allow"
    suspend: bool = False
    job_template: Raw = Raw(b"{}")
    successful_jobs_history_limit: int = 3
    failed_jobs_history_limit: int = 1


class CronJobStatus(View, frozen=True):
    """What is known of a cron job."""

    active: tuple[ObjectReference, ...] = ()
    last_schedule_time: datetime | None = None
    last_successful_time: datetime | None = None


class CronJob(Object, frozen=True):
    """batch/v1 CronJob."""

    spec: CronJobSpec = CronJobSpec()
    status: CronJobStatus = CronJobStatus()


CRONJOB = Kind(
    group="batch",
    name="CronJob",
    plural="cronjobs",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.batch.v1.CronJob"),),
    storage="v1",
    short_names=("cj",),
    categories=("all",),
    view=CronJob,
    prepare=preparer(status={}),
    subresources=(STATUS,),
    spec_fields=("spec",),
)
