"""CronJob: the rows of [sig-apps] CronJob, in virtual time."""

from __future__ import annotations

from typing import Any

from served import Document
from simulation.objects import Objects, seen
from simulation.quiet import Quiet, pod_template, quietly
from steersman.node.simulated.behaviour import Behaviour

MINUTE = 60.0
# Each job takes five minutes, so that the next is due while it runs
LONG = Behaviour(run_seconds=300.0)
LABEL = "special-label=test"


def cron_job(**spec: Any) -> Document:
    """Returns the spec of a CronJob whose turn comes every minute."""
    template = pod_template({})
    template["spec"]["restartPolicy"] = "OnFailure"
    return {
        "schedule": "*/1 * * * *",
        "concurrencyPolicy": "Allow",
        "jobTemplate": {"spec": {"template": template}},
        **spec,
    }


async def active(crons: Objects, number: int) -> Any:
    """Returns the names of active jobs once there are so many."""
    found = (await crons.get("every")).get("status", {}).get("active", ())
    return sorted(it["name"] for it in found) if len(found) == number else None


def test_a_suspended_one_schedules_no_jobs() -> None:
    async def scenario(quiet: Quiet) -> None:
        crons, jobs = Objects(quiet, "batch/v1", "cronjobs"), Objects(quiet, "batch/v1", "jobs")
        await crons.post("every", spec=cron_job(suspend=True))
        await quiet.world.sleep(5 * MINUTE)
        assert await active(crons, 0) == []
        assert await jobs.names() == []

    quietly(scenario)


def test_forbid_schedules_no_new_job_beside_one_that_runs() -> None:
    async def scenario(quiet: Quiet) -> None:
        crons, jobs = Objects(quiet, "batch/v1", "cronjobs"), Objects(quiet, "batch/v1", "jobs")
        await crons.post("every", spec=cron_job(concurrencyPolicy="Forbid"))
        first = await quiet.until(lambda: active(crons, 1), within=2 * MINUTE)
        assert await jobs.names() == first
        await quiet.world.sleep(2 * MINUTE)
        assert await active(crons, 1) == first
        assert await jobs.names() == first
        (owner,) = (await jobs.get(first[0]))["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("CronJob", "every", True)

    quietly(scenario, behaviour=LONG)


def test_replace_ends_the_job_that_runs_for_the_next() -> None:
    async def scenario(quiet: Quiet) -> None:
        crons, jobs = Objects(quiet, "batch/v1", "cronjobs"), Objects(quiet, "batch/v1", "jobs")
        await crons.post("every", spec=cron_job(concurrencyPolicy="Replace"))
        first = await quiet.until(lambda: active(crons, 1), within=2 * MINUTE)
        await quiet.world.sleep(MINUTE)
        second = await quiet.until(lambda: active(crons, 1), within=2 * MINUTE)
        assert second != first
        await quiet.until(lambda: jobs.count(1))
        assert await jobs.names() == second

    quietly(scenario, behaviour=LONG)


def test_allow_runs_several_jobs_side_by_side() -> None:
    async def scenario(quiet: Quiet) -> None:
        crons, jobs = Objects(quiet, "batch/v1", "cronjobs"), Objects(quiet, "batch/v1", "jobs")
        await crons.post("every", spec=cron_job())
        both = await quiet.until(lambda: active(crons, 2), within=3 * MINUTE)
        assert await jobs.names() == both
        for name in both:
            assert "completionTime" not in (await jobs.get(name))["status"]

    quietly(scenario, behaviour=LONG)


def test_every_verb_of_its_api_answers() -> None:
    async def scenario(quiet: Quiet) -> None:
        crons = Objects(quiet, "batch/v1", "cronjobs")
        groups = (await crons.api.get("/apis")).ok()["groups"]
        (batch,) = [it for it in groups if it["name"] == "batch"]
        assert "batch/v1" in [it["groupVersion"] for it in batch["versions"]]
        told = await crons.resource()
        verbs = "create delete deletecollection get list patch update watch"
        assert (told["kind"], sorted(told["verbs"])) == ("CronJob", verbs.split())
        watched = await crons.watch(LABEL)
        labels = {"special-label": "test"}
        yearly = cron_job(schedule="0 0 1 1 *")
        for name in ("one", "two", "three"):
            await crons.post(name, metadata={"labels": labels}, spec=yearly)
        assert (await crons.get("one"))["spec"]["schedule"] == "0 0 1 1 *"
        every = ["one", "three", "two"]
        assert await crons.names(LABEL) == await crons.names(LABEL, everywhere=True) == every
        patched = await crons.patch("one", {"metadata": {"annotations": {"patched": "true"}}})
        assert patched["metadata"]["annotations"]["patched"] == "true"
        patched["metadata"]["annotations"]["updated"] = "true"
        await crons.put(patched)
        for kind, mark in (("ADDED", ""), ("MODIFIED", "patched"), ("MODIFIED", "updated")):
            await seen(watched, kind, lambda it, mark=mark: not mark or marked(it, mark))  # type: ignore[misc]
        await status_verbs(crons)
        await crons.delete("one")
        await seen(watched, "DELETED", lambda it: it["metadata"]["name"] == "one")
        assert await crons.names(LABEL) == ["three", "two"]
        await crons.clear(LABEL)
        assert await crons.names(LABEL) == []

    quietly(scenario)


def marked(document: Document, mark: str) -> bool:
    """Says whether an object bears an annotation."""
    return mark in document["metadata"].get("annotations", {})


async def status_verbs(crons: Objects) -> None:
    """The status alone is patched, replaced and read, and nothing else with it."""
    at = "2026-01-02T03:04:05Z"
    change = {"metadata": {"annotations": {"status": "1"}}, "status": {"lastScheduleTime": at}}
    patched = await crons.patch("one", change, "status")
    assert patched["status"]["lastScheduleTime"] == at
    assert patched["metadata"]["annotations"]["status"] == "1"
    later = "2026-01-03T03:04:05Z"
    patched["status"]["lastScheduleTime"] = later
    patched["spec"]["suspend"] = True
    replaced = await crons.put(patched, "status")
    assert (await crons.get("one", "status"))["status"] == replaced["status"]
    assert (replaced["status"]["lastScheduleTime"], replaced["spec"]["suspend"]) == (later, False)
