"""Which volume a claim gets, how a binding is written, and what becomes of both when one goes."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers.volume_binder import default_of
from steersman.controllers.volume_plan import Around, find, plan_claim, plan_volume
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.reconcile.actions import Patch, Tell, status
from unit.controllers.storage_views import RWO, RWX, claim, storage_class, volume
from unit.controllers.views import time

CLAIM = PERSISTENTVOLUMECLAIM.ref("default", "data")
VOLUME = PERSISTENTVOLUME.ref("", "disk")
PROVISIONED = {"pv.kubernetes.io/provisioned-by": "example.com/disk"}
CONTROLLER = {"pv.kubernetes.io/bound-by-controller": "yes"}
DONE = {"pv.kubernetes.io/bind-completed": "yes"}
REFERENCE = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "namespace": "default",
    "name": "data",
    "uid": "uid-data",
    "resourceVersion": "5",
}
RESERVE = Patch(
    VOLUME,
    {"spec": {"claimRef": REFERENCE}, "metadata": {"annotations": CONTROLLER}},
    uid="uid-disk",
    revision=7,
)
NAME = Patch(
    CLAIM,
    {"metadata": {"annotations": {**DONE, **CONTROLLER}}, "spec": {"volumeName": "disk"}},
    uid="uid-data",
    revision=5,
)


def volume_is(phase: str, message: str | None = None) -> Patch:
    return status(VOLUME, {"phase": phase, "message": message}, uid="uid-disk")


def claim_is(**fields: Any) -> Patch:
    return status(CLAIM, fields, uid="uid-data")


BOUND = claim_is(accessModes=[RWO], phase="Bound", capacity={"storage": "1Gi"})
LOST = claim_is(phase="Lost", accessModes=None, capacity=None)


def planned(found: Any, **around: Any) -> list[Any]:
    return plan_claim(found, Around(**around))


def test_a_claim_and_its_volume_are_bound_in_order() -> None:
    assert planned(claim(), free=(volume(),)) == [RESERVE, volume_is("Bound"), NAME, BOUND]


def test_a_binding_that_broke_off_is_completed() -> None:
    reserved = volume(claimed="data")
    assert planned(claim(), free=(reserved,)) == [volume_is("Bound"), NAME, BOUND]
    held = volume(claimed="data", phase="Bound")
    assert planned(claim(), free=(held,)) == [NAME, BOUND]
    named = claim(volume="disk", done=True)
    assert planned(named, named=held) == [BOUND]
    whole = claim(volume="disk", done=True, phase="Bound", status={"accessModes": [RWO]})
    assert planned(whole, named=held) == []


def test_a_bound_claim_takes_its_volume_back_and_keeps_its_capacity() -> None:
    shown = {"accessModes": [RWO], "capacity": {"storage": "3Gi"}}
    whole = claim(volume="disk", done=True, phase="Bound", status=shown)
    assert planned(whole, named=volume(phase="Bound", size="5Gi")) == [RESERVE]


@pytest.mark.parametrize(
    ("fields", "spec"),
    [
        ({"size": "512Mi"}, {}),
        ({"storageClassName": "fast"}, {}),
        ({"storageClassName": ""}, {}),
        ({"volumeMode": "Block"}, {}),
        ({"modes": (RWX,)}, {}),
        ({"phase": "Pending"}, {}),
        ({"claimed": "other"}, {}),
        ({"claimed": "data", "uid": "another"}, {}),
        ({"metadata": {"deletionTimestamp": time(0)}}, {}),
        ({}, {"selector": {"matchLabels": {"kind": "ssd"}}}),
    ],
)
def test_a_volume_that_is_not_what_is_asked_for_is_not_taken(fields: Any, spec: Any) -> None:
    assert find(claim(**spec), [volume(**fields)]) is None


def test_of_several_volumes_the_one_with_fewest_modes_and_then_the_smallest_is_taken() -> None:
    large, small = volume("large", size="3Gi"), volume("small", size="2Gi")
    both = volume("both", modes=(RWO, RWX))
    assert find(claim(), [both, large, small]) is small
    assert find(claim(size="3Gi"), [both, large, small]) is large
    assert find(claim(modes=(RWX,)), [small, both]) is both
    labelled = volume("labelled", size="9Gi", metadata={"labels": {"kind": "ssd"}})
    chosen = claim(selector={"matchLabels": {"kind": "ssd"}})
    assert find(chosen, [small, labelled]) is labelled


def test_a_reserved_volume_comes_before_all_others_even_where_a_node_is_waited_for() -> None:
    reserved = volume("mine", size="9Gi", claimed="data", uid="")
    assert find(claim(), [volume(), reserved]) is reserved
    assert find(claim(), [volume(), reserved], waits=True) is reserved
    assert find(claim(), [volume()], waits=True) is None
    assert find(claim(size="10Gi"), [reserved]) is None


def test_a_persons_reservation_gets_the_uid_and_not_the_mark() -> None:
    reserved = volume(claimed="data", uid="")
    first = planned(claim(), free=(reserved,))[0]
    assert first == Patch(VOLUME, {"spec": {"claimRef": REFERENCE}}, uid="uid-disk", revision=7)


def test_a_claim_without_class_and_volume_says_so() -> None:
    text = "no persistent volumes available for this claim and no storage class is set"
    bare = claim(storageClassName="")
    assert planned(bare, default="fast") == [Tell(bare, "FailedBinding", text)]
    old = claim(storageClassName=None)
    assert planned(old) == [Tell(old, "FailedBinding", text)]


def test_a_claim_that_names_no_class_gets_the_default_one_later_too() -> None:
    patch = Patch(CLAIM, {"spec": {"storageClassName": "fast"}}, uid="uid-data", revision=5)
    assert planned(claim(storageClassName=None), default="fast") == [patch]


def test_the_default_class_is_the_newest_then_the_first_by_name() -> None:
    mark = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    off = {"annotations": {"storageclass.kubernetes.io/is-default-class": "false"}}
    old = storage_class("a", born=200, metadata=mark)
    new = [storage_class(name, born=100, metadata=mark) for name in ("d", "c")]
    assert default_of([old, *new, storage_class("b", born=1, metadata=off)]) == "c"
    assert default_of([storage_class("a")]) == ""


def test_a_claim_waits_for_its_first_pod_and_tells_which() -> None:
    waits = storage_class(mode="WaitForFirstConsumer")
    found = claim()
    none = "waiting for first consumer to be created before binding"
    free = (volume(),)
    assert planned(found, storage_class=waits, free=free) == [
        Tell(found, "WaitForFirstConsumer", none)
    ]
    one, two = "waiting for pod b to be scheduled", "waiting for pods a,b to be scheduled"
    assert planned(found, storage_class=waits, pods=("b",)) == [
        Tell(found, "WaitForPodScheduled", one)
    ]
    assert planned(found, storage_class=waits, pods=("b", "a")) == [
        Tell(found, "WaitForPodScheduled", two)
    ]


def test_a_provisioner_is_asked_once_a_node_is_chosen_or_none_is_needed() -> None:
    chosen = claim(metadata={"annotations": {"volume.kubernetes.io/selected-node": "n"}})
    waits = storage_class(mode="WaitForFirstConsumer")
    for found, which in ((claim(), storage_class()), (chosen, waits)):
        patch, told = planned(found, storage_class=which)
        assert patch.patch == {
            "metadata": {
                "annotations": {
                    "volume.beta.kubernetes.io/storage-provisioner": "example.com/disk",
                    "volume.kubernetes.io/storage-provisioner": "example.com/disk",
                }
            }
        }
        assert told == Tell(
            found,
            "ExternalProvisioning",
            "Waiting for a volume to be created either by the external provisioner "
            "'example.com/disk' or manually by the system administrator. If volume creation is "
            "delayed, please verify that the provisioner is running and correctly registered.",
        )
        again = claim(metadata=patch.patch["metadata"])
        (only,) = planned(again, storage_class=storage_class())
        assert (only.reason, only.type) == ("ExternalProvisioning", "Normal")


def test_a_class_that_cannot_provide_is_told() -> None:
    (missing,) = planned(claim())
    assert (missing.reason, missing.note, missing.type) == (
        "ProvisioningFailed",
        'storageclass.storage.k8s.io "slow" not found',
        "Warning",
    )
    none = storage_class(provisioner="kubernetes.io/no-provisioner")
    (told,) = planned(claim(), storage_class=none)
    assert told.note == "no volume plugin matched name: kubernetes.io/no-provisioner"


def test_a_class_of_upstreams_tree_is_left_to_the_driver_that_serves_it() -> None:
    found = claim()
    patch, told = planned(found, storage_class=storage_class(provisioner="kubernetes.io/gce-pd"))
    assert patch.patch["metadata"]["annotations"] == dict.fromkeys(
        (
            "volume.beta.kubernetes.io/storage-provisioner",
            "volume.kubernetes.io/storage-provisioner",
        ),
        "pd.csi.storage.gke.io",
    )
    assert "external provisioner 'pd.csi.storage.gke.io'" in told.note


@pytest.mark.parametrize(
    ("annotations", "wanted"),
    [
        ({"volume.kubernetes.io/storage-provisioner": "kubernetes.io/aws-ebs"}, "ebs.csi.aws.com"),
        (
            {"volume.beta.kubernetes.io/storage-provisioner": "kubernetes.io/cinder"},
            "cinder.csi.openstack.org",
        ),
        (
            {
                "volume.kubernetes.io/storage-provisioner": "example.com/disk",
                "pv.kubernetes.io/migrated-to": "x",
            },
            None,
        ),
    ],
)
def test_a_claim_of_a_plugin_says_which_driver_has_it(
    annotations: dict[str, str], wanted: str | None
) -> None:
    marks = {"pv.kubernetes.io/migrated-to": wanted}
    assert planned(claim(metadata={"annotations": annotations})) == [
        Patch(CLAIM, {"metadata": {"annotations": marks}}, uid="uid-data", revision=5)
    ]


def test_a_volume_of_a_plugin_is_its_drivers_to_delete() -> None:
    by = {"pv.kubernetes.io/provisioned-by": "kubernetes.io/aws-ebs"}
    fields = {"claimed": "data", "phase": "Bound", "persistentVolumeReclaimPolicy": "Delete"}
    marks = {"pv.kubernetes.io/migrated-to": "ebs.csi.aws.com"}
    assert plan_volume(volume(annotations=by, **fields), None) == [
        Patch(VOLUME, {"metadata": {"annotations": marks}}, uid="uid-disk", revision=7)
    ]
    told = volume(annotations={**by, **marks}, **fields)
    assert plan_volume(told, None) == [volume_is("Released")]


def test_a_claim_that_names_its_volume_gets_that_one_or_waits() -> None:
    named = claim(volume="disk")
    assert planned(named) == []
    unmarked = Patch(CLAIM, {"metadata": {"annotations": DONE}}, uid="uid-data", revision=5)
    expected = [RESERVE, volume_is("Bound"), unmarked, BOUND]
    assert planned(named, named=volume(phase="Pending"))[0] == RESERVE
    assert planned(named, named=volume()) == expected
    taken = 'volume "disk" already bound to a different claim.'
    assert planned(named, named=volume(claimed="other")) == [
        Tell(named, "FailedBinding", taken, "Warning")
    ]
    for fields, why in (
        ({"size": "1Mi"}, "requested PV is too small"),
        ({"storageClassName": "x"}, "storageClassName does not match"),
        ({"volumeMode": "Block"}, "incompatible volumeMode"),
        ({"modes": (RWX,)}, "incompatible accessMode"),
    ):
        text = f'Cannot bind to requested volume "disk": {why}'
        expected = [Tell(named, "VolumeMismatch", text, "Warning")]
        assert planned(named, named=volume(**fields)) == expected


def test_a_bound_claim_whose_volume_is_gone_or_anothers_is_lost() -> None:
    gone = claim(volume="disk", done=True, phase="Bound")
    text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
    assert planned(gone) == [LOST, Tell(gone, "ClaimLost", text, "Warning")]
    loose = claim(done=True, phase="Bound")
    text = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
    assert planned(loose, named=volume()) == [LOST, Tell(loose, "ClaimLost", text, "Warning")]
    text = "Two claims are bound to the same volume, this one is bound incorrectly"
    for other in (volume(claimed="other"), volume(claimed="data", uid="former")):
        assert planned(gone, named=other) == [LOST, Tell(gone, "ClaimMisbound", text, "Warning")]
    assert planned(claim(volume="disk", done=True, phase="Lost")) == []


def test_no_binding_begins_for_a_claim_that_goes() -> None:
    going = claim(metadata={"deletionTimestamp": time(0)})
    assert planned(going, free=(volume(),)) == []


# Volumes


def test_a_volume_nobody_names_is_available() -> None:
    assert plan_volume(volume(phase="Pending"), None) == [volume_is("Available")]
    assert plan_volume(volume(phase="Pending", claimed="data", uid=""), None) == [
        volume_is("Available")
    ]
    assert plan_volume(volume(), None) == []


def test_a_volume_is_bound_with_its_claim() -> None:
    held = volume(claimed="data", phase="Available")
    assert plan_volume(held, claim(volume="disk")) == [volume_is("Bound")]
    assert plan_volume(held, claim()) == []  # the claim's call completes it


def test_a_volume_whose_claim_is_gone_is_released_and_waits_for_its_provisioner() -> None:
    for policy, marks in (("Retain", {}), ("Delete", PROVISIONED)):
        held = volume(claimed="data", phase="Bound", policy=policy, annotations=marks)
        assert plan_volume(held, None) == [volume_is("Released")]
        again = claim(metadata={"uid": "another"})
        assert plan_volume(held, again) == [volume_is("Released")]
        done = volume(claimed="data", phase="Released", policy=policy, annotations=marks)
        assert plan_volume(done, None) == []
        failed = volume(claimed="data", phase="Failed", policy=policy, annotations=marks)
        assert plan_volume(failed, None) == []


@pytest.mark.parametrize(
    ("policy", "reason", "text"),
    [
        ("Recycle", "VolumeFailedRecycle", "No recycler plugin found for the volume!"),
        (
            "Delete",
            "VolumeFailedDelete",
            'error getting deleter volume plugin for volume "disk": no deletable volume plugin '
            "matched",
        ),
    ],
)
def test_a_volume_that_nobody_can_reclaim_has_failed(policy: str, reason: str, text: str) -> None:
    held = volume(claimed="data", phase="Bound", policy=policy)
    expected = [volume_is("Failed", text), Tell(held, reason, text, "Warning")]
    assert plan_volume(held, None) == expected
    assert plan_volume(volume(claimed="data", phase="Failed", policy=policy), None) == []


def test_a_volume_whose_claim_got_another_one_is_free_again_or_goes() -> None:
    elsewhere = claim(volume="other")
    marked = volume(claimed="data", phase="Bound", annotations=CONTROLLER)
    patch = {
        "spec": {"claimRef": None},
        "metadata": {"annotations": {next(iter(CONTROLLER)): None}},
    }
    assert plan_volume(marked, elsewhere) == [
        Patch(VOLUME, patch, uid="uid-disk", revision=7),
        volume_is("Available"),
    ]
    reserved = volume(claimed="data", phase="Bound")
    kept, _ = plan_volume(reserved, elsewhere)
    assert isinstance(kept, Patch)
    assert kept.patch == {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}}
    made = volume(claimed="data", phase="Bound", policy="Delete", annotations=PROVISIONED)
    assert plan_volume(made, elsewhere) == [volume_is("Released")]
