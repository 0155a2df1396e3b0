"""What is said of a claim that is to grow, by whom, and when."""

from __future__ import annotations

from typing import Any

from controlled import controlled
from served import Document, Served, served
from steersman.controllers.volume_expander import RESIZER, VolumeExpanderController, plan
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.reconcile.actions import Patch, Tell
from unit.controllers.storage_views import claim, volume
from whole import until

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
EVENTS = "/api/v1/namespaces/default/events"
ELASTIC = {"awsElasticBlockStore": {"volumeID": "aws://zone/vol-1"}}
MIGRATED = (
    "CSI migration enabled for kubernetes.io/aws-ebs; "
    "waiting for external resizer to expand the pvc"
)
WAITS = "waiting for an external controller to expand this PVC"


def test_a_volume_of_upstreams_tree_is_left_to_the_resizer_of_its_driver() -> None:
    found, elastic = claim(), volume(**ELASTIC)
    mark = {"metadata": {"annotations": {RESIZER: "ebs.csi.aws.com"}}}
    ref = PERSISTENTVOLUMECLAIM.ref("default", "data")
    told = Tell(found, "ExternalExpanding", MIGRATED)
    assert plan(found, elastic) == [told, Patch(ref, mark, "status", "uid-data")]
    marked = claim(metadata={"annotations": {RESIZER: "ebs.csi.aws.com"}})
    assert plan(marked, elastic) == [Tell(marked, "ExternalExpanding", MIGRATED)]
    other = claim(metadata={"annotations": {RESIZER: "pd.csi.storage.gke.io"}})
    assert plan(other, elastic)[1:] == [Patch(ref, mark, "status", "uid-data")]


def test_any_other_volume_is_left_to_whoever_is_outside() -> None:
    found = claim()
    driver = volume(csi={"driver": "example.com", "volumeHandle": "v"})
    assert plan(found, driver) == [Tell(found, "ExternalExpanding", WAITS)]


async def bound(api: Served, source: Document) -> None:
    """Makes a claim with its volume, the volume last, as a follower may see them."""
    growing = {"provisioner": "example.com/disk", "allowVolumeExpansion": True}
    (await api.post(CLASSES, {"metadata": {"name": "slow"}, **growing})).ok()
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "slow"}
    wanted = {"resources": {"requests": {"storage": "1Gi"}}, "volumeName": "disk"}
    metadata = {"name": "data", "annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
    made = (await api.post(CLAIMS, {"metadata": metadata, "spec": {**spec, **wanted}})).ok()
    owner = {"kind": "PersistentVolumeClaim", "namespace": "default", "name": "data"}
    named = {"claimRef": {**owner, "uid": made["metadata"]["uid"]}}
    document = {**spec, "capacity": {"storage": "1Gi"}, **named, **source}
    (await api.post(VOLUMES, {"metadata": {"name": "disk"}, "spec": document})).ok()
    status = {"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
    (await api.patch(f"{CLAIMS}/data/status", status)).ok()


async def grow(api: Served, size: str) -> None:
    wanted = {"spec": {"resources": {"requests": {"storage": size}}}}
    (await api.patch(f"{CLAIMS}/data", wanted)).ok()


async def said(api: Served, count: int) -> list[Any]:
    """Waits for so many words about the claim, repeated ones counted, and returns the events."""

    async def look() -> list[Any]:
        found = (await api.get(EVENTS)).ok()["items"]
        told = [it for it in found if it["reason"] == "ExternalExpanding"]
        return told if sum(it["count"] for it in told) == count else []

    return list(await until(api, look))


@served
async def test_it_is_said_once_for_each_size_that_is_asked_for(api: Served) -> None:
    async with controlled(api, VolumeExpanderController):
        await bound(api, ELASTIC)
        await api.world.sleep(5)
        assert (await api.get(EVENTS)).names == []  # it has what it asks for
        await grow(api, "2Gi")
        (event,) = await said(api, 1)
        assert (event["type"], event["message"]) == ("Normal", MIGRATED)
        assert event["source"] == {"component": "volume_expand"}
        found = (await api.get(f"{CLAIMS}/data")).ok()["metadata"]["annotations"]
        assert found[RESIZER] == "ebs.csi.aws.com"
        (await api.patch(f"{CLAIMS}/data", {"metadata": {"labels": {"a": "b"}}})).ok()
        await api.world.sleep(5)
        await said(api, 1)
        await grow(api, "3Gi")
        await said(api, 2)


@served
async def test_a_claim_that_was_to_grow_before_anybody_looked_is_spoken_of(api: Served) -> None:
    await bound(api, {"csi": {"driver": "example.com", "volumeHandle": "v"}})
    await grow(api, "2Gi")
    async with controlled(api, VolumeExpanderController):
        (event,) = await said(api, 1)
        assert event["message"] == WAITS


@served
async def test_a_volume_of_another_claim_of_that_name_is_not_spoken_of(api: Served) -> None:
    await bound(api, {"csi": {"driver": "example.com", "volumeHandle": "v"}})
    await grow(api, "2Gi")
    other = {"spec": {"claimRef": {"name": "data", "namespace": "default", "uid": "another"}}}
    (await api.patch(f"{VOLUMES}/disk", other)).ok()
    async with controlled(api, VolumeExpanderController):
        await api.world.sleep(60)
        assert (await api.get(EVENTS)).names == []
