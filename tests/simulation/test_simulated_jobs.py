"""Jobs on a whole control plane, as a client sees them; and in a storm, counted exactly once."""

from __future__ import annotations

from typing import Any

from simulation.quiet import Quiet, pod_template, quietly
from steersman.model.kind import Document
from steersman.model.kinds.job import JOB
from steersman.model.kinds.pod import POD
from steersman.node.simulated.behaviour import Behaviour

SUM = JOB.ref("default", "sum")


def template(**spec: Any) -> Document:
    """Returns the template of a pod that ends by itself."""
    made = pod_template({})
    made["spec"] |= {"restartPolicy": "Never", **spec}
    return made


async def begin(quiet: Quiet, **spec: Any) -> Any:
    return await quiet.create(JOB, "sum", spec={"template": template(), **spec})


async def has(quiet: Quiet, kind: str) -> Any:
    job = await quiet.admin.get(SUM)
    found = [it for it in job.status.conditions if it.type == kind and it.status == "True"]
    return job if found else None


async def pods(quiet: Quiet) -> list[Any]:
    return await quiet.items(POD)


def test_an_indexed_job_completes_and_its_pods_are_free() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet, completions=5, parallelism=2, completionMode="Indexed")
        job = await quiet.until(lambda: has(quiet, "Complete"))
        assert (job.status.succeeded, job.status.completed_indexes) == (5, "0-4")
        assert (job.status.active, job.status.ready, job.status.terminating) == (0, 0, 0)
        await quiet.world.sleep(1)
        found = await pods(quiet)
        assert sorted(it.spec.hostname for it in found) == [f"sum-{index}" for index in range(5)]
        assert [it.metadata.finalizers for it in found] == [()] * 5
        assert ("Completed", "Job completed") in await quiet.events("Job")

    quietly(scenario)


def test_a_job_whose_pods_fail_gives_up_after_its_back_off() -> None:
    async def scenario(quiet: Quiet) -> None:
        began = quiet.world.now()
        await begin(quiet, backoffLimit=2)
        job = await quiet.until(lambda: has(quiet, "Failed"), within=300)
        assert quiet.world.now() - began > 10 + 20
        assert job.status.failed == 3
        text = "Job has reached the specified backoff limit"
        assert ("BackoffLimitExceeded", text) in await quiet.events("Job")
        assert len(await pods(quiet)) == 3

    quietly(scenario, behaviour=Behaviour(crash_chance=1.0))


def test_a_suspended_job_loses_its_pods_and_goes_on_when_it_is_resumed() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet, completions=2, parallelism=2)
        await quiet.until(lambda: active(quiet, 2))
        await quiet.admin.patch(SUM, {"spec": {"suspend": True}})
        await quiet.until(lambda: has(quiet, "Suspended"))
        await quiet.until(lambda: empty(quiet))
        await quiet.admin.patch(SUM, {"spec": {"suspend": False}})
        job = await quiet.until(lambda: has(quiet, "Complete"), within=300)
        assert (job.status.succeeded, job.status.failed) == (2, 0)

    quietly(scenario, behaviour=Behaviour(run_seconds=60.0))


async def active(quiet: Quiet, number: int) -> bool:
    return bool((await quiet.admin.get(SUM)).status.active == number)


async def empty(quiet: Quiet) -> bool:
    return not await pods(quiet)


def test_a_job_that_takes_too_long_fails_with_its_running_pods() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet, activeDeadlineSeconds=20)
        job = await quiet.until(lambda: has(quiet, "Failed"))
        assert [it.reason for it in job.status.conditions] == ["DeadlineExceeded"] * 2
        assert job.status.failed == 1
        await quiet.until(lambda: empty(quiet))

    quietly(scenario, behaviour=Behaviour(run_seconds=500.0, stop_seconds=2.0))


def test_a_deleted_job_frees_the_pods_it_leaves_behind() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet, completions=2, parallelism=2)
        await quiet.until(lambda: active(quiet, 2))
        await quiet.admin.delete(SUM, propagation="Orphan")
        await quiet.until(lambda: quiet.gone(SUM))
        await quiet.world.sleep(5)
        left = await pods(quiet)
        assert [it.metadata.finalizers for it in left] == [()] * 2

    quietly(scenario, behaviour=Behaviour(run_seconds=500.0))


def test_a_deleted_job_takes_its_running_pods_along() -> None:
    async def scenario(quiet: Quiet) -> None:
        for propagation in ("Background", "Foreground"):
            await begin(quiet, completions=2, parallelism=2)
            await quiet.until(lambda: active(quiet, 2))
            await quiet.admin.delete(SUM, propagation=propagation)
            await quiet.until(lambda: quiet.gone(SUM))
            await quiet.until(lambda: empty(quiet))

    quietly(scenario, behaviour=Behaviour(run_seconds=500.0, stop_seconds=2.0))


def test_a_finished_job_goes_with_its_pods_after_its_time_to_live() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet, ttlSecondsAfterFinished=30)
        await quiet.until(lambda: has(quiet, "Complete"))
        await quiet.world.sleep(20)
        assert not await quiet.gone(SUM)
        await quiet.until(lambda: quiet.gone(SUM))
        assert await pods(quiet) == []

    quietly(scenario)
