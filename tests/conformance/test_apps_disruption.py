"""PodDisruptionBudget and eviction: the rows of [sig-apps] DisruptionController."""

from __future__ import annotations

from typing import Any

from served import JSON_PATCH, Answer, Document
from simulation.objects import Objects, condition_of, seen
from simulation.quiet import Quiet, pod_template, quietly

APP = {"foo": "bar"}


async def begin(quiet: Quiet, spec: Any, name: str = "foo") -> Objects:
    """Creates a budget for the pods of the test."""
    budgets = Objects(quiet, "policy/v1", "poddisruptionbudgets")
    made = {"selector": {"matchLabels": APP}, **spec}
    await budgets.post(name, spec=made, metadata={"labels": APP})
    return budgets


async def make_pods(quiet: Quiet, count: int) -> Objects:
    """Creates pods with no owner, and waits until they are ready."""
    pods = Objects(quiet, "/api/v1", "pods")
    for number in range(count):
        spec = pod_template(APP)["spec"]
        await pods.post(f"pod-{number}", metadata={"labels": APP}, spec=spec)
    await quiet.until(lambda: all_ready(pods, count))
    return pods


async def all_ready(pods: Objects, count: int) -> bool:
    found = [condition_of(it, "Ready").get("status") for it in await pods.items()]
    return found == ["True"] * count


async def settled(budgets: Objects, **wanted: int) -> Document | None:
    """Returns the budget once its status is about its present spec and says what is wanted."""
    found = await budgets.get("foo")
    status = found.get("status", {})
    current = status.get("observedGeneration") == found["metadata"]["generation"]
    return found if current and all(status.get(it) == wanted[it] for it in wanted) else None


async def evict(pods: Objects, name: str) -> Answer:
    """Asks for a pod's eviction."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return await pods.api.post(f"{pods.path}/{name}/eviction", body)


def test_a_budget_is_created_replaced_patched_and_deleted() -> None:
    async def scenario(quiet: Quiet) -> None:
        budgets = await begin(quiet, {"minAvailable": "1%"})
        await quiet.until(lambda: settled(budgets))
        whole = await budgets.get("foo")
        whole["spec"]["minAvailable"] = "2%"
        assert (await budgets.put(whole))["spec"]["minAvailable"] == "2%"
        await quiet.until(lambda: settled(budgets))
        patched = await budgets.patch("foo", {"spec": {"minAvailable": "3%"}})
        assert patched["spec"]["minAvailable"] == "3%"
        await quiet.until(lambda: settled(budgets))
        await budgets.delete("foo")
        assert await budgets.names() == []

    quietly(scenario)


def test_budgets_are_listed_in_all_namespaces_and_deleted_as_a_collection() -> None:
    async def scenario(quiet: Quiet) -> None:
        budgets = await begin(quiet, {"minAvailable": 1})
        await begin(quiet, {"minAvailable": "10%"}, "foo2")
        spaces = Objects(quiet, "/api/v1", "namespaces", "")
        await spaces.post("other")
        others = Objects(quiet, "policy/v1", "poddisruptionbudgets", "other")
        await others.post("foo3", metadata={"labels": APP}, spec={"minAvailable": 2})
        assert await budgets.names("foo=bar", everywhere=True) == ["foo", "foo2", "foo3"]
        assert await budgets.names() == ["foo", "foo2"]
        await budgets.clear("foo=bar")
        assert await budgets.names(everywhere=True) == ["foo3"]

    quietly(scenario)


def test_the_status_follows_the_pods() -> None:
    async def scenario(quiet: Quiet) -> None:
        budgets = await begin(quiet, {"minAvailable": 1})
        pods = await make_pods(quiet, 2)
        counts = {"expectedPods": 2, "currentHealthy": 2, "desiredHealthy": 1}
        found = await quiet.until(lambda: settled(budgets, disruptionsAllowed=1, **counts))
        allowed = condition_of(found, "DisruptionAllowed")
        assert (allowed["status"], allowed["reason"]) == ("True", "SufficientPods")
        await pods.delete("pod-0")
        found = await quiet.until(lambda: settled(budgets, disruptionsAllowed=0, currentHealthy=1))
        allowed = condition_of(found, "DisruptionAllowed")
        assert (allowed["status"], allowed["reason"]) == ("False", "InsufficientPods")

    quietly(scenario)


def test_the_status_is_replaced_and_patched_by_itself() -> None:
    async def scenario(quiet: Quiet) -> None:
        budgets = await begin(quiet, {"minAvailable": 1})
        await make_pods(quiet, 1)
        await quiet.until(lambda: settled(budgets, currentHealthy=1))
        watched = await budgets.watch()
        gone = {"pod-0": "2026-01-02T03:04:05Z"}
        whole = await budgets.get("foo", "status")
        whole["status"]["disruptedPods"] = gone
        whole["spec"]["minAvailable"] = 2
        answer = await budgets.put(whole, "status")
        assert (answer["status"]["disruptedPods"], answer["spec"]["minAvailable"]) == (gone, 1)
        more = {"pod-1": "2026-01-02T03:04:05Z"}
        change = [{"op": "add", "path": "/status/disruptedPods", "value": more}]
        answer = await budgets.patch("foo", change, "status", JSON_PATCH)
        assert answer["status"]["disruptedPods"] == more
        # the controller drops those that it cannot wait for any more
        await seen(watched, "MODIFIED", lambda it: not it["status"].get("disruptedPods"))

    quietly(scenario)


def test_an_eviction_is_refused_until_the_budget_allows_it() -> None:
    async def scenario(quiet: Quiet) -> None:
        pods = await make_pods(quiet, 3)
        budgets = await begin(quiet, {"minAvailable": 3})
        await quiet.until(lambda: settled(budgets, disruptionsAllowed=0, currentHealthy=3))
        refused = await evict(pods, "pod-0")
        text = "Cannot evict pod as it would violate the pod's disruption budget."
        assert (refused.code, refused.message) == (429, text)
        (cause,) = refused.document["details"]["causes"]
        assert cause["reason"] == "DisruptionBudget"
        await budgets.patch("foo", {"spec": {"minAvailable": 2}})
        await quiet.until(lambda: settled(budgets, disruptionsAllowed=1))
        assert (await evict(pods, "pod-0")).code == 201
        await quiet.until(lambda: pods.count(2))
        await budgets.patch("foo", {"spec": {"minAvailable": None, "maxUnavailable": 0}})
        await quiet.until(lambda: settled(budgets, disruptionsAllowed=0))
        assert (await evict(pods, "pod-1")).code == 429
        await budgets.delete("foo")
        assert (await evict(pods, "pod-1")).code == 201
        await quiet.until(lambda: pods.count(1))

    quietly(scenario)
