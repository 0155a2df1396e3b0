"""ReplicaSet and ReplicationController: the rows of [sig-apps] ReplicaSet and ReplicationController
that are about the controllers and the API; what real containers serve is in tests/system/node.
"""

from __future__ import annotations

from typing import Any

from served import STRATEGIC, Document
from simulation.objects import Objects, condition_of, seen
from simulation.quiet import Quiet, pod_template, quietly

APP = {"name": "web"}
LABEL = "name=web"


def replica_set(replicas: int = 1) -> Document:
    """Returns the spec of a ReplicaSet."""
    return {"replicas": replicas, "selector": {"matchLabels": APP}, "template": pod_template(APP)}


def controller(replicas: int = 1, template: Document | None = None) -> Document:
    """Returns the spec of a ReplicationController."""
    return {"replicas": replicas, "selector": APP, "template": template or pod_template(APP)}


async def ready(objects: Objects, number: int) -> Any:
    """Returns the object once so many of its replicas are ready."""
    found = await objects.get("web")
    return found if found.get("status", {}).get("readyReplicas", 0) == number else None


def sets_of(quiet: Quiet) -> tuple[Objects, Objects]:
    return Objects(quiet, "apps/v1", "replicasets"), Objects(quiet, "/api/v1", "pods")


def controllers_of(quiet: Quiet) -> tuple[Objects, Objects]:
    controllers = Objects(quiet, "/api/v1", "replicationcontrollers")
    return controllers, Objects(quiet, "/api/v1", "pods")


async def scale_to(objects: Objects, how: str, replicas: int) -> Document:
    """Sets the number of replicas through the scale subresource; returns the scale."""
    if how == "put":
        scale = await objects.get("web", "scale")
        scale["spec"]["replicas"] = replicas
        return await objects.put(scale, "scale")
    return await objects.patch("web", {"spec": {"replicas": replicas}}, "scale")


def test_a_replica_set_has_a_scale() -> None:
    async def scenario(quiet: Quiet) -> None:
        sets, _ = sets_of(quiet)
        await sets.post("web", spec=replica_set(1))
        await quiet.until(lambda: ready(sets, 1))
        scale = await sets.get("web", "scale")
        assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 1)
        for how, number in (("put", 2), ("patch", 4)):
            answer = await scale_to(sets, how, number)
            assert answer["spec"]["replicas"] == number
            assert (await sets.get("web"))["spec"]["replicas"] == number
            await quiet.until(lambda number=number: ready(sets, number))  # type: ignore[misc]

    quietly(scenario)


def test_a_replica_set_is_replaced_and_patched() -> None:
    async def scenario(quiet: Quiet) -> None:
        sets, _ = sets_of(quiet)
        await sets.post("web", spec=replica_set(1))
        first = await quiet.until(lambda: ready(sets, 1))
        watched = await sets.watch()
        change: Any = {
            "metadata": {"labels": {"test-rs": "patched"}},
            "spec": {
                "replicas": 3,
                "template": {"spec": {"containers": [{"name": "web", "image": "pause:3"}]}},
            },
        }
        await sets.patch("web", change, how=STRATEGIC)
        whole = await seen(watched, "MODIFIED", lambda it: it["status"].get("readyReplicas") == 3)
        assert whole["metadata"]["labels"] == {"test-rs": "patched"}
        (container,) = whole["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "pause:3"
        assert container["ports"] == first["spec"]["template"]["spec"]["containers"][0]["ports"]
        whole["spec"]["replicas"] = 2
        await sets.put(whole)
        await quiet.until(lambda: ready(sets, 2))

    quietly(scenario)


def test_a_collection_of_replica_sets_is_listed_everywhere_and_deleted() -> None:
    async def scenario(quiet: Quiet) -> None:
        sets, pods = sets_of(quiet)
        await sets.post("web", spec=replica_set(3), metadata={"labels": APP})
        await quiet.until(lambda: ready(sets, 3))
        assert await sets.names(LABEL, everywhere=True) == ["web"]
        await sets.clear(LABEL)
        assert await sets.names(LABEL, everywhere=True) == []
        await quiet.until(lambda: pods.count(0))

    quietly(scenario)


async def adopts_and_releases(quiet: Quiet, owners: Objects, spec: Document, kind: str) -> None:
    """A pod that was there is adopted; one whose label changes is let go and replaced."""
    pods = Objects(quiet, "/api/v1", "pods")
    await pods.post("orphan", metadata={"labels": APP}, spec=pod_template(APP)["spec"])
    await quiet.until(lambda: is_ready(pods, "orphan"))
    await owners.post("web", spec=spec)
    owner = await quiet.until(lambda: owner_of(pods, "orphan"))
    assert (owner["kind"], owner["name"], owner["controller"]) == (kind, "web", True)
    await quiet.until(lambda: ready(owners, 1))
    assert await pods.names() == ["orphan"]
    await pods.patch("orphan", {"metadata": {"labels": {"name": "other"}}})
    await quiet.until(lambda: released(pods))
    await quiet.until(lambda: pods.count(1, LABEL))
    assert await pods.count(2)


async def is_ready(pods: Objects, name: str) -> bool:
    return condition_of(await pods.get(name), "Ready").get("status") == "True"


async def owner_of(pods: Objects, name: str) -> Document | None:
    owners = (await pods.get(name))["metadata"].get("ownerReferences", [])
    return next((it for it in owners if it.get("controller")), None)


async def released(pods: Objects) -> bool:
    return await owner_of(pods, "orphan") is None


def test_a_replica_set_adopts_what_matches_and_releases_what_does_not() -> None:
    async def scenario(quiet: Quiet) -> None:
        sets, _ = sets_of(quiet)
        await adopts_and_releases(quiet, sets, replica_set(1), "ReplicaSet")

    quietly(scenario)


def test_a_replication_controller_adopts_what_matches_and_releases_what_does_not() -> None:
    async def scenario(quiet: Quiet) -> None:
        owners, _ = controllers_of(quiet)
        await adopts_and_releases(quiet, owners, controller(1), "ReplicationController")

    quietly(scenario)


def test_a_replication_controller_has_a_scale() -> None:
    async def scenario(quiet: Quiet) -> None:
        owners, pods = controllers_of(quiet)
        await owners.post("web", spec=controller(1))
        await quiet.until(lambda: ready(owners, 1))
        scale = await owners.get("web", "scale")
        assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (1, 1)
        assert (await scale_to(owners, "put", 2))["spec"]["replicas"] == 2
        await quiet.until(lambda: ready(owners, 2))
        assert await pods.count(2)

    quietly(scenario)


def test_a_replication_controller_tells_that_a_quota_holds_it_back() -> None:
    async def scenario(quiet: Quiet) -> None:
        owners, pods = controllers_of(quiet)
        quotas = Objects(quiet, "/api/v1", "resourcequotas")
        await quotas.post("two-pods", spec={"hard": {"pods": "2"}})
        await owners.post("web", spec=controller(3))
        await quiet.until(lambda: fails(owners))
        told = condition_of(await owners.get("web"), "ReplicaFailure")
        assert (told["status"], told["reason"]) == ("True", "FailedCreate")
        assert "exceeded quota: two-pods, requested: pods=1, used: pods=2, limited: pods=2" in str(
            told["message"]
        )
        await quiet.until(lambda: ready(owners, 2))
        await scale_to(owners, "patch", 2)
        await quiet.until(lambda: fails(owners, still=False))
        assert await pods.count(2)

    quietly(scenario)


async def fails(owners: Objects, *, still: bool = True) -> bool:
    return bool(condition_of(await owners.get("web"), "ReplicaFailure")) is still


def test_a_replication_controller_lives_its_whole_life() -> None:
    async def scenario(quiet: Quiet) -> None:
        owners, pods = controllers_of(quiet)
        mark = {"test-rc-static": "true"}
        watched = await owners.watch("test-rc-static=true")
        await owners.post("web", spec=controller(1), metadata={"labels": mark})
        await seen(watched, "ADDED", lambda it: it["metadata"]["name"] == "web")
        await seen(watched, "MODIFIED", lambda it: it["status"].get("readyReplicas") == 1)
        await owners.patch("web", {"metadata": {"labels": {"test-rc": "patched"}}})
        await seen(watched, "MODIFIED", lambda it: "test-rc" in it["metadata"]["labels"])
        await owners.patch(
            "web", {"status": {"readyReplicas": 0, "availableReplicas": 0}}, "status"
        )
        await seen(watched, "MODIFIED", lambda it: it["status"].get("readyReplicas", 0) == 0)
        assert (await owners.get("web", "status"))["kind"] == "ReplicationController"
        await scale_to(owners, "patch", 2)
        await seen(watched, "MODIFIED", lambda it: it["status"].get("readyReplicas") == 2)
        assert await owners.names("test-rc-static=true", everywhere=True) == ["web"]
        whole = await owners.get("web")
        whole["metadata"]["labels"]["test-rc"] = "updated"
        await owners.put(whole)
        await seen(
            watched, "MODIFIED", lambda it: it["metadata"]["labels"].get("test-rc") == "updated"
        )
        await owners.clear("test-rc-static=true")
        await seen(watched, "DELETED", lambda it: it["metadata"]["name"] == "web")
        await quiet.world.sleep(5)
        left = [it["metadata"] for it in await pods.items()]
        assert [it.get("ownerReferences") for it in left] == [None] * 2  # orphaned by default

    quietly(scenario)
