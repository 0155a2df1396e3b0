"""What a cron job does now: which jobs it forgets and removes, and whether one is to start. Pure.

Follows pkg/controller/cronjob/cronjob_controllerv2.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

import msgspec

from steersman.controllers import conditions, cronjob_times, ownership
from steersman.controllers.cronjob_times import TOO_MANY, NeverDue, zone_of
from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.model.kinds.cronjob import CRONJOB, CronJob
from steersman.model.kinds.job import JOB, Job
from steersman.model.times import rfc3339, seconds
from steersman.model.types import schedule as schedules
from steersman.model.types.condition import is_true
from steersman.model.types.reference import ObjectReference
from steersman.model.types.schedule import ScheduleError
from steersman.reconcile.actions import Create, Delete, Patch, Tell, status

STAMP = "batch.kubernetes.io/cronjob-scheduled-timestamp"
STILL_RUNS = "Not starting job because prior execution is running and concurrency policy is Forbid"
TOO_MANY_MISSED = (
    "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
)


class Progress(msgspec.Struct):
    """The status on its way, and what is told about it."""

    active: list[ObjectReference]
    scheduled: float
    succeeded: float
    tell: list[Tell] = msgspec.field(default_factory=list)


class Start(msgspec.Struct, frozen=True):
    """Whether a job is due: at `due`, None where none is to start; `wait` is when to look again.

    `replaces` are the running jobs that go first.
    """

    due: float | None = None
    wait: float | None = None
    replaces: Sequence[ObjectReference] = ()
    tell: Sequence[Tell] = ()


def outcome(job: Job) -> str:
    """Returns how a job ended: Complete, Failed, or empty while it has not."""
    kinds = ("Complete", "Failed")
    return next((it for it in kinds if is_true(job.status.conditions, it)), "")


def plan_history(owner: CronJob, jobs: Sequence[Job]) -> list[Job]:
    """Returns the finished jobs above the limits, oldest first."""
    limits = {
        "Complete": owner.spec.successful_jobs_history_limit,
        "Failed": owner.spec.failed_jobs_history_limit,
    }
    doomed: list[Job] = []
    for how, limit in limits.items():
        ended = sorted((job for job in jobs if outcome(job) == how), key=_by_start)
        doomed += ended[: max(0, len(ended) - limit)]
    return doomed


def _by_start(job: Job) -> tuple[bool, float, str]:
    began = job.status.start_time
    return (began is None, seconds(began), job.metadata.name)


def observe(owner: CronJob, jobs: Sequence[Job], fresh: Sequence[str] = ()) -> Progress:
    """Decides what the status says of the jobs that exist; `fresh` are the uids of jobs that the
    API has though no copy shows them yet."""
    old = owner.status
    found = Progress(
        list(old.active), seconds(old.last_schedule_time), seconds(old.last_successful_time)
    )
    listed = {it.uid for it in old.active}
    for job in jobs:
        how, name = outcome(job), job.metadata.name
        if job.metadata.uid in listed and how:
            _forget(found, job.metadata.uid)
            text = f"Saw completed job: {name}, status: {how}"
            found.tell.append(Tell(owner, "SawCompletedJob", text))
        elif job.metadata.uid not in listed and not how:
            text = f"Saw a job that the controller did not create or forgot: {name}"
            found.tell.append(Tell(owner, "UnexpectedJob", text, "Warning"))
        if how == "Complete":
            found.succeeded = max(found.succeeded, seconds(job.status.completion_time))
    for gone in missing(owner, jobs):
        if gone.uid not in fresh:
            _forget(found, gone.uid)
            found.tell.append(Tell(owner, "MissingJob", f"Active job went missing: {gone.name}"))
    return found


def missing(owner: CronJob, jobs: Sequence[Job]) -> list[ObjectReference]:
    """Returns the active jobs that no copy shows."""
    present = {job.metadata.uid for job in jobs}
    return [it for it in owner.status.active if it.uid not in present]


def _forget(found: Progress, uid: str) -> None:
    found.active = [it for it in found.active if it.uid != uid]


def decide(owner: CronJob, found: Progress, now: float) -> Start:
    """Decides whether a job is to start now."""
    if owner.metadata.deletion_timestamp is not None:
        return Start()
    zone = zone_of(owner.spec.time_zone)
    if zone is None:
        name = owner.spec.time_zone or ""
        text = f"invalid timeZone: {quote(name)}: unknown time zone {name}"
        return Start(tell=[Tell(owner, "UnknownTimeZone", text, "Warning")])
    if owner.spec.suspend:
        return Start()
    text = owner.spec.schedule
    try:
        schedule = schedules.parse(text)
    except ScheduleError as error:
        why = f"unparseable schedule: {quote(text)} : {error}"
        return Start(tell=[Tell(owner, "UnparseableSchedule", why, "Warning")])
    try:
        recent = cronjob_times.recent(owner, schedule, zone, now)
    except NeverDue as error:
        why = f"invalid schedule: {text} : {error}"
        return Start(tell=[Tell(owner, "InvalidSchedule", why, "Warning")])
    wait = cronjob_times.due_in(owner, schedule, zone, now)
    if recent.due is None:
        return Start(wait=wait)
    many = recent.missed > TOO_MANY
    tell = [Tell(owner, "TooManyMissedTimes", TOO_MANY_MISSED, "Warning")] if many else []
    return _due(owner, found, Start(recent.due, wait, tell=tell), now)


def _due(owner: CronJob, found: Progress, start: Start, now: float) -> Start:
    """Decides whether what is due may start."""
    due = start.due or 0.0
    limit = owner.spec.starting_deadline_seconds
    if limit is not None and due + limit < now:
        when = datetime.fromtimestamp(due, UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
        text = f"Missed scheduled time to start a job: {when}"
        missed = Tell(owner, "MissSchedule", text, "Warning")
        return Start(wait=start.wait, tell=[*start.tell, missed])
    name = job_name(owner, due)
    if any(it.name == name for it in found.active):
        return Start(wait=start.wait, tell=start.tell)
    if owner.spec.concurrency_policy == "Forbid" and found.active:
        waits = Tell(owner, "JobAlreadyActive", STILL_RUNS)
        return Start(wait=start.wait, tell=[*start.tell, waits])
    replaces = list(found.active) if owner.spec.concurrency_policy == "Replace" else []
    return Start(due, start.wait, replaces, start.tell)


def job_name(owner: CronJob, due: float) -> str:
    """Returns the name of the job of one time: the same however often it is tried."""
    return f"{owner.metadata.name}-{int(due) // 60}"


def new_job(owner: CronJob, due: float) -> Create:
    """Returns the creation of the job of one time."""
    template: Document = msgspec.json.decode(owner.spec.job_template)
    about = template.get("metadata") or {}
    zone = zone_of(owner.spec.time_zone) or UTC
    namespace = owner.metadata.namespace
    document: Document = {
        "apiVersion": JOB.api_version(),
        "kind": "Job",
        "metadata": {
            "name": job_name(owner, due),
            "namespace": namespace,
            "labels": about.get("labels") or {},
            "annotations": {**(about.get("annotations") or {}), STAMP: _stamp(due, zone)},
            "ownerReferences": [ownership.reference(owner, CRONJOB)],
        },
        "spec": template.get("spec") or {},
    }
    return Create(JOB, document, namespace)


def _stamp(due: float, zone: tzinfo) -> str:
    """Returns a time as Go's RFC3339 in a zone."""
    text = datetime.fromtimestamp(int(due), zone).isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def started(found: Progress, job: Job, due: float) -> None:
    """Notes a job that runs now."""
    metadata = job.metadata
    found.active.append(
        ObjectReference(
            kind="Job",
            namespace=metadata.namespace,
            name=metadata.name,
            uid=metadata.uid,
            api_version=JOB.api_version(),
            resource_version=metadata.resource_version,
        )
    )
    found.scheduled = due


def replaced(found: Progress, uid: str) -> None:
    """Notes a job that was removed."""
    _forget(found, uid)


def plan_removal(uid: str, namespace: str, name: str) -> Delete:
    """Returns the deletion of a job with its pods."""
    return Delete(JOB.ref(namespace, name), uid, propagation="Background")


def plan_status(owner: CronJob, found: Progress) -> Patch | None:
    """Returns the patch of the status of that very revision, None where it is right."""
    before = Progress(
        list(owner.status.active),
        seconds(owner.status.last_schedule_time),
        seconds(owner.status.last_successful_time),
    )
    changed = conditions.changes(_document(before), _document(found))
    if not changed:
        return None
    metadata = owner.metadata
    return status(CRONJOB.ref(*owner.key), changed, uid=metadata.uid, revision=metadata.revision)


def _document(found: Progress) -> Document:
    made: Document = {}
    if found.active:
        made["active"] = [_reference(it) for it in found.active]
    for name, time in (
        ("lastScheduleTime", found.scheduled),
        ("lastSuccessfulTime", found.succeeded),
    ):
        if time:
            made[name] = rfc3339(time)
    return made


def _reference(found: ObjectReference) -> Document:
    fields = msgspec.to_builtins(found)
    return {name: text for name, text in fields.items() if text}
