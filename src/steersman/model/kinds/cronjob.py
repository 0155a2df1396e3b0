"""CronJob: its view and its life in the API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Raw

from steersman.model import names
from steersman.model.causes import (
    each,
    invalid,
    not_negative,
    not_supported,
    one_of,
    required,
)
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
from steersman.model.removed import Life, removed
from steersman.model.types import schedule
from steersman.model.types.job_check import check_template_spec
from steersman.model.types.metadata import check_metadata
from steersman.model.types.reference import ObjectReference
from steersman.model.types.schedule import ScheduleError
from steersman.model.types.warnings import workload
from steersman.model.types.workload_check import template_of
from steersman.model.view import Object, View

# a job's name is its cron job's and eleven characters of the time (ValidateCronJob)
_LONGEST_NAME = 52


def _name(name: str) -> list[str]:
    return [*names.dns1123_subdomain(name), *_length_problems(name)]


def _length_problems(name: str) -> list[str]:
    most = f"must be no more than {_LONGEST_NAME} characters"
    return [most] if len(name) > _LONGEST_NAME else []


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
_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}")
_AMBIGUOUS = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
_MISPLACED = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
_NOT_LOCAL = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    if subresource:
        return
    spec = new.get("spec") or {}
    before = None if old is None else old.get("spec") or {}
    yield from _check_schedule(spec, before)
    yield from not_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    zone = spec.get("timeZone")
    if zone is not None and (before is None or before.get("timeZone") != zone):
        yield from each("spec.timeZone", zone, _zone_problems(zone))
    yield from one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), _POLICIES)
    old_template = template_of((before or {}).get("jobTemplate"))
    yield from _check_template((spec.get("jobTemplate") or {}).get("spec") or {}, old_template)
    for name in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        yield from not_negative(f"spec.{name}", spec.get(name))
    if before is None:
        name = (new.get("metadata") or {}).get("name", "")
        yield from each("metadata.name", name, _length_problems(name))
    if not spec.get("schedule"):  # declared by upstream's type: told last
        yield required("spec.schedule")


def _check_schedule(spec: Document, before: Document | None) -> Iterator[Cause]:
    text = spec.get("schedule", "")
    if not text:
        return
    zone = schedule.zone_of(text)
    if zone is not None and (problem := _location_problem(zone)):
        yield invalid("spec.schedule", text, f"provided bad location {zone}: {problem}")
    else:
        try:
            schedule.parse(text)
        except ScheduleError as error:
            yield invalid("spec.schedule", text, str(error))
    if "TZ" in text:
        if before is None or "TZ" not in before.get("schedule", ""):
            yield invalid("spec.schedule", text, _MISPLACED)
        elif spec.get("timeZone") is not None:
            yield invalid("spec.schedule", text, _AMBIGUOUS)


def _zone_problems(zone: str) -> list[str]:
    if not zone:
        return ["timeZone must be nil or non-empty string"]
    for part in zone.split("/"):
        if part in (".", "..") or part.startswith("-") or not _ZONE_PART.fullmatch(part):
            return [f"unknown time zone {zone}"]
    if zone.lower() == "local":
        # Go knows one spelling of it as the machine's own zone
        return [_NOT_LOCAL] if zone == "Local" else [_NOT_LOCAL, f"unknown time zone {zone}"]
    problem = _location_problem(zone)
    return [problem] if problem else []


def _location_problem(zone: str) -> str:
    """Returns why Go knows no time zone of a name (time.LoadLocation)."""
    if zone in ("", "UTC", "Local"):  # known without a database of zones
        return ""
    if ".." in zone.split("/") or zone[0] in "/\\" or "\\" in zone:
        return "time: invalid location name"
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        return f"unknown time zone {zone}"
    return ""


def _check_template(spec: Document, old: Document | None) -> Iterator[Cause]:
    path = "spec.jobTemplate.spec"
    yield from check_template_spec(spec, path, old)
    if spec.get("selector") is not None:
        yield invalid(f"{path}.selector", spec["selector"], "`selector` will be auto-generated")
    if spec.get("manualSelector"):
        yield not_supported(f"{path}.manualSelector", True, ("nil", "false"))


_of_template = workload("spec.jobTemplate.spec.template.", named=True)


def _warn(new: Document, old: Document | None, subresource: str) -> Iterator[str]:
    yield from _of_template(new, old, subresource)
    if not subresource and "TZ" in (at(new, "spec", "schedule") or ""):
        what = "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
        page = "docs/concepts/workloads/controllers/cron-jobs"
        yield f"{what}https://kubernetes.io/{page}/ for more details"


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
    former=(removed("batch/v1beta1", "batch.v1beta1.CronJob", Life(21, 25, "batch/v1")),),
    short_names=("cj",),
    categories=("all",),
    columns=_COLUMNS,
    check=_check,
    warn=_warn,
    name_check=_name,
    view=CronJob,
    prepare=preparer(status={}),
    subresources=(STATUS,),
    spec_fields=("spec",),
    complete=True,
)
