"""Job: pods that run until enough of them succeeded; the shell around `job_plan` and `job_status`.

Follows pkg/controller/job. How often pods failed in a row is kept in memory only, as upstream
does: a new process waits less once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from steersman.client.interface import Views
from steersman.controllers import job_status, ownership
from steersman.controllers.job_backoff import Failures
from steersman.controllers.job_plan import (
    FINALIZER,
    Judgement,
    Known,
    Steps,
    deadline_in,
    has_finalizer,
    is_finished,
    is_foreign,
    judge,
    plan,
)
from steersman.controllers.job_status import Acted, Tracked
from steersman.controllers.pod_control import PodControl
from steersman.model.errors import APIError, NotFound
from steersman.model.kind import Document
from steersman.model.kinds.job import JOB, Job
from steersman.model.kinds.pod import POD, Pod
from steersman.model.ref import Ref
from steersman.reconcile.actions import Patch, act, act_one, slow_start, together
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch


def _of_job(views: Views, old: Job | None, new: Job | None) -> Iterable[Ref]:
    """Maps a job to itself, and once it is finished or gone to the pods it left behind."""
    found = new if new is not None else old
    if found is None:
        return ()
    refs = [JOB.ref(*found.key)]
    if new is None or is_finished(new):
        left = views.of(POD).by(ownership.BY_OWNER, found.metadata.uid)
        refs += [POD.ref(*pod.key) for pod in left if has_finalizer(pod)]
    return refs


def _of_pod(views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
    """Maps a pod to its job, or to itself where nobody would ever take its finalizer away."""
    refs = list(ownership.owners(JOB, views, old, new))
    if new is not None and has_finalizer(new) and _is_left(views, new):
        refs.append(POD.ref(*new.key))
    return refs


def _is_left(views: Views, pod: Pod) -> bool:
    """Says whether no job will count a pod: it has none, or its job is finished."""
    manager = pod.metadata.controller
    if manager is None:
        return True
    ref = ownership.owner_of(pod, JOB)
    if ref is None:
        return False
    job: Job | None = views.of(JOB).get(ref)
    if job is None or job.metadata.uid != manager.uid:
        return True
    return is_finished(job) and not is_foreign(job)


class JobController:
    """See `reconcile.loop.Controller`; its keys are jobs, and pods that jobs left behind."""

    name: ClassVar[str] = "job-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(JOB, _of_job),
        Watch(POD, _of_pod, ownership.INDEXES),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("batch", ("jobs",), ("get", "update", "patch")),
        Rule("batch", ("jobs/status", "jobs/finalizers"), ("update", "patch")),
        Rule("", ("pods",), ("create", "delete", "patch")),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._control = PodControl(given.client, given.events, JOB, FINALIZER)
        self._views = given.views
        self._jobs = given.views.of(JOB)
        self._pods = given.views.of(POD)
        self._failures: dict[Ref, tuple[str, Failures]] = {}  # with the job's uid

    async def reconcile(self, ref: Ref) -> Done:
        """Brings one job nearer to its end, or frees one pod that its job left behind."""
        if ref.kind == POD.resource:
            return await self._free(ref)
        job: Job | None = self._jobs.get(ref)
        if job is None or is_finished(job):
            self._failures.pop(ref, None)
            return Done()
        if is_foreign(job):
            return Done()
        return await self._sync(ref, job)

    async def _free(self, ref: Ref) -> Done:
        pod: Pod | None = self._pods.get(ref)
        if pod is not None and has_finalizer(pod) and _is_left(self._views, pod):
            await self._release(pod)
        return Done()

    async def _sync(self, ref: Ref, job: Job) -> Done:
        claimed = await self._claim(job)
        known = Known(job, claimed, self._failures_of(ref, job), self._given.world.now())
        found = judge(known)
        steps = plan(known, found)
        acted, error = await self._act(job, steps)
        tracked = job_status.track(known, found, acted)
        job = await self._write(job, tracked.status)
        await act(self._given.client, self._given.events, tracked.tell)
        self._failures[ref] = (job.metadata.uid, found.failures)
        await self._finish(job, known, tracked)
        if error is not None:
            raise error
        return Done(_again(known, found, steps))

    def _failures_of(self, ref: Ref, job: Job) -> Failures:
        uid, failures = self._failures.get(ref, ("", Failures()))
        return failures if uid == job.metadata.uid else Failures()

    async def _claim(self, job: Job) -> list[Pod]:
        candidates = [
            *self._pods.by(ownership.BY_OWNER, job.metadata.uid),
            *self._pods.by(ownership.ORPHANS, job.metadata.namespace),
        ]
        matches = ownership.selector_of(job.spec.selector)
        return await self._control.claim(job, matches, candidates)

    async def _act(self, job: Job, steps: Steps) -> tuple[Acted, APIError | None]:
        """Creates and deletes; returns what was done and the first refusal."""
        created: list[Pod] = []
        deleted: list[Pod] = []

        async def create(number: int) -> None:
            made = await self._control.create(job, steps.create[number])
            created.extend([made] if made is not None else [])

        async def delete(pod: Pod) -> None:
            if steps.spared and has_finalizer(pod):
                await self._release(pod)
            await self._control.delete(job, pod)
            deleted.append(pod)

        try:
            await together(steps.delete, delete)
            await slow_start(len(steps.create), create)
        except APIError as error:
            return Acted(len(created), deleted), error
        return Acted(len(created), deleted), None

    async def _release(self, pod: Pod) -> None:
        """Takes the finalizer from a pod; one that is gone has none."""
        metadata = {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}
        ref, uid = POD.ref(*pod.key), pod.metadata.uid
        patch = Patch(ref, {"metadata": metadata}, uid=uid, how="strategic")
        try:
            await act_one(self._given.client, self._given.events, patch)
        except NotFound:
            return

    async def _write(self, job: Job, new: Document) -> Job:
        """Writes the status; returns the job with it."""
        patch = job_status.plan_patch(job, new)
        if patch is None:
            return job
        written: Job = await act_one(self._given.client, self._given.events, patch)
        return written

    async def _finish(self, job: Job, known: Known, tracked: Tracked) -> None:
        """Frees the pods that are named in the status, counts them, and ends the job."""
        freed: list[str] = []

        async def free(pod: Pod) -> None:
            await self._release(pod)
            freed.append(pod.metadata.uid)

        error: APIError | None = None
        try:
            await together(tracked.release, free)
        except APIError as raised:
            error = raised
        left = job_status.held(known.pods) - set(freed)
        tracked.full |= error is not None  # nothing ends while a pod is held
        new, finished = job_status.conclude(tracked, left, known.now)
        await self._write(job, new)
        if error is not None:
            raise error
        if finished:
            told = job_status.plan_events(job, new)
            await act(self._given.client, self._given.events, told)


def _again(known: Known, found: Judgement, steps: Steps) -> float | None:
    """Returns the seconds until time alone changes something."""
    waits = (steps.wait, deadline_in(known, found))
    return min((wait for wait in waits if wait is not None and wait > 0), default=None)
