"""Job: the rows of [sig-apps] Job that are about the controller and the API."""

from __future__ import annotations

import json
from typing import Any

from served import Document
from simulation.objects import Objects, condition_of, seen
from simulation.quiet import Quiet, pod_template, quietly
from steersman.node.simulated.behaviour import Behaviour

INDEX = "batch.kubernetes.io/job-completion-index"
RULES = "steersman.dev/behaviour"
LASTING = Behaviour(run_seconds=3600.0)


def template(exit_code: int = 0, run_for: str = "") -> Document:
    """Returns a pod template whose container ends as is said."""
    made = pod_template({})
    marks = {"steersman.dev/exit-code": str(exit_code)}
    if run_for:
        marks["steersman.dev/run-for"] = run_for
    made["metadata"]["annotations"] = marks
    made["spec"]["restartPolicy"] = "Never"
    return made


class Sum:
    """A Job `sum` and its pods."""

    def __init__(self, quiet: Quiet) -> None:
        self.quiet = quiet
        self.jobs = Objects(quiet, "batch/v1", "jobs")
        self.pods = Objects(quiet, "/api/v1", "pods")

    async def begin(self, **spec: Any) -> None:
        await self.jobs.post("sum", spec={"template": template(), **spec})

    async def condition(self, kind: str) -> Document | None:
        """Returns the job once it has a condition."""
        found = await self.jobs.get("sum")
        return found if condition_of(found, kind).get("status") == "True" else None

    async def ends(self, kind: str) -> Document:
        found: Document = await self.quiet.until(lambda: self.condition(kind), within=600)
        return found

    async def active(self, number: int) -> bool:
        return bool((await self.jobs.get("sum")).get("status", {}).get("active", 0) == number)

    async def indexes(self, exit_code: int, *indexes: int) -> None:
        """Says of every node that these indexes of a job end with a code."""
        rules = [{"match": {INDEX: str(it)}, "exitCode": exit_code} for it in indexes]
        nodes = Objects(self.quiet, "/api/v1", "nodes", "")
        mark = {"metadata": {"annotations": {RULES: json.dumps({"pods": rules})}}}
        for name in await nodes.names():
            await nodes.patch(name, mark)


def indexed(completions: int, **spec: Any) -> Document:
    """Returns the spec of an indexed job; how its pods end is said of the nodes."""
    made = pod_template({})
    made["spec"]["restartPolicy"] = "Never"
    sizes = {"completions": completions, "parallelism": completions}
    return {"template": made, "completionMode": "Indexed", **sizes, **spec}


def on_exit(action: str, code: int) -> Document:
    """Returns a pod failure policy for an exit code."""
    codes = {"containerName": "web", "operator": "In", "values": [code]}
    return {"rules": [{"action": action, "onExitCodes": codes}]}


def test_an_exit_code_fails_a_job_early() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Sum(quiet)
        policy = on_exit("FailJob", 1)
        await it.begin(template=template(1), backoffLimit=1, podFailurePolicy=policy)
        failed = condition_of(await it.ends("Failed"), "Failed")
        assert failed["reason"] == "PodFailurePolicy"
        assert str(failed["message"]).endswith(
            "failed with exit code 1 matching FailJob rule at index 0"
        )
        assert await it.pods.count(1)

    quietly(scenario)


def test_an_evicted_pod_does_not_count_where_the_policy_ignores_disruptions() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Sum(quiet)
        disrupted = {"type": "DisruptionTarget", "status": "True"}
        policy = {"rules": [{"action": "Ignore", "onPodConditions": [disrupted]}]}
        made = template(run_for="60s")
        sizes = {"completions": 2, "parallelism": 2}
        await it.begin(template=made, backoffLimit=0, podFailurePolicy=policy, **sizes)
        await quiet.until(lambda: running(it, 2))
        victim = (await it.pods.names())[0]
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": victim}}
        assert (await it.jobs.api.post(f"{it.pods.path}/{victim}/eviction", eviction)).code == 201
        found = await it.ends("Complete")
        assert (found["status"]["succeeded"], found["status"].get("failed", 0)) == (2, 0)
        assert victim not in await it.pods.names()

    quietly(scenario)


async def running(it: Sum, number: int) -> bool:
    phases = [pod.get("status", {}).get("phase") for pod in await it.pods.items()]
    return phases == ["Running"] * number


def test_an_indexed_job_has_one_pod_for_each_index_with_its_host_name() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Sum(quiet)
        await it.begin(completionMode="Indexed", completions=4, parallelism=2)
        found = await it.ends("Complete")
        assert found["status"]["completedIndexes"] == "0-3"
        pods = await it.pods.items()
        assert sorted(pod["metadata"]["annotations"][INDEX] for pod in pods) == list("0123")
        for pod in pods:
            index = pod["metadata"]["annotations"][INDEX]
            assert pod["spec"]["hostname"] == f"sum-{index}"
            assert pod["metadata"]["name"].startswith(f"sum-{index}-")

    quietly(scenario)


def test_a_deleted_job_goes_with_its_pods() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Sum(quiet)
        await it.begin(parallelism=2, completions=2)
        await quiet.until(lambda: running(it, 2))
        await it.jobs.delete("sum", propagationPolicy="Foreground")
        await quiet.until(lambda: it.jobs.count(0))
        assert await it.pods.names() == []

    quietly(scenario, behaviour=LASTING)


def test_a_job_adopts_orphans_that_match_and_releases_pods_that_do_not() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Sum(quiet)
        await it.begin(parallelism=2, completions=2)
        await quiet.until(lambda: running(it, 2))
        name = (await it.pods.names())[0]
        await it.pods.patch(name, {"metadata": {"ownerReferences": None}})
        await quiet.until(lambda: owned(it, name))
        labels = (await it.pods.get(name))["metadata"]["labels"]
        await it.pods.patch(name, {"metadata": {"labels": dict.fromkeys(labels)}})
        await quiet.until(lambda: owned(it, name, still=False))

    quietly(scenario, behaviour=LASTING)


async def owned(it: Sum, name: str, *, still: bool = True) -> bool:
    owners = (await it.pods.get(name))["metadata"].get("ownerReferences", [])
    return ([owner["name"] for owner in owners] == ["sum"]) is still


def test_all_indexes_are_run_though_some_fail() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Sum(quiet)
        await it.indexes(1, 1, 3)
        await it.jobs.post("sum", spec=indexed(4, backoffLimitPerIndex=1))
        found = await it.ends("Failed")
        status = found["status"]
        assert condition_of(found, "Failed")["reason"] == "FailedIndexes"
        assert (status["failedIndexes"], status["completedIndexes"]) == ("1,3", "0,2")
        assert (status["failed"], status["succeeded"]) == (4, 2)

    quietly(scenario)


def test_a_rule_for_an_exit_code_fails_its_index_at_once() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Sum(quiet)
        await it.indexes(3, 1, 3)
        policy = on_exit("FailIndex", 3)
        await it.jobs.post("sum", spec=indexed(4, backoffLimitPerIndex=1, podFailurePolicy=policy))
        status = (await it.ends("Failed"))["status"]
        assert (status["failedIndexes"], status["completedIndexes"]) == ("1,3", "0,2")
        assert (status["failed"], status["succeeded"]) == (2, 2)

    quietly(scenario)


def test_more_failed_indexes_than_are_allowed_end_the_job() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Sum(quiet)
        await it.indexes(1, *range(8))
        spec = indexed(10, backoffLimitPerIndex=0, maxFailedIndexes=4)
        await it.jobs.post("sum", spec=spec | {"parallelism": 1})
        found = await it.ends("Failed")
        failed = condition_of(found, "Failed")
        assert failed["reason"] == "MaxFailedIndexesExceeded"
        assert (
            failed["message"] == "Job has exceeded the specified maximal number of failed indexes"
        )
        assert (found["status"]["failedIndexes"], found["status"]["failed"]) == ("0-4", 5)
        assert not found["status"].get("completedIndexes")

    quietly(scenario)


def test_a_success_policy_for_all_indexes_is_met_when_all_succeed() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Sum(quiet)
        policy = {"rules": [{"succeededIndexes": "0-1"}]}
        await it.jobs.post("sum", spec=indexed(2, successPolicy=policy))
        found = await it.ends("Complete")
        assert condition_of(found, "SuccessCriteriaMet")["reason"] == "SuccessPolicy"
        assert condition_of(found, "Complete")["reason"] == "SuccessPolicy"
        assert (found["status"]["completedIndexes"], found["status"]["succeeded"]) == ("0,1", 2)

    quietly(scenario)


def test_an_index_that_counts_is_enough_though_others_are_pending() -> None:
    async def scenario(quiet: Quiet) -> None:
        await met_early(quiet, {"succeededIndexes": "0"})

    quietly(scenario)


def test_a_number_of_indexes_is_enough_though_others_are_pending() -> None:
    async def scenario(quiet: Quiet) -> None:
        await met_early(quiet, {"succeededCount": 1})

    quietly(scenario)


async def met_early(quiet: Quiet, rule: Document) -> None:
    """Index 0 succeeds, the others fail; the job is complete by its success policy."""
    it = Sum(quiet)
    await it.indexes(1, 1, 2, 3, 4)
    spec = indexed(5, backoffLimit=6, successPolicy={"rules": [rule]})
    await it.jobs.post("sum", spec=spec)
    found = await it.ends("Complete")
    for kind in ("SuccessCriteriaMet", "Complete"):
        assert condition_of(found, kind)["reason"] == "SuccessPolicy"
        assert condition_of(found, kind)["message"] == "Matched rules at index 0"
    assert (found["status"]["completedIndexes"], found["status"]["succeeded"]) == ("0", 1)


def test_a_job_lives_its_whole_life() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Sum(quiet)
        label = {"e2e-job": "sum"}
        watched = await it.jobs.watch("e2e-job=sum")
        suspended = {"template": template(), "suspend": True, "parallelism": 2, "completions": 2}
        await it.jobs.post("sum", spec=suspended, metadata={"labels": label})
        await it.ends("Suspended")
        patched = await it.jobs.patch("sum", {"metadata": {"labels": {"e2e-job-patch": "sum"}}})
        await seen(watched, "MODIFIED", lambda job: "e2e-job-patch" in job["metadata"]["labels"])
        patched = await it.jobs.get("sum")
        patched["spec"]["suspend"] = False
        patched["metadata"]["annotations"] = {"updated": "true"}
        await it.jobs.put(patched)
        await seen(watched, "MODIFIED", lambda job: "annotations" in job["metadata"])
        assert await it.jobs.names("e2e-job=sum", everywhere=True) == ["sum"]
        await it.ends("Complete")
        await it.jobs.clear("e2e-job=sum")
        await seen(watched, "DELETED", lambda job: job["metadata"]["name"] == "sum")
        assert await it.jobs.names(everywhere=True) == []

    quietly(scenario)
