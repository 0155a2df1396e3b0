"""Finished jobs go once their ttlSecondsAfterFinished has passed.

Follows pkg/controller/ttlafterfinished.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from steersman.client.interface import Views
from steersman.controllers.job_plan import is_finished
from steersman.model.errors import NotFound
from steersman.model.kinds.job import JOB, Job
from steersman.model.ref import Ref
from steersman.model.times import seconds
from steersman.reconcile.actions import Delete, act
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch


def expires_in(job: Job, now: float) -> float | None:
    """Returns the seconds until a job is to go (0 or less: now), None where it stays."""
    ttl = job.spec.ttl_seconds_after_finished
    if ttl is None or job.metadata.deletion_timestamp is not None or not is_finished(job):
        return None
    ended = next(
        seconds(it.last_transition_time)
        for it in job.status.conditions
        if it.type in ("Complete", "Failed") and it.status == "True"
    )
    return ended + ttl - now


def plan(job: Job) -> Delete:
    """Returns the deletion of a job with its pods."""
    return Delete(JOB.ref(*job.key), job.metadata.uid, propagation="Foreground")


def _ended(_views: Views, _old: Job | None, new: Job | None) -> Iterable[Ref]:
    """Maps a job to itself where its time runs."""
    if new is None or expires_in(new, 0.0) is None:
        return ()
    return (JOB.ref(*new.key),)


class TTLAfterFinishedController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "ttl-after-finished-controller"
    watches: ClassVar[tuple[Watch, ...]] = (Watch(JOB, _ended),)
    writes: ClassVar[tuple[Rule, ...]] = (Rule("batch", ("jobs",), ("get", "delete")),)

    def __init__(self, given: Given) -> None:
        self._given = given
        self._jobs = given.views.of(JOB)

    async def reconcile(self, ref: Ref) -> Done:
        """Deletes one job whose time has come, as the API sees it and not an old copy."""
        left = self._left(self._jobs.get(ref))
        if left is None or left > 0:
            return Done(left)
        try:
            job: Job = await self._given.client.get(ref)
        except NotFound:
            return Done()
        left = self._left(job)
        if left is None or left > 0:
            return Done(left)
        await act(self._given.client, self._given.events, (plan(job),))
        return Done()

    def _left(self, job: Job | None) -> float | None:
        return None if job is None else expires_in(job, self._given.world.now())
