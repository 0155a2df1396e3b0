"""Small controllers: how long nodes keep what they read, and classes of volumes that are in use."""

from __future__ import annotations

import pytest
from storage_views import claim, volume
from views import decoded

from controlled import controlled
from served import Served, served
from steersman.controllers import node_ttl
from steersman.controllers.attributes_class_protection import (
    AttributesClassProtectionController,
    of_claim,
    of_volume,
)
from steersman.controllers.node_ttl import ANNOTATION, NodeTTLController
from steersman.model.kinds.node import NODE, Node
from steersman.model.volume_binding import ATTRIBUTES_CLASS_FINALIZER
from steersman.reconcile.actions import Patch

NODES = "/api/v1/nodes"
CLASSES = "/apis/storage.k8s.io/v1/volumeattributesclasses"
VOLUMES = "/api/v1/persistentvolumes"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"


@pytest.mark.parametrize(
    ("count", "place", "wanted"),
    [
        (1, 0, 0),
        (100, 0, 0),
        (101, 0, 1),
        (90, 1, 1),
        (89, 1, 0),
        (500, 1, 1),
        (501, 1, 2),
        (450, 2, 2),
        (449, 2, 1),
        (1001, 0, 3),
        (2001, 3, 4),
        (1800, 4, 4),
        (5, 4, 0),
    ],
)
def test_a_step_is_left_only_when_the_next_is_reached(count: int, place: int, wanted: int) -> None:
    assert node_ttl.decide(count, place) == wanted


def test_a_node_is_annotated_once() -> None:
    node = decoded({"metadata": {"name": "a", "uid": "u"}}, Node)
    fields = {"metadata": {"annotations": {ANNOTATION: "15"}}}
    assert node_ttl.plan(node, 15) == Patch(NODE.ref("", "a"), fields, uid="u")
    noted = decoded({"metadata": {"name": "a", "annotations": {ANNOTATION: "15"}}}, Node)
    assert node_ttl.plan(noted, 15) is None
    assert node_ttl.plan(noted, 0) is not None


@served
async def test_all_nodes_learn_of_the_size_of_the_cluster(api: Served) -> None:
    async def times() -> set[str | None]:
        await api.world.sleep(1)
        items = (await api.get(NODES)).ok()["items"]
        return {(it["metadata"].get("annotations") or {}).get(ANNOTATION) for it in items}

    async with controlled(api, NodeTTLController):
        for number in range(100):
            (await api.post(NODES, {"metadata": {"name": f"n{number}"}})).ok()
        await api.world.sleep(8)
        assert await times() == {None}  # nodes that have just come may be the first of many
        await api.world.sleep(2)
        assert await times() == {"0"}
        (await api.post(NODES, {"metadata": {"name": "last"}})).ok()
        await api.world.sleep(10)
        assert await times() == {"15"}
        for number in range(11):
            (await api.delete(f"{NODES}/n{number}")).ok()
        assert await times() == {"15"}
        (await api.delete(f"{NODES}/last")).ok()
        assert await times() == {"0"}
        wrong = {"metadata": {"annotations": {ANNOTATION: "7"}}}
        (await api.patch(f"{NODES}/n50", wrong)).ok()
        assert await times() == {"0"}


def test_a_claim_names_the_classes_that_it_wants_has_and_goes_to() -> None:
    modified = {"modifyVolumeStatus": {"targetVolumeAttributesClassName": "c"}}
    status = {"currentVolumeAttributesClassName": "b", **modified}
    assert of_claim(claim(status=status, volumeAttributesClassName="a")) == ("a", "b", "c")
    assert of_claim(claim()) == ()
    assert of_volume(volume()) == ()
    assert of_volume(volume(volumeAttributesClassName="a")) == ("a",)


@served
async def test_a_class_stays_while_it_is_named(api: Served) -> None:
    async with controlled(api, AttributesClassProtectionController):
        body = {"metadata": {"name": "fast"}, "driverName": "a.b", "parameters": {"iops": "1"}}
        made = (await api.post(CLASSES, body)).ok()
        assert made["metadata"]["finalizers"] == [ATTRIBUTES_CLASS_FINALIZER]
        (await api.patch(f"{CLASSES}/fast", {"metadata": {"finalizers": None}})).ok()
        await api.world.sleep(1)
        again = (await api.get(f"{CLASSES}/fast")).ok()
        assert again["metadata"]["finalizers"] == [ATTRIBUTES_CLASS_FINALIZER]
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "volumeAttributesClassName": "fast",
        }
        (await api.post(CLAIMS, {"metadata": {"name": "data"}, "spec": spec})).ok()
        await api.world.sleep(1)
        (await api.delete(f"{CLASSES}/fast")).ok()
        await api.world.sleep(60)
        assert (await api.get(f"{CLASSES}/fast")).code == 200
        disk = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "a.b", "volumeHandle": "x"},
            "volumeAttributesClassName": "fast",
        }
        (await api.post(VOLUMES, {"metadata": {"name": "disk"}, "spec": disk})).ok()
        (await api.patch(f"{CLAIMS}/data", {"metadata": {"finalizers": None}})).ok()
        (await api.delete(f"{CLAIMS}/data")).ok()
        await api.world.sleep(1)
        assert (await api.get(f"{CLASSES}/fast")).code == 200
        (await api.patch(f"{VOLUMES}/disk", {"metadata": {"finalizers": None}})).ok()
        (await api.delete(f"{VOLUMES}/disk")).ok()
        await api.world.sleep(1)
        assert (await api.get(f"{CLASSES}/fast")).code == 404


@served
async def test_a_class_that_nobody_names_goes_at_once(api: Served) -> None:
    async with controlled(api, AttributesClassProtectionController):
        body = {"metadata": {"name": "fast"}, "driverName": "a.b", "parameters": {"iops": "1"}}
        (await api.post(CLASSES, body)).ok()
        await api.world.sleep(1)
        (await api.delete(f"{CLASSES}/fast")).ok()
        await api.world.sleep(1)
        assert (await api.get(f"{CLASSES}/fast")).code == 404
