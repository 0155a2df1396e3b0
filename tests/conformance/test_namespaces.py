"""Upstream's rows about namespaces: written in every way, and emptied when they go."""

from __future__ import annotations

from served import NAMESPACES, STRATEGIC, Document, Served, config_map, pod, served, service
from whole import gone, running, until, whole

ROOM = f"{NAMESPACES}/room"
FINALIZER = "e2e.example.com/fakeFinalizer"


async def furnished(api: Served) -> None:
    """Makes the namespace and waits until its account is there."""
    (await api.post(NAMESPACES, {"metadata": {"name": "room"}})).ok()

    async def account() -> bool:
        return (await api.get(f"{ROOM}/serviceaccounts/default")).code == 200

    await until(api, account)


@whole
async def test_its_pods_go_with_a_namespace(api: Served) -> None:
    await furnished(api)
    (await api.post(f"{ROOM}/pods", pod("one"))).ok()
    await running(api, f"{ROOM}/pods")
    (await api.delete(ROOM)).ok()
    await gone(api, ROOM)
    await furnished(api)
    assert (await api.get(f"{ROOM}/pods/one")).code == 404
    assert (await api.get(f"{ROOM}/pods")).names == []


@whole
async def test_its_services_go_with_a_namespace(api: Served) -> None:
    await furnished(api)
    (await api.post(f"{ROOM}/services", service("one"))).ok()
    (await api.delete(ROOM)).ok()
    await gone(api, ROOM)
    await furnished(api)
    assert (await api.get(f"{ROOM}/services/one")).code == 404
    assert (await api.get(f"{ROOM}/services")).names == []


@whole
async def test_pods_go_before_everything_else_of_a_namespace(api: Served) -> None:
    await furnished(api)
    held = pod("one")
    held["metadata"]["finalizers"] = ["e2e.example.com/finalizer"]
    (await api.post(f"{ROOM}/pods", held)).ok()
    await running(api, f"{ROOM}/pods")
    (await api.post(f"{ROOM}/configmaps", config_map("kept", key="value"))).ok()
    (await api.delete(ROOM)).ok()

    async def held_up() -> bool:
        status = (await api.get(ROOM)).ok()["status"]
        told = [one["type"] for one in status.get("conditions", ())]
        return status["phase"] == "Terminating" and "NamespaceDeletionContentFailure" in told

    await until(api, held_up)
    assert (await api.get(f"{ROOM}/configmaps/kept")).code == 200
    going = (await api.get(f"{ROOM}/pods/one")).ok()
    assert going["metadata"]["deletionTimestamp"]
    going["metadata"]["finalizers"] = []
    (await api.put(f"{ROOM}/pods/one", going)).ok()
    await gone(api, f"{ROOM}/pods/one")
    await gone(api, ROOM)


@served
async def test_a_namespace_is_patched(api: Served) -> None:
    (await api.post(NAMESPACES, {"metadata": {"name": "room"}})).ok()
    labels = {"labels": {"testLabel": "testValue"}}
    (await api.patch(ROOM, {"metadata": labels}, STRATEGIC)).ok()
    assert (await api.get(ROOM)).ok()["metadata"]["labels"]["testLabel"] == "testValue"


@served
async def test_a_namespace_is_updated(api: Served) -> None:
    found = (await api.post(NAMESPACES, {"metadata": {"name": "room"}})).ok()
    found["metadata"]["labels"]["room"] = "updated"
    (await api.put(ROOM, found)).ok()
    assert (await api.get(ROOM)).ok()["metadata"]["labels"]["room"] == "updated"


@served
async def test_a_namespaces_status_is_read_patched_and_updated(api: Served) -> None:
    made = (await api.post(NAMESPACES, {"metadata": {"name": "room"}})).ok()
    assert (await api.get(f"{ROOM}/status")).ok() == made
    patched = (await api.patch(f"{ROOM}/status", told("StatusPatch"), STRATEGIC)).ok()
    assert [one["type"] for one in patched["status"]["conditions"]] == ["StatusPatch"]
    current = (await api.get(f"{ROOM}/status")).ok()
    current["status"]["conditions"] += told("StatusUpdate")["status"]["conditions"]
    (await api.put(f"{ROOM}/status", current)).ok()
    kept = (await api.get(ROOM)).ok()["status"]
    assert [one["type"] for one in kept["conditions"]] == ["StatusPatch", "StatusUpdate"]
    assert kept["phase"] == "Active"


def told(kind: str) -> Document:
    """Returns a status with one condition."""
    condition = {"type": kind, "status": "True", "reason": "E2E", "message": "Set by e2e test"}
    return {"status": {"conditions": [condition]}}


@served
async def test_a_finalizer_comes_and_goes_through_finalize(api: Served) -> None:
    made = (await api.post(NAMESPACES, {"metadata": {"name": "room"}})).ok()
    made["spec"]["finalizers"].append(FINALIZER)
    (await api.put(f"{ROOM}/finalize", made)).ok()
    found = (await api.get(ROOM)).ok()
    assert found["spec"]["finalizers"] == ["kubernetes", FINALIZER]
    found["spec"]["finalizers"].remove(FINALIZER)
    (await api.put(f"{ROOM}/finalize", found)).ok()
    assert (await api.get(ROOM)).ok()["spec"]["finalizers"] == ["kubernetes"]
