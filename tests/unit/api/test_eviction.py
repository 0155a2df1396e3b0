"""Evictions through the served API: budgets that allow them, and all the ways they do not."""

from __future__ import annotations

from typing import Any

import pytest

from served import MERGE, PODS, Served, pod, served
from steersman.api.subresources import eviction
from steersman.model.errors import Forbidden, TooManyRequests

BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."
READY = [{"type": "Ready", "status": "True"}]


async def run(api: Served, name: str, phase: str = "Running", ready: bool = True) -> None:
    """Makes a pod that runs."""
    (await api.post(PODS, pod(name, nodeName="n"))).ok()
    labels = {"metadata": {"labels": {"app": "web"}}}
    (await api.patch(f"{PODS}/{name}", labels, MERGE)).ok()
    status = {"phase": phase, "conditions": READY if ready else []}
    (await api.patch(f"{PODS}/{name}/status", {"status": status}, MERGE)).ok()


async def limit(api: Served, name: str = "b", spec: Any = None, **status: Any) -> None:
    """Makes a budget whose status is as a controller would write it."""
    selector = {"matchLabels": {"app": "web"}}
    document = {"metadata": {"name": name}, "spec": {"selector": selector, **(spec or {})}}
    (await api.post(BUDGETS, document)).ok()
    counts = {"observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 1}
    counts |= {"disruptionsAllowed": 1, "expectedPods": 2, **status}
    (await api.patch(f"{BUDGETS}/{name}/status", {"status": counts}, MERGE)).ok()


async def evict(api: Served, name: str, **options: Any) -> Any:
    eviction = {"metadata": {"name": name}, "deleteOptions": options}
    return await api.post(f"{PODS}/{name}/eviction", eviction)


async def status(api: Served, name: str = "b") -> Any:
    return (await api.get(f"{BUDGETS}/{name}")).document["status"]


def causes(answer: Any) -> list[tuple[str, str]]:
    return [(it["reason"], it["message"]) for it in answer.document["details"]["causes"]]


@served
async def test_an_eviction_uses_up_the_budget_and_says_so(api: Served) -> None:
    await run(api, "a1")
    await run(api, "a2")
    await limit(api)
    answer = await evict(api, "a1")
    assert (answer.code, answer.document["status"]) == (201, "Success")
    ending = (await api.get(f"{PODS}/a1")).document
    assert ending["metadata"]["deletionTimestamp"]
    told = next(it for it in ending["status"]["conditions"] if it["type"] == "DisruptionTarget")
    assert (told["status"], told["reason"]) == ("True", "EvictionByEvictionAPI")
    assert told["message"] == "Eviction API: evicting"
    after = await status(api)
    assert after["disruptionsAllowed"] == 0
    assert list(after["disruptedPods"]) == ["a1"]
    (condition,) = after["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "InsufficientPods")
    answer = await evict(api, "a2")
    assert (answer.code, answer.message) == (429, VIOLATES)
    assert answer.document["reason"] == "TooManyRequests"
    text = "The disruption budget b needs 1 healthy pods and has 2 currently"
    assert causes(answer) == [("DisruptionBudget", text)]
    assert "deletionTimestamp" not in (await api.get(f"{PODS}/a2")).document["metadata"]


@served
async def test_a_budget_that_is_not_counted_yet_allows_nothing(api: Served) -> None:
    await run(api, "a1")
    await limit(api, observedGeneration=0)
    answer = await evict(api, "a1")
    assert (answer.code, answer.message) == (429, VIOLATES)
    text = "The disruption budget b is still being processed by the server."
    assert causes(answer) == [("DisruptionBudget", text)]
    assert answer.document["details"]["retryAfterSeconds"] == 10


@served
async def test_a_budget_that_could_not_be_counted_says_why(api: Served) -> None:
    await run(api, "a1")
    failed = {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed"}
    failed |= {"message": "no scale", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    await limit(api, disruptionsAllowed=0, conditions=[failed])
    text = "The disruption budget b does not allow evicting pods currently because it failed sync:"
    assert causes(await evict(api, "a1")) == [("DisruptionBudget", f"{text} no scale")]


@served
async def test_a_dry_run_asks_the_budget_and_changes_nothing(api: Served) -> None:
    await run(api, "a1")
    await limit(api)
    assert (await evict(api, "a1", dryRun=["All"])).code == 201
    answer = await api.post(f"{PODS}/a1/eviction", {"metadata": {"name": "a1"}}, dryRun="All")
    assert answer.code == 201
    assert (await status(api))["disruptionsAllowed"] == 1
    assert "deletionTimestamp" not in (await api.get(f"{PODS}/a1")).document["metadata"]
    patch = {"status": {"disruptionsAllowed": 0}}
    (await api.patch(f"{BUDGETS}/b/status", patch, MERGE)).ok()
    assert (await evict(api, "a1", dryRun=["All"])).code == 429


@served
async def test_a_pod_of_several_budgets_cannot_be_evicted(api: Served) -> None:
    await run(api, "a1")
    await limit(api)
    await limit(api, "other")
    answer = await evict(api, "a1")
    text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does "
    assert (answer.code, answer.message) == (500, f"{text}not support.")


@served
async def test_pods_that_do_not_count_are_deleted_whatever_a_budget_says(api: Served) -> None:
    await limit(api, disruptionsAllowed=0)
    for phase in ("Pending", "Failed", "Succeeded"):
        await run(api, "a1", phase)
        assert (await evict(api, "a1", gracePeriodSeconds=0)).code == 201
        assert (await api.get(f"{PODS}/a1")).code == 404
    (await api.post(PODS, pod("free", nodeName="n"))).ok()
    assert (await evict(api, "free")).code == 201


@served
async def test_unhealthy_pods_go_where_the_budget_is_met_or_always(api: Served) -> None:
    await run(api, "a1", ready=False)
    await limit(api, disruptionsAllowed=0, currentHealthy=1)
    assert (await evict(api, "a1")).code == 201
    assert "disruptedPods" not in await status(api)
    await run(api, "a2", ready=False)
    patch = {"status": {"currentHealthy": 0}}
    (await api.patch(f"{BUDGETS}/b/status", patch, MERGE)).ok()
    assert (await evict(api, "a2")).code == 429
    always = {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}}
    (await api.patch(f"{BUDGETS}/b", always, MERGE)).ok()
    assert (await evict(api, "a2")).code == 201


@served
async def test_an_eviction_of_another_pod_than_the_one_meant_is_refused(api: Served) -> None:
    await run(api, "a1")
    await limit(api)
    assert (await evict(api, "a1", preconditions={"uid": "other"})).code == 409
    assert (await evict(api, "a1", preconditions={"resourceVersion": "1"})).code == 409
    assert (await status(api))["disruptionsAllowed"] == 1
    found = (await api.get(f"{PODS}/a1")).document["metadata"]
    assert "deletionTimestamp" not in found
    exact = {"uid": found["uid"], "resourceVersion": found["resourceVersion"]}
    assert (await evict(api, "a1", preconditions=exact)).code == 201


Document = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"


def budget(spec: Document | None = None, **status: Any) -> Document:
    return {"metadata": {"name": "b", "generation": 2}, "spec": spec or {},
            "status": {"observedGeneration": 2, **status}}  # fmt: skip


WELL: Document = {"status": {"conditions": READY}}
UNWELL: Document = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
ALWAYS = {"unhealthyPodEvictionPolicy": "AlwaysAllow"}


@pytest.mark.parametrize(
    ("given", "which", "free"),
    [
        (budget(currentHealthy=3, desiredHealthy=3), WELL, False),
        (budget(currentHealthy=3, desiredHealthy=3), UNWELL, True),
        (budget(currentHealthy=2, desiredHealthy=3), UNWELL, False),
        (budget(currentHealthy=3, desiredHealthy=0), UNWELL, False),
        (budget(ALWAYS, currentHealthy=0, desiredHealthy=3), UNWELL, True),
        (budget(ALWAYS, currentHealthy=0, desiredHealthy=3), WELL, False),
        (budget(ALWAYS), {}, True),
    ],
)
def test_a_pod_that_is_not_ready_goes_free_where_enough_are(
    given: Document, which: Document, free: bool
) -> None:
    assert eviction.is_free(given, which) is free


def test_a_budget_is_counted_down_to_nothing_and_no_further() -> None:
    two = budget(disruptionsAllowed=2, disruptedPods={"x": "t"})
    one = eviction.count_down(two, "p", NOW)
    assert one["status"]["disruptionsAllowed"] == 1
    assert one["status"]["disruptedPods"] == {"x": "t", "p": NOW}
    assert "conditions" not in one["status"]
    assert two["status"]["disruptionsAllowed"] == 2
    none = eviction.count_down(one, "q", NOW)
    (condition,) = none["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "DisruptionAllowed",
        "False",
        "InsufficientPods",
    )
    with pytest.raises(TooManyRequests) as caught:
        eviction.count_down(none, "r", NOW)
    assert not caught.value.retry_after_seconds
    late = {**two, "metadata": {"name": "b", "generation": 3}}
    with pytest.raises(TooManyRequests) as caught:
        eviction.count_down(late, "p", NOW)
    assert caught.value.retry_after_seconds == 10


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"disruptionsAllowed": -1}, "pdb disruptions allowed is negative"),
        (
            {"disruptionsAllowed": 1, "disruptedPods": {str(n): "t" for n in range(2001)}},
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ),
    ],
)
def test_a_budget_that_cannot_be_right_is_not_counted_down(status: Document, why: str) -> None:
    with pytest.raises(Forbidden, match=why):
        eviction.count_down(budget(**status), "p", NOW)
    most = {str(number): "t" for number in range(2000)}
    assert eviction.count_down(budget(disruptionsAllowed=1, disruptedPods=most), "p", NOW)


def test_the_time_at_which_a_budget_was_used_up_stays() -> None:
    known = {"type": "DisruptionAllowed", "status": "False", "lastTransitionTime": "t"}
    for before, after in (("False", "t"), ("True", NOW)):
        given = budget(
            disruptionsAllowed=1, conditions=[{**known, "status": before}, {"type": "X"}]
        )
        found = eviction.count_down(given, "p", NOW)["status"]["conditions"]
        assert [one["type"] for one in found] == ["X", "DisruptionAllowed"]
        assert found[1]["lastTransitionTime"] == after


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Pending", "Running", None])
def test_no_budget_counts_a_pod_that_does_not_run(phase: str | None) -> None:
    pod = {"metadata": {}, "status": {"phase": phase}}
    assert eviction.is_ignored(pod) is (phase in ("Succeeded", "Failed", "Pending"))
    assert eviction.is_ignored({**pod, "metadata": {"deletionTimestamp": "t"}})


def test_a_pod_says_once_why_it_ends() -> None:
    pod = {"metadata": {}, "status": {"conditions": [{"type": "Ready"}]}}
    once = eviction.disrupted(pod, NOW)
    twice = eviction.disrupted(once, NOW)
    assert once == twice
    assert [one["type"] for one in twice["status"]["conditions"]] == ["Ready", "DisruptionTarget"]
