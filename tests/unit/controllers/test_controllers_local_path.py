"""The provisioner of directories, the protection of what is in use, and ephemeral volumes."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers import ephemeral_volume, local_path, volume_protection
from steersman.controllers.volume_protection import uses
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.reconcile.actions import Create, Delete, Patch, Tell
from unit.controllers.storage_views import RWO, RWX, claim, storage_class, volume
from unit.controllers.views import node, pod, time

OURS = storage_class("local-path", provisioner="steersman.io/local-path", reclaimPolicy="Delete")
MARKS = {
    "pv.kubernetes.io/provisioned-by": "steersman.io/local-path",
    "local.path.provisioner/selected-node": "one",
}
NODE = node(
    "one",
    metadata={
        "labels": {"kubernetes.io/hostname": "host-one"},
        "annotations": {"steersman.io/local-path-directory": "/data/local-path"},
    },
)
SIMULATED = node("sim", metadata={"labels": {"steersman.dev/simulated": "true"}})


def ours(**fields: Any) -> Any:
    return claim(storageClassName="local-path", **fields)


def test_a_volume_is_a_directory_of_the_chosen_node() -> None:
    found = ours(size="2Gi")
    first, create, last = local_path.plan(found, OURS, NODE)
    text = 'External provisioner is provisioning volume for claim "default/data"'
    assert first == Tell(found, "Provisioning", text)
    done = "Successfully provisioned volume pvc-uid-data"
    assert last == Tell(found, "ProvisioningSucceeded", done)
    assert isinstance(create, Create)
    term = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["host-one"]}
    assert create.document == {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "pvc-uid-data", "annotations": MARKS},
        "spec": {
            "capacity": {"storage": "2Gi"},
            "accessModes": [RWO],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "local-path",
            "volumeMode": "Filesystem",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": "default",
                "name": "data",
                "uid": "uid-data",
                "resourceVersion": "5",
            },
            "local": {"path": "/data/local-path/pvc-uid-data_default_data"},
            "nodeAffinity": {
                "required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]},
            },
        },
    }


def test_a_simulated_node_needs_no_directory() -> None:
    create = local_path.render(ours(), OURS, SIMULATED)
    path = create.document["spec"]["local"]["path"]
    assert path == "/var/lib/steersman/local-path/pvc-uid-data_default_data"


def test_the_name_of_a_directory_fits_on_a_disk() -> None:
    name = local_path.directory_name(ours(name="n" * 253))
    assert name.startswith("pvc-uid-n")
    assert len(name) == 255


@pytest.mark.parametrize(
    ("fields", "where", "why"),
    [
        ({}, None, "configuration error, no node was specified"),
        ({}, node("bare"), 'node "bare" has no directory for volumes'),
        ({"selector": {"matchLabels": {}}}, NODE, "claim.Spec.Selector is not supported"),
        ({"volumeMode": "Block"}, NODE, "volumeMode Block is not supported"),
        (
            {"modes": (RWO, RWX)},
            NODE,
            "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes",
        ),
    ],
)
def test_what_cannot_be_a_directory_is_told(fields: Any, where: Any, why: str) -> None:
    found = ours(**fields)
    text = f'failed to provision volume with StorageClass "local-path": {why}'
    expected = [Tell(found, "ProvisioningFailed", text, "Warning")]
    assert local_path.plan(found, OURS, where) == expected


def test_only_claims_that_wait_for_us_are_provided_for() -> None:
    mark = {"annotations": {"volume.kubernetes.io/storage-provisioner": "steersman.io/local-path"}}
    assert local_path.is_ours(ours(metadata=mark))
    assert not local_path.is_ours(ours())
    assert not local_path.is_ours(ours(metadata=mark, volume="x"))
    assert not local_path.is_ours(ours(metadata={**mark, "deletionTimestamp": time(0)}))
    other = {"annotations": {"volume.kubernetes.io/storage-provisioner": "example.com/disk"}}
    assert not local_path.is_ours(ours(metadata=other))


def test_a_bound_volume_grows_with_its_claim() -> None:
    status = {"capacity": {"storage": "1Gi"}}
    bound = ours(size="2Gi", volume="disk", done=True, phase="Bound", status=status)
    said, patch, shown, done = local_path.plan_growth(bound, volume(annotations=MARKS))
    assert isinstance(said, Tell)
    assert said.note == "External resizer is resizing volume disk"
    assert isinstance(patch, Patch)
    assert (patch.patch, patch.revision) == ({"spec": {"capacity": {"storage": "2Gi"}}}, 7)
    assert isinstance(shown, Patch)
    assert shown.patch == {"status": {"capacity": {"storage": "2Gi"}}}
    assert done == Tell(bound, "VolumeResizeSuccessful", "Resize volume succeeded")
    grown = volume(annotations=MARKS, size="2Gi")
    assert local_path.plan_growth(bound, grown) == [shown, done]
    larger = local_path.plan_growth(bound, volume(annotations=MARKS, size="3Gi"))
    assert larger[0].patch == {"status": {"capacity": {"storage": "3Gi"}}}  # type: ignore[union-attr]
    assert larger[1:] == [done]
    assert local_path.plan_growth(bound, volume()) == []  # another's
    same = ours(volume="disk", done=True, phase="Bound", status=status)
    assert local_path.plan_growth(same, volume(annotations=MARKS)) == []
    early = ours(size="2Gi", volume="disk", status=status)
    assert local_path.plan_growth(early, volume(annotations=MARKS)) == []


def test_a_released_volume_of_a_simulated_node_goes_and_a_real_nodes_waits_for_it() -> None:
    released = volume(annotations=MARKS, policy="Delete", phase="Released")
    gone = [Delete(PERSISTENTVOLUME.ref("", "disk"), "uid-disk")]
    assert local_path.plan_removal(released, SIMULATED) == gone
    assert local_path.plan_removal(released, NODE) == []
    assert local_path.plan_removal(released, None) == []
    for other in ({"policy": "Retain"}, {"phase": "Bound"}):
        fields = {"policy": "Delete", "phase": "Released", **other}
        assert local_path.plan_removal(volume(annotations=MARKS, **fields), SIMULATED) == []


# Protection

FINALIZER = "kubernetes.io/pvc-protection"


def protected(used: bool, *finalizers: str, going: bool = False) -> Any:
    metadata = {"finalizers": list(finalizers)}
    if going:
        metadata["deletionTimestamp"] = time(0)  # type: ignore[assignment]
    found = claim(metadata=metadata)
    return volume_protection.plan(PERSISTENTVOLUMECLAIM, found, FINALIZER, used)


def test_a_finalizer_comes_with_the_object_and_goes_with_its_use() -> None:
    assert protected(False).patch == {"metadata": {"finalizers": [FINALIZER]}}
    assert protected(False, "a").patch == {"metadata": {"finalizers": ["a", FINALIZER]}}
    assert protected(False, FINALIZER) is None
    assert protected(True, FINALIZER, going=True) is None
    assert protected(False, "a", going=True) is None
    last = protected(False, FINALIZER, going=True)
    assert (last.patch, last.revision) == ({"metadata": {"finalizers": None}}, 5)
    assert protected(False, FINALIZER, "a", going=True).patch == {"metadata": {"finalizers": ["a"]}}


def with_claim(**fields: Any) -> Any:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    return pod("web", spec={"volumes": volumes}, **fields)


def with_ephemeral(**fields: Any) -> Any:
    template = {
        "metadata": {"labels": {"tier": "disk"}, "annotations": {"note": "x"}},
        "spec": {"accessModes": [RWO]},
    }
    source = {"ephemeral": {"volumeClaimTemplate": template}}
    return pod("web", spec={"volumes": [{"name": "v", **source}]}, **fields)


def owned(uid: str) -> Any:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": uid, "controller": True}
    return claim("web-v", metadata={"ownerReferences": [owner]})


def test_a_claim_is_used_by_every_pod_on_a_node_until_the_object_is_gone() -> None:
    assert uses(with_claim(), claim())
    assert uses(with_claim(phase="Succeeded"), claim())
    assert uses(with_claim(deleted=True), claim())
    assert not uses(with_claim(node=""), claim())
    assert not uses(with_claim(), claim("other"))
    assert uses(with_ephemeral(), owned("uid-web"))
    assert not uses(with_ephemeral(), owned("another"))


def test_an_ephemeral_volume_gets_a_claim_that_its_pod_owns() -> None:
    owner = with_ephemeral()
    create = ephemeral_volume.plan(owner, owner.spec.volumes[0])
    reference = create.document["metadata"].pop("ownerReferences")
    assert reference == [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "web",
            "uid": "uid-web",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert create.document == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "web-v",
            "namespace": "default",
            "labels": {"tier": "disk"},
            "annotations": {"note": "x"},
        },
        "spec": {"accessModes": [RWO]},
    }
    assert ephemeral_volume.check_owner(owner, owned("uid-web")) == ""
    assert ephemeral_volume.check_owner(owner, owned("another")) == (
        "PVC default/web-v was not created for pod default/web (pod is not owner)"
    )
