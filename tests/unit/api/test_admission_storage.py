"""What admission gives to new claims and volumes, and which claims may grow."""

from __future__ import annotations

from typing import Any

from tests.served import Served, served

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
DEFAULT = "storageclass.kubernetes.io/is-default-class"


def claim(name: str, size: str = "1Gi", metadata: Any = None, **spec: Any) -> dict[str, Any]:
    resources = {"requests": {"storage": size}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": resources, **spec}
    return {"metadata": {"name": name, **(metadata or {})}, "spec": spec}


def storage_class(name: str, default: str = "true", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "annotations": {DEFAULT: default}}
    return {"metadata": metadata, "provisioner": "example.com/disk", **fields}


@served
async def test_claims_volumes_and_their_classes_are_protected_from_their_beginning(
    api: Served,
) -> None:
    made = (await api.post(CLAIMS, claim("c", metadata={"finalizers": ["example.com/own"]}))).ok()
    expected = ["example.com/own", "kubernetes.io/pvc-protection"]
    assert made["metadata"]["finalizers"] == expected
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/x"},
    }
    volume = (await api.post(VOLUMES, {"metadata": {"name": "v"}, "spec": spec})).ok()
    assert volume["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    kind = {"metadata": {"name": "fast"}, "driverName": "a.b", "parameters": {"iops": "1"}}
    made = (await api.post(CLASSES.replace("storageclasses", "volumeattributesclasses"), kind)).ok()
    assert made["metadata"]["finalizers"] == ["kubernetes.io/vac-protection"]
    gone = {"metadata": {"finalizers": None}}
    changed = (await api.patch(f"{VOLUMES}/v", gone, "application/merge-patch+json")).ok()
    assert "finalizers" not in changed["metadata"]  # only creation sets it


@served
async def test_a_claim_without_a_class_gets_the_default_one(api: Served) -> None:
    async def class_of(name: str, **fields: Any) -> Any:
        return (await api.post(CLAIMS, claim(name, **fields))).ok()["spec"].get("storageClassName")

    shown = (await api.get(f"{CLASSES}/local-path")).ok()
    assert shown["provisioner"] == "steersman.io/local-path"
    assert await class_of("first") == "local-path"
    assert await class_of("none", storageClassName="") == ""
    assert await class_of("named", storageClassName="other") == "other"
    beta = {"annotations": {"volume.beta.kubernetes.io/storage-class": "old"}}
    assert await class_of("annotated", metadata=beta) is None
    await api.world.sleep(2)
    (await api.post(CLASSES, storage_class("newer-b"))).ok()
    (await api.post(CLASSES, storage_class("newer-a"))).ok()
    await api.world.sleep(2)
    (await api.post(CLASSES, storage_class("newest", "false"))).ok()
    assert await class_of("second") == "newer-a"
    for name in ("local-path", "newer-a", "newer-b"):
        (await api.delete(f"{CLASSES}/{name}")).ok()
    assert await class_of("third") is None


@served
async def test_only_bound_claims_of_a_class_that_allows_it_grow(api: Served) -> None:
    (await api.post(CLASSES, storage_class("fixed", "false"))).ok()

    async def grow(name: str, size: str, phase: str = "Bound") -> Any:
        status = {"status": {"phase": phase, "capacity": {"storage": "1Gi"}}}
        how = "application/merge-patch+json"
        (await api.patch(f"{CLAIMS}/{name}/status", status, how)).ok()
        patch = {"spec": {"resources": {"requests": {"storage": size}}}}
        return await api.patch(f"{CLAIMS}/{name}", patch, how)

    (await api.post(CLAIMS, claim("free"))).ok()
    (await api.post(CLAIMS, claim("fixed", storageClassName="fixed"))).ok()
    (await api.post(CLAIMS, claim("bare", storageClassName=""))).ok()
    refused = await grow("free", "2Gi", "Pending")
    assert refused.code == 422
    assert "for bound claims" in refused.message
    assert (await grow("free", "2Gi")).code == 200
    for name in ("fixed", "bare"):
        refused = await grow(name, "2Gi")
        assert (refused.code, refused.message) == (
            403,
            f'persistentvolumeclaims "{name}" is forbidden: only dynamically provisioned pvc can '
            "be resized and the storageclass that provisions the pvc must support resize",
        )
        assert (await grow(name, "1024Mi")).code == 200  # as large as before
