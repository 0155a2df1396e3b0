"""CronJobs on a whole control plane in virtual time: a year of a daily one, day for day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from simulation.quiet import Quiet, pod_template, quietly
from steersman.model.kind import Document
from steersman.model.kinds.cronjob import CRONJOB
from steersman.model.kinds.job import JOB
from steersman.node.simulated import Behaviour

DAY = 86_400.0
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


def test_a_daily_job_runs_once_a_day_for_a_year_and_keeps_its_history() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet, successfulJobsHistoryLimit=2)
        seen: dict[str, str] = {}
        for _ in range(365):
            await quiet.world.sleep(DAY)
            for job in await jobs(quiet):
                seen[job.metadata.uid] = job.metadata.annotations[STAMP]
        first = datetime(2026, 1, 1, 2, 30, tzinfo=UTC)
        expected = [first + timedelta(days=number) for number in range(365)]
        assert sorted(seen.values()) == [it.strftime("%Y-%m-%dT%H:%M:%SZ") for it in expected]
        found = await quiet.admin.get(NIGHTLY)
        assert found.status.last_schedule_time == expected[-1]
        assert (
            timedelta(0) < found.status.last_successful_time - expected[-1] < timedelta(minutes=1)
        )
        assert found.status.active == ()
        assert len(await jobs(quiet)) == 2

    quietly(scenario, nodes=1)


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
        await begin(quiet, suspend=True, startingDeadlineSeconds=60)
        await quiet.world.sleep(3 * DAY)
        assert await jobs(quiet) == []
        await quiet.admin.patch(NIGHTLY, {"spec": {"suspend": False}})
        await quiet.world.sleep(DAY)
        (only,) = await jobs(quiet)
        assert only.metadata.annotations[STAMP] == "2026-01-04T02:30:00Z"

    quietly(scenario, nodes=1)


def test_a_new_schedule_does_not_make_up_for_times_it_would_have_had() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet)
        await quiet.world.sleep(DAY / 2)
        assert len(await jobs(quiet)) == 1
        await quiet.admin.patch(NIGHTLY, {"spec": {"schedule": "0 11 * * *"}})
        await quiet.world.sleep(DAY / 4)
        assert len(await jobs(quiet)) == 1
        await quiet.world.sleep(DAY)
        assert len(await jobs(quiet)) == 2

    quietly(scenario, nodes=1)
