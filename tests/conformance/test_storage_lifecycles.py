"""The life of each object of storage in the API, verb by verb, as upstream's conformance suite goes
through it: discovery aside, create, get, list, watch, patch, replace, delete one and many."""

from __future__ import annotations

from typing import Any

import pytest

from served import Document, Served, served

GROUP = "/apis/storage.k8s.io/v1"
CORE = "/api/v1"
DEFAULT = f"{CORE}/namespaces/default"
LABEL = {"e2e": "yes"}

DRIVER = {"attachRequired": False, "volumeLifecycleModes": ["Ephemeral"]}
ATTACHMENT = {
    "attacher": "e2e.example.com",
    "nodeName": "node-1",
    "source": {"persistentVolumeName": "pv-1"},
}
CAPACITY = {"storageClassName": "e2e", "capacity": "1Gi", "nodeTopology": {"matchLabels": LABEL}}
VOLUME = {
    "capacity": {"storage": "1Gi"},
    "accessModes": ["ReadWriteOnce"],
    "storageClassName": "e2e-none",
    "hostPath": {"path": "/tmp/e2e"},
}
CLAIM = {
    "accessModes": ["ReadWriteOnce"],
    "storageClassName": "e2e-none",
    "resources": {"requests": {"storage": "1Gi"}},
}
# Of each kind: where its collection is, what it needs, and what is kept of it when it is deleted
LIVES: dict[str, tuple[str, Document]] = {
    "CSIDriver": (f"{GROUP}/csidrivers", {"spec": DRIVER}),
    "CSINode": (f"{GROUP}/csinodes", {"spec": {"drivers": []}}),
    "CSIStorageCapacity": (f"{GROUP}/namespaces/default/csistoragecapacities", CAPACITY),
    "PersistentVolume": (f"{CORE}/persistentvolumes", {"spec": VOLUME}),
    "PersistentVolumeClaim": (f"{DEFAULT}/persistentvolumeclaims", {"spec": CLAIM}),
    "StorageClass": (f"{GROUP}/storageclasses", {"provisioner": "e2e.example.com"}),
    "VolumeAttachment": (f"{GROUP}/volumeattachments", {"spec": ATTACHMENT}),
    "VolumeAttributesClass": (
        f"{GROUP}/volumeattributesclasses",
        {"driverName": "e2e.example.com", "parameters": {"iops": "1"}},
    ),
}
GUARDED = "kubernetes.io/"  # of finalizers that a controller takes away, who does not run here


async def free(api: Served, path: str) -> None:
    """Does the part of the controllers that guard an object: nothing uses it."""
    found = await api.get(path)
    if found.code == 200 and found.document["metadata"].get("finalizers"):
        await api.patch(path, {"metadata": {"finalizers": None}})


@pytest.mark.parametrize("kind", LIVES)
@served
async def test_an_object_of_storage_goes_through_its_life(api: Served, kind: str) -> None:
    collection, body = LIVES[kind]
    document = {"metadata": {"name": "e2e-one", "labels": LABEL}, **body}
    start = (await api.get(collection)).revision
    watched = await api.watch(collection, resourceVersion=start, labelSelector="e2e")
    made = (await api.post(collection, document)).ok()
    assert made["kind"] == kind
    path = f"{collection}/e2e-one"
    read = (await api.get(path)).ok()
    assert read["metadata"]["uid"] == made["metadata"]["uid"]
    assert (await api.post(collection, document)).code == 409
    assert (await api.get(collection, labelSelector="e2e=yes")).names == ["e2e-one"]
    assert (await api.get(collection, labelSelector="e2e=no")).names == []
    patched = (await api.patch(path, {"metadata": {"labels": {"patched": "yes"}}})).ok()
    assert patched["metadata"]["labels"] == {**LABEL, "patched": "yes"}
    patched["metadata"]["labels"]["updated"] = "yes"
    updated = (await api.put(path, patched)).ok()
    assert updated["metadata"]["labels"]["updated"] == "yes"
    stale = await api.put(path, read)
    assert (stale.code, stale.document["reason"]) == (409, "Conflict")
    (await api.delete(path)).ok()
    await free(api, path)
    assert (await api.get(path)).code == 404
    types = [(await watched.next())["type"] for _ in range(3)]
    assert types == ["ADDED", "MODIFIED", "MODIFIED"]
    while (frame := await watched.next())["type"] != "DELETED":
        assert frame["object"]["metadata"]["deletionTimestamp"]

    for name in ("e2e-two", "e2e-three"):
        other = {**document, "metadata": {"name": name, "labels": LABEL}}
        (await api.post(collection, other)).ok()
    kept = {**document, "metadata": {"name": "e2e-kept"}}
    (await api.post(collection, kept)).ok()
    (await api.delete(collection, labelSelector="e2e=yes")).ok()
    for name in ("e2e-two", "e2e-three"):
        await free(api, f"{collection}/{name}")
    assert (await api.get(collection, labelSelector="e2e")).names == []
    assert "e2e-kept" in (await api.get(collection)).names


STATUSES: dict[str, Document] = {
    "PersistentVolume": {"phase": "Failed", "message": "StatusPatched", "reason": "E2EPatched"},
    "PersistentVolumeClaim": {
        "conditions": [{"type": "StatusPatched", "status": "True", "message": "set by e2e"}]
    },
    "VolumeAttachment": {"attached": True},
}


@pytest.mark.parametrize("kind", STATUSES)
@served
async def test_a_status_of_storage_is_read_patched_and_replaced_alone(
    api: Served, kind: str
) -> None:
    collection, body = LIVES[kind]
    (await api.post(collection, {"metadata": {"name": "e2e-one"}, **body})).ok()
    path = f"{collection}/e2e-one/status"
    before = (await api.get(path)).ok()
    patch = {"metadata": {"annotations": {"e2e": "patched"}}, "status": STATUSES[kind]}
    patched = (await api.patch(path, patch)).ok()
    for field, value in STATUSES[kind].items():
        assert like(patched["status"][field], value)
    assert patched["spec"] == before["spec"]
    changed: dict[str, Any] = {**patched, "spec": {**patched["spec"]}}
    changed["spec"].pop("volumeMode", None)
    changed["status"] = {**patched["status"]}
    if kind == "VolumeAttachment":
        changed["status"]["attached"] = False
    elif kind == "PersistentVolume":
        changed["status"]["reason"] = "E2EUpdated"
    else:
        changed["status"]["conditions"] = []
    replaced = (await api.put(path, changed)).ok()
    assert replaced["spec"] == before["spec"]  # a status changes nothing else
    assert replaced["status"] != patched["status"]
    assert (await api.get(path)).ok()["status"] == replaced["status"]


def like(found: Any, wanted: Any) -> bool:
    """Says whether what is wanted is there; lists of objects may have more fields."""
    if isinstance(wanted, list):
        return all(like(one, other) for one, other in zip(found, wanted, strict=True))
    if isinstance(wanted, dict):
        return all(found.get(key) == value for key, value in wanted.items())
    return bool(found == wanted)


@pytest.mark.parametrize(("plural", "field"), [("configmaps", "data"), ("secrets", "data")])
@served
async def test_what_is_immutable_is_not_changed_and_stays_so(
    api: Served, plural: str, field: str
) -> None:
    collection = f"{DEFAULT}/{plural}"
    first = {"metadata": {"name": "e2e"}, field: {"data-1": "dmFsdWUtMQ=="}}
    (await api.post(collection, first)).ok()
    path = f"{collection}/e2e"
    (await api.patch(path, {field: {"data-2": "dmFsdWUtMg=="}})).ok()
    (await api.patch(path, {"immutable": True})).ok()
    refused = await api.patch(path, {field: {"data-3": "dmFsdWUtMw=="}})
    assert refused.code == 422
    assert f"{field}: Forbidden: field is immutable when `immutable` is set" in refused.message
    again = await api.patch(path, {"immutable": False})
    assert again.code == 422
    assert "immutable: Forbidden: field is immutable when `immutable` is set" in again.message
    (await api.patch(path, {"metadata": {"labels": {"changed": "yes"}}})).ok()
    (await api.delete(path)).ok()


@served
async def test_a_pod_with_an_inline_volume_is_stored_and_found(api: Served) -> None:
    collection = f"{DEFAULT}/pods"
    csi = {"driver": "e2e.example.com", "readOnly": True, "volumeAttributes": {"foo": "bar"}}
    spec = {
        "containers": [
            {"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
        ],
        "volumes": [{"name": "v", "csi": csi}],
    }
    document = {"metadata": {"name": "e2e", "labels": LABEL}, "spec": spec}
    made = (await api.post(collection, document)).ok()
    volumes = [it for it in made["spec"]["volumes"] if it["name"] == "v"]
    assert volumes[0]["csi"] == csi
    (listed,) = (await api.get(collection, labelSelector="e2e=yes")).document["items"]
    assert listed["metadata"]["uid"] == made["metadata"]["uid"]
    patched = (await api.patch(f"{collection}/e2e", {"metadata": {"labels": {"b": "c"}}})).ok()
    assert patched["spec"] == made["spec"]
    (await api.delete(f"{collection}/e2e", {"gracePeriodSeconds": 0})).ok()
    assert (await api.get(f"{collection}/e2e")).code == 404
