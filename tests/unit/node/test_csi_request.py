"""What a volume of a pod asks of its CSI driver, and what stands of it in paths and records."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from steersman.model.csi_translation import translated_inline
from steersman.model.kinds.csidriver import CSIDriver
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.types.reference import SecretReference
from steersman.node.csi import request
from steersman.node.csi.layout import EPHEMERAL, Layout, Record, root_of
from steersman.node.csi.request import Wanted
from steersman.node.objects import BadConfiguration
from steersman.wire.rpc import csi
from unit.node.node_documents import pod

DRIVER = "csi.test.example"
CLAIMED = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
SOURCE = {
    "driver": DRIVER,
    "volumeHandle": "handle",
    "fsType": "xfs",
    "volumeAttributes": {"a": "b"},
    "nodeStageSecretRef": {"namespace": "n", "name": "stage"},
    "nodePublishSecretRef": {"namespace": "n", "name": "publish"},
    "nodeExpandSecretRef": {"namespace": "n", "name": "expand"},
}


def behind(source: dict[str, Any] = SOURCE, **spec: Any) -> PersistentVolume:
    document = {
        "metadata": {"name": "pv"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "claimRef": {"namespace": "default", "name": "data"},
            "csi": source,
            **spec,
        },
    }
    return msgspec.convert(document, PersistentVolume)


def wanted(volume: dict[str, Any] = CLAIMED, **given: Any) -> Wanted:
    mine = pod(spec={"volumes": [volume]})
    found = behind(**given) if "csi" not in volume else None
    return request.render_wanted(mine, mine.spec.volumes[0], found)


def driver(**spec: Any) -> CSIDriver:
    return msgspec.convert({"metadata": {"name": DRIVER}, "spec": spec}, CSIDriver)


def test_what_a_claim_wants_stands_in_the_volume_behind_it() -> None:
    assert wanted(mountOptions=["noatime"]) == Wanted(
        "pv",
        DRIVER,
        "handle",
        fs_type="xfs",
        attributes={"a": "b"},
        mount_options=("noatime",),
        modes=("ReadWriteOnce",),
        stage_secret=SecretReference("n", "stage"),
        publish_secret=SecretReference("n", "publish"),
        expand_secret=SecretReference("n", "expand"),
        claim=("default", "data"),
        capacity="1Gi",
    )
    assert wanted(volumeMode="Block").block


def test_a_volume_is_only_read_where_it_or_the_pod_says_so() -> None:
    assert not wanted().read_only
    assert wanted(source={**SOURCE, "readOnly": True}).read_only
    claim = {"name": "v", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}}
    assert wanted(claim).read_only


def test_an_inline_volume_is_the_pods_alone() -> None:
    inline = {"driver": DRIVER, "fsType": "ext4", "nodePublishSecretRef": {"name": "key"}}
    mine = pod(spec={"volumes": [{"name": "v", "csi": inline}]})
    found = request.render_wanted(mine, mine.spec.volumes[0], None)
    digest = hashlib.sha256(f"{mine.metadata.uid}v".encode()).hexdigest()
    assert (found.name, found.handle, found.ephemeral) == ("v", f"csi-{digest}", True)
    assert found.publish_secret == SecretReference("default", "key")
    assert found.record("node", "").volume_lifecycle_mode == EPHEMERAL


def test_what_a_pod_names_of_upstreams_tree_is_a_volume_without_a_claim() -> None:
    source = {"name": "v", "azureDisk": {"diskURI": "/s/d", "kind": "Managed", "readOnly": True}}
    mine = pod(spec={"volumes": [source]})
    volume = mine.spec.volumes[0]
    found = request.render_wanted(mine, volume, translated_inline(volume, "default"))
    attributes = {"kind": "Managed"}
    assert found == Wanted(
        "/s/d",
        "disk.csi.azure.com",
        "/s/d",
        read_only=True,
        attributes=attributes,
        modes=("ReadWriteOnce",),
    )
    assert request.is_attached(found, None)
    target = Layout(Path("/n")).target("uid", found.name, block=False)
    assert str(target) == "/n/pods/uid/volumes/kubernetes.io~csi/~s~d/mount"


@pytest.mark.parametrize(
    ("name", "abilities", "mode"),
    [
        ("ReadWriteOnce", (), csi.SINGLE_NODE_WRITER),
        ("ReadWriteOncePod", (), csi.SINGLE_NODE_WRITER),
        ("ReadWriteOnce", (5,), csi.SINGLE_NODE_MULTI_WRITER),
        ("ReadWriteOncePod", (5,), csi.SINGLE_NODE_SINGLE_WRITER),
        ("ReadOnlyMany", (5,), csi.MULTI_NODE_READER_ONLY),
        ("ReadWriteMany", (), csi.MULTI_NODE_MULTI_WRITER),
    ],
)
def test_access_modes_are_those_that_a_driver_knows(
    name: str, abilities: tuple[int, ...], mode: int
) -> None:
    found = request.render_capability(wanted(accessModes=[name, "ReadOnlyMany"]), abilities, None)
    assert found.access_mode == csi.AccessMode(mode)


def test_a_capability_is_a_device_or_a_file_system() -> None:
    block = request.render_capability(wanted(volumeMode="Block"), (), 5)
    assert (block.block, block.mount) == (csi.BlockVolume(), None)
    mount = request.render_capability(wanted(mountOptions=["ro"]), (), 5)
    assert (mount.block, mount.mount) == (None, csi.MountVolume("xfs", ("ro",)))
    given = request.render_capability(wanted(), (csi.VOLUME_MOUNT_GROUP,), 5)
    assert given.mount == csi.MountVolume("xfs", (), "5")
    without = request.render_capability(wanted(), (csi.VOLUME_MOUNT_GROUP,), None)
    assert without.mount == csi.MountVolume("xfs", ())


@pytest.mark.parametrize(
    ("policy", "given", "expected"),
    [
        ("ReadWriteOnceWithFSType", {}, True),
        ("ReadWriteOnceWithFSType", {"accessModes": ["ReadWriteOncePod"]}, True),
        ("ReadWriteOnceWithFSType", {"accessModes": ["ReadWriteMany"]}, False),
        ("ReadWriteOnceWithFSType", {"source": {**SOURCE, "fsType": ""}}, False),
        ("ReadWriteOnceWithFSType", {"volumeMode": "Block"}, False),
        ("ReadWriteOnceWithFSType", {"source": {**SOURCE, "readOnly": True}}, False),
        ("File", {"accessModes": ["ReadWriteMany"]}, True),
        ("File", {"source": {**SOURCE, "fsType": ""}}, True),
        ("None", {}, False),
    ],
)
def test_files_are_given_to_the_pods_group_by_the_drivers_policy(
    policy: str, given: dict[str, Any], expected: bool
) -> None:
    found = driver(fsGroupPolicy=policy)
    assert request.is_group_given(wanted(**given), found, (), 5) == expected
    assert not request.is_group_given(wanted(**given), found, (csi.VOLUME_MOUNT_GROUP,), 5)
    assert not request.is_group_given(wanted(**given), found, (), None)


def test_without_an_object_a_driver_has_what_upstream_takes_for_granted() -> None:
    inline = wanted({"name": "v", "csi": {"driver": DRIVER}})
    assert request.is_group_given(wanted(), None, (), 5)
    assert request.is_attached(wanted(), None)
    assert not request.is_attached(inline, None)
    assert request.render_pod_info(wanted(), pod(), None) == {}
    request.check_lifecycle(wanted(), None)
    with pytest.raises(BadConfiguration, match=r'mode "Ephemeral" .* \(no CSIDriver object\)'):
        request.check_lifecycle(inline, None)


def test_a_driver_serves_the_modes_that_it_says() -> None:
    inline = wanted({"name": "v", "csi": {"driver": DRIVER}})
    both = driver(volumeLifecycleModes=["Persistent", "Ephemeral"])
    for found in (wanted(), inline):
        request.check_lifecycle(found, both)
    with pytest.raises(BadConfiguration, match=r'\(only supports \["Persistent"\]\)'):
        request.check_lifecycle(inline, driver())
    with pytest.raises(BadConfiguration, match=r'mode "Persistent" .* \["Ephemeral"\]'):
        request.check_lifecycle(wanted(), driver(volumeLifecycleModes=["Ephemeral"]))
    assert not request.is_attached(wanted(), driver(attachRequired=False))
    assert request.is_attached(wanted(), driver(attachRequired=True))


def test_tokens_are_one_text_by_their_audience() -> None:
    assert request.render_tokens({}) == {}
    (text,) = request.render_tokens({"": {"token": "t"}, "a": {"token": "u"}}).values()
    assert json.loads(text) == {"": {"token": "t"}, "a": {"token": "u"}}


def test_pod_information_is_told_to_who_asks() -> None:
    found = request.render_pod_info(wanted(), pod(), driver(podInfoOnMount=True))
    assert found["csi.storage.k8s.io/pod.name"] == pod().metadata.name
    assert found["csi.storage.k8s.io/ephemeral"] == "false"
    assert request.render_pod_info(wanted(), pod(), driver(podInfoOnMount=False)) == {}


# Paths and records


def test_paths_are_the_kubelets() -> None:
    layout = Layout(Path("/n"))
    digest = hashlib.sha256(b"handle").hexdigest()
    record = wanted().record("node", "csi-x")
    csi_path = "/n/plugins/kubernetes.io/csi"
    assert str(layout.staging(record)) == f"{csi_path}/{DRIVER}/{digest}/globalmount"
    target = layout.target("uid", "pv", block=False)
    assert str(target) == "/n/pods/uid/volumes/kubernetes.io~csi/pv/mount"
    device = layout.target("uid", "pv", block=True)
    assert str(device) == f"{csi_path}/volumeDevices/publish/pv/uid"
    assert layout.is_target(target)
    assert layout.is_target(device)
    assert not layout.is_target(Path("/n/local-path/pvc-1"))
    block = wanted(volumeMode="Block").record("node", "")
    assert str(layout.staging(block)) == f"{csi_path}/volumeDevices/staging/pv"
    assert record.unique_name == f"kubernetes.io/csi/{DRIVER}^handle"


@pytest.mark.parametrize("mode", ["Filesystem", "Block"])
def test_what_was_noted_is_found_and_what_was_not_noted_whole_is_told_apart(
    tmp_path: Path, mode: str
) -> None:
    layout, record = Layout(tmp_path), wanted(volumeMode=mode).record("node", "csi-x")
    assert layout.of_pod("uid") == {}
    assert list(layout.all()) == []
    layout.save("uid", "/s/d", record)
    assert layout.of_pod("uid") == {"~s~d": record}
    (layout.volumes("uid") / "~s~d" / "vol_data.json").unlink()
    (layout.volumes("uid") / "~s~d").rmdir()
    layout.save("uid", "pv", record)
    broken = layout.volumes("uid") / "broken"
    broken.mkdir()
    (broken / "vol_data.json").write_text("{")
    assert layout.of_pod("uid") == {"broken": None, "pv": record}
    assert list(layout.all()) == [("uid", record)]
    layout.save_staged(record)
    layout.staging(record).mkdir(parents=True)
    layout.staging(record).rmdir()
    layout.forget_staged(record)
    layout.forget_staged(record)
    left = [it.name for it in (tmp_path / "plugins").rglob("*") if it.is_file()]
    assert left == []


def test_records_have_the_kubelets_keys(tmp_path: Path) -> None:
    Layout(tmp_path).save("uid", "pv", wanted().record("node", "csi-x"))
    text = (Layout(tmp_path).volumes("uid") / "pv" / "vol_data.json").read_text()
    assert json.loads(text) == {
        "driverName": DRIVER,
        "volumeHandle": "handle",
        "specVolID": "pv",
        "nodeName": "node",
        "attachmentID": "csi-x",
    }
    theirs = {"driverName": DRIVER, "volumeHandle": "h", "volumeLifecycleMode": "Ephemeral"}
    found = msgspec.json.decode(json.dumps(theirs), type=Record)
    assert found == Record(DRIVER, "h", EPHEMERAL)


def test_drivers_know_the_directory_by_the_kubelets_name_where_that_leads_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubelet, node = tmp_path / "kubelet", tmp_path / "node"
    node.mkdir()
    monkeypatch.setattr("steersman.node.csi.layout.KUBELET", kubelet)
    assert root_of(node) == node
    kubelet.symlink_to(tmp_path / "elsewhere")
    assert root_of(node) == node
    kubelet.unlink()
    kubelet.symlink_to(node)
    assert root_of(node) == kubelet
