"""Evictions through the served API: budgets that allow them, and all the ways they do not."""

from __future__ import annotations

from typing import Any

from served import MERGE, PODS, Served, pod, served

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
    return await api.post(f"{PODS}/{name}/eviction", {"deleteOptions": options})


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
    answer = await api.post(f"{PODS}/a1/eviction", {}, dryRun="All")
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
