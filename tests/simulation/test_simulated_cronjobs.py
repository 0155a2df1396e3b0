"""CronJobs on a whole control plane in virtual time: a year of a daily one, day for day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from simulation.control_plane import control_plane
from simulation.faults import Weather
from simulation.quiet import Quiet, pod_template, quietly
from steersman.controllers.cronjob import CronJobController
from steersman.model.kind import Document
from steersman.model.kinds.cronjob import CRONJOB
from steersman.model.kinds.job import JOB
from steersman.model.times import rfc3339
from steersman.node.simulated.behaviour import Behaviour
from steersman.world.simulated import SimulatedWorld, simulate

HOUR = 3600.0
DAY = 24 * HOUR
NIGHTLY = CRONJOB.ref("default", "nightly")
STAMP = "batch.kubernetes.io/cronjob-scheduled-timestamp"


def template() -> Document:
    """Returns the template of a job with one pod that ends by itself."""
    pod = pod_template({})
    pod["spec"]["restartPolicy"] = "Never"
    return {"spec": {"template": pod}}


async def begin(quiet: Quiet, **spec: Any) -> None:
    spec = {"schedule": "30 2 * * *", "jobTemplate": template(), **spec}
    await quiet.create(CRONJOB, "nightly", spec=spec)


async def jobs(quiet: Quiet) -> list[Any]:
    return sorted(await quiet.items(JOB), key=lambda job: str(job.metadata.name))


def test_a_daily_job_runs_once_a_day_and_keeps_its_history() -> None:
    run_daily(10)


@pytest.mark.long
def test_a_daily_job_runs_once_a_day_for_a_year() -> None:
    run_daily(365)


def run_daily(count: int) -> None:
    """Runs only the cron jobs' controller: heartbeats of nodes would make a year long."""

    async def year(world: SimulatedWorld) -> None:
        async with control_plane(world, Weather(), lambda *_: None) as plane:
            plane.run_controllers([CronJobController])
            quiet = Quiet(plane, world)
            await begin(quiet, successfulJobsHistoryLimit=2)
            seen: dict[str, str] = {}
            for _ in range(count):
                await world.sleep(DAY / 2)
                for job in await jobs(quiet):
                    seen[job.metadata.uid] = job.metadata.annotations[STAMP]
                    await complete(quiet, job)
                await world.sleep(DAY / 2)
            first = datetime(2026, 1, 1, 2, 30, tzinfo=UTC)
            expected = [first + timedelta(days=number) for number in range(count)]
            assert sorted(seen.values()) == [it.strftime("%Y-%m-%dT%H:%M:%SZ") for it in expected]
            found = (await quiet.admin.get(NIGHTLY)).status
            noon = expected[-1].replace(hour=12, minute=0)
            assert (found.last_schedule_time, found.active) == (expected[-1], ())
            assert found.last_successful_time == noon
            assert len(await jobs(quiet)) == 2

    simulate(1, year)


async def complete(quiet: Quiet, job: Any) -> None:
    """Ends a job as its controller would."""
    if job.status.conditions:
        return
    now = rfc3339(quiet.world.now())
    met, ended = (
        {"type": kind, "status": "True", "lastTransitionTime": now}
        for kind in ("SuccessCriteriaMet", "Complete")
    )
    status = {"conditions": [met, ended], "startTime": now, "completionTime": now}
    await quiet.admin.patch(JOB.ref(*job.key), {"status": status}, subresource="status")


def test_a_running_job_is_active_and_replaced_when_the_next_is_due() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet, schedule="*/10 * * * *", concurrencyPolicy="Replace")
        await quiet.world.sleep(700)
        (first,) = await jobs(quiet)
        (listed,) = (await quiet.admin.get(NIGHTLY)).status.active
        assert listed.uid == first.metadata.uid
        await quiet.world.sleep(600)
        (second,) = await jobs(quiet)
        assert second.metadata.name != first.metadata.name
        said = await quiet.events("CronJob")
        assert ("SuccessfulDelete", f"Deleted job {first.metadata.name}") in said
        assert ("SuccessfulCreate", f"Created job {second.metadata.name}") in said

    quietly(scenario, nodes=1, behaviour=Behaviour(run_seconds=5000))


def test_a_suspended_cron_job_starts_nothing_until_it_is_resumed() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet, schedule="0 * * * *", suspend=True, startingDeadlineSeconds=60)
        await quiet.world.sleep(3.5 * HOUR)
        assert await jobs(quiet) == []
        await quiet.admin.patch(NIGHTLY, {"spec": {"suspend": False}})
        await quiet.world.sleep(HOUR)
        (only,) = await jobs(quiet)
        assert only.metadata.annotations[STAMP] == "2026-01-01T04:00:00Z"

    quietly(scenario, nodes=1)


def test_a_new_schedule_starts_nothing_at_once_for_times_it_would_have_had() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet, schedule="10 * * * *")
        await quiet.world.sleep(0.9 * HOUR)
        assert len(await jobs(quiet)) == 1
        await quiet.admin.patch(NIGHTLY, {"spec": {"schedule": "30 * * * *"}})
        await quiet.world.sleep(0.2 * HOUR)
        assert len(await jobs(quiet)) == 1
        await quiet.world.sleep(0.5 * HOUR)
        assert len(await jobs(quiet)) >= 2

    quietly(scenario, nodes=1)
