"""What stands in for the sidecars of CSI drivers: who opts in, what drivers are asked, what becomes
of their answers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from steersman.client.interface import View
from steersman.controllers.csi import attaching, opting, provisioning, requests, resizing
from steersman.controllers.csi.requests import BadParameters
from steersman.model.kinds.csidriver import CSIDriver
from steersman.model.kinds.csinode import CSINode
from steersman.model.kinds.node import Node
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.model.kinds.storageclass import StorageClass
from steersman.model.kinds.volumeattachment import VolumeAttachment
from steersman.model.types.reference import SecretReference
from steersman.model.volume_binding import PROVISIONER_FINALIZER, wants_to_grow
from steersman.reconcile.actions import Patch, Tell
from steersman.wire.rpc import csi

DRIVER = "csi.test.example"
SECRET = "csi.storage.k8s.io/provisioner-secret"
GIGABYTE = 1 << 30


def known(objects: Iterable[Any]) -> View:
    by_name = {it.metadata.name: it for it in objects}
    return cast(View, SimpleNamespace(get=lambda ref: by_name.get(ref.name), list=by_name.values))


def read(kind: type, name: str, **fields: Any) -> Any:
    metadata = {"name": name, **fields.pop("metadata", {})}
    return msgspec.convert({"metadata": metadata, **fields}, kind)


def claim(spec: Any = (), **fields: Any) -> PersistentVolumeClaim:
    asked = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "fast",
        **dict(spec),
    }
    metadata = {"namespace": "default", "uid": "u", **fields.pop("metadata", {})}
    found: PersistentVolumeClaim = read(
        PersistentVolumeClaim, "data", metadata=metadata, spec=asked, **fields
    )
    return found


def storage_class(**parameters: str) -> StorageClass:
    found: StorageClass = read(
        StorageClass,
        "fast",
        provisioner=DRIVER,
        parameters=parameters,
        reclaimPolicy="Delete",
        mountOptions=["noatime"],
    )
    return found


def volume(**spec: Any) -> PersistentVolume:
    metadata = {"uid": "v", "finalizers": spec.pop("finalizers", [])} | spec.pop("metadata", {})
    status = {"phase": spec.pop("phase", "Bound")}
    source = {"driver": DRIVER, "volumeHandle": "h", "fsType": "ext4"}
    full = {"csi": source, "persistentVolumeReclaimPolicy": "Delete", **spec}
    found: PersistentVolume = read(
        PersistentVolume, "pv", metadata=metadata, spec=full, status=status
    )
    return found


@pytest.mark.parametrize(
    ("text", "socket"), [("/d/csi.sock", Path("/d/csi.sock")), ("", None), ("d/csi.sock", None)]
)
def test_a_driver_opts_in_by_the_path_of_its_socket(text: str, socket: Path | None) -> None:
    driver = read(CSIDriver, DRIVER, metadata={"annotations": {opting.SOCKET: text}})
    assert opting.socket_of(known([driver]), DRIVER) == socket
    assert opting.socket_of(known([read(CSIDriver, DRIVER)]), DRIVER) is None
    assert opting.socket_of(known([]), DRIVER) is None


def test_volumes_are_where_the_driver_is_or_where_a_node_was_chosen() -> None:
    entry = {"name": DRIVER, "nodeID": "id", "topologyKeys": ["zone"]}
    places = {"a": {"zone": "1", "x": "y"}, "b": {"zone": "2"}, "c": {"zone": "2"}, "d": {}}
    nodes = known(read(Node, name, metadata={"labels": it}) for name, it in places.items())
    drivers = known(read(CSINode, name, spec={"drivers": [entry]}) for name in "abcd")
    assert opting.topologies(DRIVER, nodes, drivers, "") == ({"zone": "1"}, {"zone": "2"})
    assert opting.topologies(DRIVER, nodes, drivers, "b") == ({"zone": "2"},)
    assert opting.topologies("other", nodes, drivers, "") == ()
    assert opting.node_id(DRIVER, drivers, "a") == "id"
    assert opting.node_id("other", drivers, "a") is None
    assert opting.node_id(DRIVER, drivers, "nowhere") is None


def test_secrets_are_named_by_the_class_with_words_of_the_claim() -> None:
    assert requests.secret_of(storage_class(), claim(), "provisioner-secret") is None
    named = {
        f"{SECRET}-name": "k-${pvc.name}-${pv.name}",
        f"{SECRET}-namespace": "${pvc.namespace}",
    }
    found = requests.secret_of(storage_class(**named), claim(), "provisioner-secret")
    assert found == SecretReference("default", "k-data-pvc-u")
    with pytest.raises(BadParameters, match="only good together"):
        requests.secret_of(storage_class(**{f"{SECRET}-name": "x"}), claim(), "provisioner-secret")
    odd = {f"{SECRET}-name": "${other}", f"{SECRET}-namespace": "n"}
    with pytest.raises(BadParameters, match=r"invalid tokens: \[\"other\"\]"):
        requests.secret_of(storage_class(**odd), claim(), "provisioner-secret")


def test_a_driver_is_asked_for_what_claim_and_class_say() -> None:
    found = storage_class(kind="fast", **{"csi.storage.k8s.io/fstype": "xfs"})
    asked = requests.render_create(claim(), found, [{"zone": "1"}], {"p": "q"}, set())
    zone = csi.Topology({"zone": "1"})
    mount = csi.MountVolume("xfs", ("noatime",))
    mode = csi.AccessMode(csi.SINGLE_NODE_WRITER)
    assert asked == csi.CreateVolume(
        "pvc-u",
        csi.CapacityRange(GIGABYTE),
        (csi.VolumeCapability(mount=mount, access_mode=mode),),
        {"kind": "fast"},
        {"p": "q"},
        accessibility_requirements=csi.TopologyRequirement((zone,), (zone,)),
    )
    shared = claim({"accessModes": ["ReadWriteMany", "ReadOnlyMany"], "volumeMode": "Block"})
    plain = requests.render_create(shared, found, [], {}, set())
    assert plain.accessibility_requirements is None
    assert [it.access_mode for it in plain.volume_capabilities] == [
        csi.AccessMode(csi.MULTI_NODE_MULTI_WRITER),
        csi.AccessMode(csi.MULTI_NODE_READER_ONLY),
    ]
    assert {it.block for it in plain.volume_capabilities} == {csi.BlockVolume()}
    able = {csi.SINGLE_NODE_MULTI_WRITER_OF_CONTROLLER}
    (once,) = requests.render_create(claim(), found, [], {}, able).volume_capabilities
    assert once.access_mode == csi.AccessMode(csi.SINGLE_NODE_MULTI_WRITER)
    pod_alone = claim({"accessModes": ["ReadWriteOncePod"]})
    (single,) = requests.render_create(pod_alone, found, [], {}, able).volume_capabilities
    assert single.access_mode == csi.AccessMode(csi.SINGLE_NODE_SINGLE_WRITER)


def test_what_cannot_be_made_is_refused() -> None:
    chosen = claim({"selector": {"matchLabels": {"a": "b"}}})
    with pytest.raises(BadParameters, match="claim Selector is not supported"):
        requests.render_create(chosen, storage_class(), [], {}, set())


def test_the_volume_is_what_the_driver_has_made() -> None:
    made = csi.Volume(2 * GIGABYTE, "h", {"c": "d"}, None, (csi.Topology({"zone": "1"}),))
    found = storage_class(**{"csi.storage.k8s.io/fstype": "xfs"})
    document = requests.render_volume(claim(), found, made, SecretReference("n", "k"))
    metadata, spec = document["metadata"], document["spec"]
    assert metadata["finalizers"] == [PROVISIONER_FINALIZER]
    assert metadata["annotations"] == {
        "pv.kubernetes.io/provisioned-by": DRIVER,
        "volume.kubernetes.io/provisioner-deletion-secret-name": "k",
        "volume.kubernetes.io/provisioner-deletion-secret-namespace": "n",
    }
    assert spec["capacity"] == {"storage": "2Gi"}
    assert spec["csi"] == {
        "driver": DRIVER,
        "volumeHandle": "h",
        "volumeAttributes": {"c": "d"},
        "fsType": "xfs",
    }
    (term,) = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "zone", "operator": "In", "values": ["1"]}]
    removed = msgspec.convert(document, PersistentVolume)
    assert requests.deletion_secret(removed) == SecretReference("n", "k")
    bare = requests.render_volume(claim(), storage_class(), csi.Volume(0, "h"), None)
    assert bare["spec"]["capacity"] == {"storage": "1Gi"}
    assert "nodeAffinity" not in bare["spec"]
    assert "fsType" not in bare["spec"]["csi"]
    assert requests.deletion_secret(msgspec.convert(bare, PersistentVolume)) is None


def test_a_claim_waits_for_its_driver_until_it_has_a_volume() -> None:
    marked = {"annotations": {"volume.kubernetes.io/storage-provisioner": DRIVER}}
    assert provisioning.provisioner_of(claim(metadata=marked)) == DRIVER
    assert provisioning.provisioner_of(claim()) == ""
    assert provisioning.provisioner_of(claim({"volumeName": "pv"}, metadata=marked)) == ""
    going = {**marked, "deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert provisioning.provisioner_of(claim(metadata=going)) == ""


def test_a_volume_goes_with_its_data_once_nobody_claims_it() -> None:
    ours = [PROVISIONER_FINALIZER]
    deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert provisioning.is_leaving(volume(phase="Released", finalizers=ours))
    assert not provisioning.is_leaving(volume(phase="Released"))
    assert not provisioning.is_leaving(volume(phase="Bound", finalizers=ours))
    assert provisioning.is_leaving(volume(phase="Available", finalizers=ours, metadata=deleted))
    assert not provisioning.is_leaving(volume(phase="Bound", finalizers=ours, metadata=deleted))
    retained = {"persistentVolumeReclaimPolicy": "Retain", "finalizers": ours}
    assert not provisioning.is_leaving(volume(phase="Released", **retained))


def test_an_attachment_is_due_until_it_is_attached_and_again_when_it_leaves() -> None:
    def attachment(attached: bool, *marks: str, going: bool = False) -> VolumeAttachment:
        metadata: dict[str, Any] = {"finalizers": list(marks)}
        if going:
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        spec = {"attacher": DRIVER, "nodeName": "n", "source": {}}
        status = {"attached": attached}
        found: VolumeAttachment = read(
            VolumeAttachment, "a", metadata=metadata, spec=spec, status=status
        )
        return found

    mark = attaching.finalizer_of(DRIVER)
    assert mark == "external-attacher/csi-test-example"
    assert attaching.is_due(attachment(False))
    assert not attaching.is_due(attachment(True, mark))
    assert attaching.is_due(attachment(True, mark, going=True))
    assert not attaching.is_due(attachment(True, "other", going=True))


def test_growth_is_told_when_it_is_done_or_left_to_the_node() -> None:
    grows = claim(
        {"resources": {"requests": {"storage": "2Gi"}}, "volumeName": "pv"},
        metadata={"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        status={"phase": "Bound", "capacity": {"storage": "1Gi"}},
    )
    assert wants_to_grow(grows)
    assert not wants_to_grow(claim())
    done = resizing.plan_result(grows, volume(), 2 << 30, on_node=False, now=0.0)
    assert [it.patch for it in done if isinstance(it, Patch)] == [
        {"spec": {"capacity": {"storage": "2Gi"}}},
        {"status": {"capacity": {"storage": "2Gi"}}},
    ]
    left = resizing.plan_result(grows, volume(), 2 << 30, on_node=True, now=0.0)
    (condition,) = left[1].patch["status"]["conditions"]  # type: ignore[union-attr,call-overload]
    assert (condition["type"], condition["status"]) == ("FileSystemResizePending", "True")
    assert [it.reason for it in left if isinstance(it, Tell)] == ["FileSystemResizeRequired"]


def test_a_driver_is_asked_until_the_claim_is_told_or_the_node_has_the_rest() -> None:
    def growing(has: str, *conditions: dict[str, str]) -> PersistentVolumeClaim:
        status = {"phase": "Bound", "capacity": {"storage": has}, "conditions": list(conditions)}
        marks = {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
        wanted = {"resources": {"requests": {"storage": "2Gi"}}, "volumeName": "pv"}
        return claim(wanted, metadata=marks, status=status)

    pending = {"type": "FileSystemResizePending", "status": "True"}
    large = volume(capacity={"storage": "2Gi"})
    assert not resizing.is_due(growing("2Gi"), volume())
    assert resizing.is_due(growing("1Gi"), volume(capacity={"storage": "1Gi"}))
    assert resizing.is_due(growing("1Gi", pending), volume(capacity={"storage": "1Gi"}))
    assert resizing.is_due(growing("1Gi"), large)  # the claim was not told
    assert resizing.is_due(growing("1Gi", {**pending, "status": "False"}), large)
    assert not resizing.is_due(growing("1Gi", pending), large)


def test_how_a_volume_is_used_stands_in_it() -> None:
    shared = volume(accessModes=["ReadWriteMany"], mountOptions=["ro"])
    found = requests.capability_of(shared, set())
    assert found.mount == csi.MountVolume("ext4", ("ro",))
    assert found.access_mode == csi.AccessMode(csi.MULTI_NODE_MULTI_WRITER)
    assert requests.secret_in(shared, "controllerPublishSecretRef") is None
