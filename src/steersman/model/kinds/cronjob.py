"""CronJob: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import Raw

from steersman.model import names
from steersman.model.causes import each, not_negative, not_supported, one_of, required
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import (
    AGE,
    NAME,
    NONE,
    at,
    boolean,
    containers,
    count,
    selector_column,
    since,
    text,
)
from steersman.model.kinds.subresources import STATUS
from steersman.model.types.job_check import check_template_spec
from steersman.model.types.metadata import check_metadata
from steersman.model.types.reference import ObjectReference
from steersman.model.view import Object, View

# a job's name is its cron job's and eleven characters of the time (ValidateCronJob)
_LONGEST_NAME = 52


def _name(name: str) -> list[str]:
    problems = names.dns1123_subdomain(name)
    if len(name) > _LONGEST_NAME:
        problems.append(f"must be no more than {_LONGEST_NAME} characters")
    return problems


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


_POLICIES = ("Allow", "Forbid", "Replace")
_FIELDS = 5


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, name=_name)
    if subresource:
        return
    spec = new.get("spec") or {}
    schedule = spec.get("schedule", "")
    if not schedule:
        yield required("spec.schedule")
    else:
        yield from each("spec.schedule", schedule, _schedule_problems(schedule))
    names_of_numbers = (
        "startingDeadlineSeconds",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
    )
    for name in names_of_numbers:
        yield from not_negative(f"spec.{name}", spec.get(name))
    yield from one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), _POLICIES)
    template = (spec.get("jobTemplate") or {}).get("spec") or {}
    yield from check_template_spec(template, "spec.jobTemplate.spec")
    if template.get("manualSelector"):
        where = "spec.jobTemplate.spec.manualSelector"
        yield not_supported(where, True, ("nil", "false"))


def _schedule_problems(schedule: str) -> list[str]:
    # the fields' own syntax is the controller's, which parses them
    if schedule.startswith("@"):
        return []
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        return ["cannot use TZ or CRON_TZ in schedule, use timeZone field instead"]
    fields = schedule.split()
    if len(fields) == _FIELDS:
        return []
    listed = " ".join(fields)
    return [f"expected exactly {_FIELDS} fields, found {len(fields)}: [{listed}]"]


def _last(job: Document, now: float) -> str:
    last = at(job, "status", "lastScheduleTime")
    return since(last, now) if last else NONE


_COLUMNS = (
    NAME,
    text("Schedule", "spec", "schedule"),
    text("Timezone", "spec", "timeZone", default=NONE),
    Column("Suspend", lambda job, _now: boolean(at(job, "spec", "suspend")), type="boolean"),
    Column("Active", count("status", "active"), type="integer"),
    Column("Last Schedule", _last),
    AGE,
    *containers("spec", "jobTemplate", "spec", "template"),
    selector_column("spec", "jobTemplate", "spec", "selector"),
)

CRONJOB = Kind(
    group="batch",
    name="CronJob",
    plural="cronjobs",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.batch.v1.CronJob"),),
    storage="v1",
    short_names=("cj",),
    categories=("all",),
    columns=_COLUMNS,
    check=_check,
    name_check=_name,
    view=CronJob,
    prepare=preparer(status={}),
    subresources=(STATUS,),
    spec_fields=("spec",),
)
