"""CronJob: jobs at the times of a schedule; the shell around `cronjob_plan`.

Follows pkg/controller/cronjob. The name of a job is that of its time, so that a job is not started
twice whatever was lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from steersman.controllers import cronjob_plan, cronjob_times, ownership
from steersman.controllers.cronjob_plan import Progress, Start, decide, observe
from steersman.controllers.pod_control import ends
from steersman.model.errors import AlreadyExists, APIError, NotFound
from steersman.model.kinds.cronjob import CRONJOB, CronJob
from steersman.model.kinds.job import JOB, Job
from steersman.model.ref import Ref
from steersman.model.types import schedule as schedules
from steersman.model.types.reference import ObjectReference
from steersman.model.types.schedule import ScheduleError
from steersman.reconcile.actions import act, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

Spelled = tuple[str, str, str | None]  # uid, schedule, zone


class CronJobController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "cronjob-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(CRONJOB, partial(to_self, kind=CRONJOB)),
        Watch(JOB, partial(ownership.owned, CRONJOB), ownership.INDEXES),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("batch", ("cronjobs",), ("get", "update", "patch")),
        Rule("batch", ("cronjobs/status", "cronjobs/finalizers"), ("update", "patch")),
        Rule("batch", ("jobs",), ("create", "delete", "get")),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._client = given.client
        self._events = given.events
        self._crons = given.views.of(CRONJOB)
        self._jobs = given.views.of(JOB)
        self._spelled: dict[Ref, Spelled] = {}

    async def reconcile(self, ref: Ref) -> Done:
        """Starts what is due of one cron job and writes its status."""
        owner: CronJob | None = self._crons.get(ref)
        if owner is None:
            self._spelled.pop(ref, None)
            return Done()
        now = self._given.world.now()
        if self._is_rescheduled(ref, owner):
            return Done(_wait(owner, now))
        jobs = list(self._jobs.by(ownership.BY_OWNER, owner.metadata.uid))
        found = observe(owner, jobs, await self._late(owner, jobs))
        start = decide(owner, found, now)
        await act(self._client, self._events, [*found.tell, *start.tell])
        try:
            await self._start(owner, found, start)
            for job in cronjob_plan.plan_history(owner, jobs):
                await self._remove(owner, found, job)
        finally:  # what was done stands in the status, also where the rest is tried again
            if patch := cronjob_plan.plan_status(owner, found):
                await act_one(self._client, self._events, patch)
        return Done(start.wait)

    def _is_rescheduled(self, ref: Ref, owner: CronJob) -> bool:
        """Says whether the schedule changed: times that a new one missed are not made up for."""
        spelled = (owner.metadata.uid, owner.spec.schedule, owner.spec.time_zone)
        before = self._spelled.get(ref, spelled)
        self._spelled[ref] = spelled
        return before[0] == spelled[0] and before != spelled

    async def _late(self, owner: CronJob, jobs: Sequence[Job]) -> list[str]:
        """Returns the uids of active jobs that exist though the copy does not show them yet."""
        late = []
        for gone in cronjob_plan.missing(owner, jobs):
            try:
                await self._client.get(JOB.ref(gone.namespace, gone.name))
            except NotFound:
                continue
            late.append(gone.uid)
        return late

    async def _remove(self, owner: CronJob, found: Progress, job: Job | ObjectReference) -> None:
        """Deletes a job with its pods."""
        named = job.metadata if isinstance(job, Job) else job
        delete = cronjob_plan.plan_removal(named.uid, named.namespace, named.name)
        try:
            await act(self._client, self._events, (delete,))
        except APIError as error:
            self._events.warning(owner, "FailedDelete", f"Deleted job: {error.message}")
            raise
        cronjob_plan.replaced(found, named.uid)
        self._events.normal(owner, "SuccessfulDelete", f"Deleted job {named.name}")

    async def _start(self, owner: CronJob, found: Progress, start: Start) -> None:
        if start.due is None:
            return
        for running in start.replaces:
            await self._remove(owner, found, running)
        try:
            made: Job = await act_one(
                self._client, self._events, cronjob_plan.new_job(owner, start.due)
            )
        except AlreadyExists:
            await self._adopt(owner, found, start.due)
            return
        except APIError as error:
            if not ends(error):
                text = f"Error creating job: {error.message}"
                self._events.warning(owner, "FailedCreate", text)
            raise
        self._events.normal(owner, "SuccessfulCreate", f"Created job {made.metadata.name}")
        cronjob_plan.started(found, made, start.due)

    async def _adopt(self, owner: CronJob, found: Progress, due: float) -> None:
        """Notes the job of a time that was started before, when its status was not written."""
        name = cronjob_plan.job_name(owner, due)
        job: Job = await self._client.get(JOB.ref(owner.metadata.namespace, name))
        manager = job.metadata.controller
        listed = any(it.uid == job.metadata.uid for it in found.active)
        if manager is not None and manager.uid == owner.metadata.uid and not listed:
            cronjob_plan.started(found, job, due)


def _wait(owner: CronJob, now: float) -> float | None:
    """Returns the seconds until a new schedule is due, 0 where it is not understood."""
    zone = cronjob_times.zone_of(owner.spec.time_zone)
    try:
        schedule = schedules.parse(owner.spec.schedule)
    except ScheduleError:
        return 0.0
    return 0.0 if zone is None else cronjob_times.due_in(owner, schedule, zone, now)
