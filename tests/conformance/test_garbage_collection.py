"""Upstream's rows about what goes and what stays when an owner is deleted."""

from __future__ import annotations

from typing import Any

from served import DEPLOYMENTS, PODS, Document, Served, deployment, pod
from steersman.controllers.garbage import MAX_ABSENT
from whole import gone, running, until, whole

CONTROLLERS = "/api/v1/namespaces/default/replicationcontrollers"
EVENTS = "/api/v1/namespaces/default/events"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
SETS = "/apis/apps/v1/namespaces/default/replicasets"
BACKGROUND = {"propagationPolicy": "Background"}
FOREGROUND = {"propagationPolicy": "Foreground"}
ORPHAN = {"propagationPolicy": "Orphan"}
# Upstream watches for 30 s that nothing is collected
SETTLED_SECONDS = 30


def controller(name: str, replicas: int, labels: Document) -> Document:
    """Returns a ReplicationController."""
    template = {"metadata": {"labels": labels}, "spec": pod(name)["spec"]}
    spec = {"replicas": replicas, "selector": labels, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


async def started(api: Served, name: str, replicas: int) -> Document:
    """Creates a ReplicationController and waits for its pods."""
    made = (await api.post(CONTROLLERS, controller(name, replicas, {"gc": name}))).ok()
    await running(api, PODS, replicas)
    return made


async def emptied(api: Served, path: str) -> None:
    """Waits until nothing is in a collection."""

    async def empty() -> bool:
        return (await api.get(path)).names == []

    await until(api, empty)


def owners(document: Document) -> list[Any]:
    """Returns the uids of an object's owners."""
    return [one["uid"] for one in document["metadata"].get("ownerReferences", ())]


@whole
async def test_pods_go_with_their_replication_controller(api: Served) -> None:
    await started(api, "one", 2)
    (await api.delete(f"{CONTROLLERS}/one", BACKGROUND)).ok()
    await gone(api, f"{CONTROLLERS}/one")
    await emptied(api, PODS)


@whole
async def test_orphans_stay_when_their_replication_controller_goes(api: Served) -> None:
    await started(api, "one", 20)
    (await api.delete(f"{CONTROLLERS}/one", ORPHAN)).ok()
    await gone(api, f"{CONTROLLERS}/one")
    await api.world.sleep(SETTLED_SECONDS)
    left = await running(api, PODS, 20)
    assert [owners(each) for each in left] == [[]] * 20


@whole
async def test_sets_and_pods_go_with_their_deployment(api: Served) -> None:
    (await api.post(DEPLOYMENTS, deployment("one", 2))).ok()
    await running(api, PODS, 2)
    (await api.delete(f"{DEPLOYMENTS}/one", BACKGROUND)).ok()
    await gone(api, f"{DEPLOYMENTS}/one")
    await emptied(api, SETS)
    await emptied(api, PODS)


@whole
async def test_an_orphaned_set_stays_with_its_pods_when_its_deployment_goes(api: Served) -> None:
    (await api.post(DEPLOYMENTS, deployment("one", 2))).ok()
    await running(api, PODS, 2)
    (await api.delete(f"{DEPLOYMENTS}/one", ORPHAN)).ok()
    await gone(api, f"{DEPLOYMENTS}/one")
    await api.world.sleep(SETTLED_SECONDS)
    (left,) = (await api.get(SETS)).ok()["items"]
    assert owners(left) == []
    pods = await running(api, PODS, 2)
    assert [owners(each) for each in pods] == [[left["metadata"]["uid"]]] * 2


@whole
async def test_an_owner_stays_until_its_last_pod_is_gone(api: Served) -> None:
    await started(api, "one", 10)
    held = f"{PODS}/{(await api.get(PODS)).names[0]}"
    (await api.patch(held, {"metadata": {"finalizers": ["example.com/held"]}})).ok()
    (await api.delete(f"{CONTROLLERS}/one", FOREGROUND)).ok()

    async def one_is_left() -> bool:
        return len((await api.get(PODS)).names) == 1

    await until(api, one_is_left)
    await api.world.sleep(SETTLED_SECONDS)
    owner = (await api.get(f"{CONTROLLERS}/one")).ok()["metadata"]
    assert owner["deletionTimestamp"]
    assert owner["finalizers"] == ["foregroundDeletion"]
    (await api.patch(held, {"metadata": {"finalizers": None}})).ok()
    await gone(api, f"{CONTROLLERS}/one")
    assert (await api.get(PODS)).names == []


@whole
async def test_what_has_another_owner_stays_when_one_waits_for_its_dependents(
    api: Served,
) -> None:
    going = await started(api, "going", 10)
    staying = (await api.post(CONTROLLERS, controller("staying", 0, {"gc": "staying"}))).ok()
    second = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "name": "staying",
        "uid": staying["metadata"]["uid"],
    }
    shared = (await api.get(PODS)).names[:5]
    for name in shared:
        current = (await api.get(f"{PODS}/{name}")).ok()
        current["metadata"]["ownerReferences"].append(second)
        (await api.put(f"{PODS}/{name}", current)).ok()
    (await api.delete(f"{CONTROLLERS}/going", FOREGROUND)).ok()
    await gone(api, f"{CONTROLLERS}/going")
    left = (await api.get(PODS)).ok()["items"]
    assert sorted(each["metadata"]["name"] for each in left) == sorted(shared)
    for each in left:
        assert "deletionTimestamp" not in each["metadata"]
        assert owners(each) == [staying["metadata"]["uid"]]
    assert going["metadata"]["uid"] != staying["metadata"]["uid"]


@whole
async def test_a_circle_of_owners_goes_whole(api: Served) -> None:
    names = ["pod1", "pod2", "pod3"]
    made = [(await api.post(PODS, pod(name))).ok() for name in names]
    for each, owner in zip(names, [made[2], made[0], made[1]], strict=True):
        reference = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        change = {"metadata": {"ownerReferences": [reference]}}
        (await api.patch(f"{PODS}/{each}", change)).ok()
    (await api.delete(f"{PODS}/pod1", FOREGROUND)).ok()
    await emptied(api, PODS)


@whole
async def test_an_owner_in_another_namespace_is_absent_and_an_event_says_where_it_is_not(
    api: Served,
) -> None:
    (await api.post("/api/v1/namespaces", {"metadata": {"name": "other"}})).ok()
    maps = "/api/v1/namespaces/{}/configmaps"
    owner = (await api.post(maps.format("other"), {"metadata": {"name": "owner"}})).ok()
    uid = owner["metadata"]["uid"]
    named = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    mine = {"metadata": {"name": "mine", "ownerReferences": [named]}}
    (await api.post(maps.format("default"), mine)).ok()
    await gone(api, f"{maps.format('default')}/mine")
    # what has no namespace cannot be looked for in one, and stays
    role = {"metadata": {"name": "wide", "ownerReferences": [named]}, "rules": []}
    (await api.post(ROLES, role)).ok()
    # nor is there anything to say of an owner that is nowhere
    lost = {"metadata": {"name": "lost", "ownerReferences": [{**named, "uid": "nobody"}]}}
    (await api.post(maps.format("default"), lost)).ok()
    await gone(api, f"{maps.format('default')}/lost")

    async def told() -> list[Any]:
        answer = (await api.get(EVENTS, fieldSelector="reason=OwnerRefInvalidNamespace")).ok()
        return sorted(map(of, answer["items"])) if len(answer["items"]) == 2 else []

    def of(event: Any) -> tuple[str, ...]:
        about = event["involvedObject"]
        assert event["source"] == {"component": "garbage-collector-controller"}
        return (about["kind"], about["name"], event["type"], event["message"])

    text = f"ownerRef [v1/ConfigMap, namespace: {{0}}, name: owner, uid: {uid}]"
    text += ' does not exist in namespace "{0}"'
    assert await until(api, told) == [
        ("ClusterRole", "wide", "Warning", text.format("")),
        ("ConfigMap", "mine", "Warning", text.format("default")),
    ]
    assert (await api.get(f"{ROLES}/wide")).code == 200


@whole
async def test_what_has_lost_more_owners_than_are_remembered_goes_too(api: Served) -> None:
    lost = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": f"owner-{it}", "uid": f"nobody-{it}"}
        for it in range(MAX_ABSENT + 2)
    ]
    maps = "/api/v1/namespaces/default/configmaps"
    (await api.post(maps, {"metadata": {"name": "mine", "ownerReferences": lost}})).ok()
    await gone(api, f"{maps}/mine")
