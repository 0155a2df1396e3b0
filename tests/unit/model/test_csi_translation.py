"""Volumes of upstream's tree under the names of the drivers that serve them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from steersman.model.csi_sources import Untranslatable
from steersman.model.csi_translation import (
    AWS,
    AZURE_DISK,
    CINDER,
    GCE,
    PORTWORX,
    VSPHERE,
    Handle,
    handle_of,
    handle_of_inline,
    in_zones_of_driver,
    is_counted,
    migrated,
    of_driver,
    plugin_of,
    translated,
    translated_inline,
)
from steersman.model.kinds.csinode import CSINode
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.types.volume import Volume

ZONE = "topology.kubernetes.io/zone"
OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"
OLD_REGION = "failure-domain.beta.kubernetes.io/region"


def volume(labels: Any = None, annotations: Any = None, **spec: Any) -> PersistentVolume:
    metadata = {"name": "v", "labels": labels or {}, "annotations": annotations or {}}
    document = {"metadata": metadata, "spec": spec}
    return msgspec.convert(document, PersistentVolume)


def affinity(*terms: list[tuple[str, list[str]]]) -> Any:
    def term(pairs: list[tuple[str, list[str]]]) -> Any:
        wanted = [{"key": key, "operator": "In", "values": values} for key, values in pairs]
        return {"matchExpressions": wanted}

    return {"required": {"nodeSelectorTerms": [term(pairs) for pairs in terms]}}


@pytest.mark.parametrize(
    ("labels", "source", "handle"),
    [
        ({}, {"awsElasticBlockStore": {"volumeID": "vol-1"}}, ("ebs.csi.aws.com", "vol-1")),
        ({}, {"awsElasticBlockStore": {"volumeID": "aws://z/vol-1"}}, ("ebs.csi.aws.com", "vol-1")),
        ({}, {"awsElasticBlockStore": {"volumeID": "disk-1"}}, ("ebs.csi.aws.com", "disk-1")),
        ({}, {"awsElasticBlockStore": {"volumeID": "aws://z/disk-1"}}, None),
        ({}, {"azureDisk": {"diskURI": "/s/d", "diskName": "d"}}, ("disk.csi.azure.com", "/s/d")),
        ({}, {"cinder": {"volumeID": "c"}}, ("cinder.csi.openstack.org", "c")),
        ({}, {"portworxVolume": {"volumeID": "p"}}, ("pxd.portworx.com", "p")),
        (
            {},
            {"gcePersistentDisk": {"pdName": "d"}},
            ("pd.csi.storage.gke.io", "projects/UNSPECIFIED/zones/UNSPECIFIED/disks/d"),
        ),
        (
            {OLD_ZONE: "us-a"},
            {"gcePersistentDisk": {"pdName": "d"}},
            ("pd.csi.storage.gke.io", "projects/UNSPECIFIED/zones/us-a/disks/d"),
        ),
        (
            {ZONE: "us-east1-a__us-east1-b"},
            {"gcePersistentDisk": {"pdName": "d"}},
            ("pd.csi.storage.gke.io", "projects/UNSPECIFIED/regions/us-east1/disks/d"),
        ),
        (
            {ZONE: "us-a", OLD_ZONE: "us-b"},
            {"gcePersistentDisk": {"pdName": "d"}},
            ("pd.csi.storage.gke.io", "projects/UNSPECIFIED/zones/us-b/disks/d"),
        ),
        ({ZONE: "us-a__eu-b"}, {"gcePersistentDisk": {"pdName": "d"}}, None),
        ({}, {"vsphereVolume": {"volumePath": "[s] v"}}, ("csi.vsphere.vmware.com", "[s] v")),
        ({}, {"hostPath": {"path": "/x"}}, None),
    ],
)
def test_a_volume_has_the_handle_that_its_driver_gives_it(
    labels: Any, source: Any, handle: tuple[str, str] | None
) -> None:
    found = handle_of(volume(labels, **source))
    assert (found and found[1:]) == handle


def test_what_a_pod_names_itself_is_in_no_zone() -> None:
    inline = {"name": "v", "gcePersistentDisk": {"pdName": "d"}}
    name = "projects/UNSPECIFIED/zones/UNSPECIFIED/disks/d"
    found = handle_of_inline(msgspec.convert(inline, Volume), "default")
    assert found == Handle(GCE, "pd.csi.storage.gke.io", name)


def test_plugins_count_for_limits_where_upstream_counts_them() -> None:
    def node(text: str) -> CSINode:
        marks = {"storage.alpha.kubernetes.io/migrated-plugins": text} if text else {}
        return msgspec.convert({"metadata": {"name": "n", "annotations": marks}}, CSINode)

    assert is_counted(AWS, node(""))
    assert not is_counted(PORTWORX, node(AWS))
    assert is_counted(PORTWORX, node(f"{AWS},{PORTWORX}"))
    assert not is_counted("kubernetes.io/vsphere-volume", node("kubernetes.io/vsphere-volume"))
    assert migrated(node(f"{AWS},{GCE}")) >= {AWS, GCE}
    assert AWS not in migrated(None)


def test_zones_are_named_by_the_label_of_the_driver() -> None:
    region = (OLD_REGION, ["r"])
    old = affinity([(OLD_ZONE, ["a", "b"]), region], [("other", ["x"])])
    driver = "topology.ebs.csi.aws.com/zone"
    new = affinity(
        [(driver, ["a", "b"]), ("topology.kubernetes.io/region", ["r"])], [("other", ["x"])]
    )
    assert in_zones_of_driver(volume(nodeAffinity=old), AWS) == volume(nodeAffinity=new)
    labels = {ZONE: "b__a"}
    added = affinity([("other", ["x"]), (driver, ["a", "b"])])
    found = in_zones_of_driver(volume(labels, nodeAffinity=affinity([("other", ["x"])])), AWS)
    assert found == volume(labels, nodeAffinity=added)
    alone = in_zones_of_driver(volume(labels), AWS)
    assert alone == volume(labels, nodeAffinity=affinity([(driver, ["a", "b"])]))
    assert in_zones_of_driver(volume(), AWS) == volume()
    assert in_zones_of_driver(volume(labels), PORTWORX) == volume(labels)
    assert in_zones_of_driver(volume(labels), AZURE_DISK) == volume(labels)


@pytest.mark.parametrize(
    ("labels", "old", "new"),
    [
        # Without values a label says nothing, and blanks are no zones
        ({ZONE: " b __"}, [(ZONE, [])], [(ZONE, []), ("ours", ["b"])]),
        ({ZONE: ""}, [("other", ["x"])], [("other", ["x"])]),
        # The label of the affinity decides how the region is called
        ({}, [(ZONE, ["a"]), ("old-region", ["r"])], [("ours", ["a"]), ("old-region", ["r"])]),
        ({OLD_ZONE: "a"}, [("old-region", ["r"])], [("region", ["r"]), ("ours", ["a"])]),
        ({OLD_ZONE: "a"}, [(ZONE, ["b"])], [("ours", ["b"])]),
        # A region that is only a label is nowhere
        ({OLD_ZONE: "a", OLD_REGION: "r"}, [("x", ["y"])], [("x", ["y"]), ("ours", ["a"])]),
        ({ZONE: "a", OLD_ZONE: "b"}, [("other", [])], [("other", []), ("ours", ["a"])]),
    ],
)
def test_zones_are_where_upstream_looks_for_them(labels: Any, old: Any, new: Any) -> None:
    names = {
        "ours": "topology.cinder.csi.openstack.org/zone",
        "region": "topology.kubernetes.io/region",
        "old-region": OLD_REGION,
    }

    def full(pairs: Any) -> Any:
        return affinity([(names.get(key, key), values) for key, values in pairs])

    found = in_zones_of_driver(volume(labels, nodeAffinity=full(old)), CINDER)
    assert found == volume(labels, nodeAffinity=full(new))


def test_vsphere_has_a_label_of_regions_too_and_no_list_of_zones() -> None:
    zone, region = "topology.csi.vmware.com/zone", "topology.csi.vmware.com/region"
    labels = {ZONE: "a__b", "topology.kubernetes.io/region": "r"}
    found = in_zones_of_driver(volume(labels), VSPHERE)
    new = affinity([(zone, ["a__b"]), (region, ["r"])])
    assert found == volume(labels, nodeAffinity=new)
    old = affinity([(OLD_ZONE, ["a"]), (OLD_REGION, ["r"])])
    renamed = affinity([(zone, ["a"]), (region, ["r"])])
    assert in_zones_of_driver(volume(nodeAffinity=old), VSPHERE) == volume(nodeAffinity=renamed)


# What drivers are told

KEY = {"name": "azure-storage-account-a1-secret", "namespace": "default"}
SHARE = {"secretName": KEY["name"], "shareName": "s", "readOnly": True}
OTHER = {**SHARE, "secretName": "key", "secretNamespace": "mine"}
NO_NAMESPACE = "could not find a secret namespace in PersistentVolumeSource or ClaimRef"
EBS = {"volumeID": "aws://z/vol-1", "fsType": "xfs", "partition": 3, "readOnly": True}
DISK = {"diskName": "d", "diskURI": "/s/d", "kind": "managed"}
GCE_DISK = {"pdName": "d", "fsType": "ext4", "partition": 1, "readOnly": True}
PX = {"volumeID": "p", "fsType": "ext4", "readOnly": True}
UNZONED = "projects/UNSPECIFIED/zones/UNSPECIFIED/disks"


@pytest.mark.parametrize(
    ("source", "csi"),
    [
        (
            {"awsElasticBlockStore": EBS},
            {
                "driver": "ebs.csi.aws.com",
                "volumeHandle": "vol-1",
                "readOnly": True,
                "fsType": "xfs",
                "volumeAttributes": {"partition": "3"},
            },
        ),
        (
            {"awsElasticBlockStore": {"volumeID": "aws:///vol-1/"}},
            {
                "driver": "ebs.csi.aws.com",
                "volumeHandle": "vol-1",
                "volumeAttributes": {"partition": "0"},
            },
        ),
        (
            {"azureDisk": {**DISK, "fsType": "", "cachingMode": "", "readOnly": True}},
            {
                "driver": "disk.csi.azure.com",
                "volumeHandle": "/s/d",
                "readOnly": True,
                "volumeAttributes": {"kind": "Managed", "cachingmode": "", "fstype": ""},
            },
        ),
        (
            {"azureDisk": {**DISK, "fsType": "ext4", "cachingMode": "None"}},
            {
                "driver": "disk.csi.azure.com",
                "volumeHandle": "/s/d",
                "fsType": "ext4",
                "volumeAttributes": {"kind": "Managed", "cachingmode": "None", "fstype": "ext4"},
            },
        ),
        (
            {"azureFile": SHARE},
            {
                "driver": "file.csi.azure.com",
                "volumeHandle": "rg#a1#s#v#default",
                "readOnly": True,
                "volumeAttributes": {"sharename": "s"},
                "nodeStageSecretRef": KEY,
            },
        ),
        (
            {"azureFile": OTHER},
            {
                "driver": "file.csi.azure.com",
                "volumeHandle": "rg#key#s#v#mine",
                "readOnly": True,
                "volumeAttributes": {"sharename": "s"},
                "nodeStageSecretRef": {"name": "key", "namespace": "mine"},
            },
        ),
        (
            {"cinder": {"volumeID": "c", "fsType": "ext4", "readOnly": True}},
            {
                "driver": "cinder.csi.openstack.org",
                "volumeHandle": "c",
                "readOnly": True,
                "fsType": "ext4",
            },
        ),
        (
            {"gcePersistentDisk": GCE_DISK},
            {
                "driver": "pd.csi.storage.gke.io",
                "volumeHandle": f"{UNZONED}/d",
                "readOnly": True,
                "fsType": "ext4",
                "volumeAttributes": {"partition": "1"},
            },
        ),
        (
            {"gcePersistentDisk": {"pdName": "d"}},
            {
                "driver": "pd.csi.storage.gke.io",
                "volumeHandle": f"{UNZONED}/d",
                "volumeAttributes": {"partition": ""},
            },
        ),
        (
            {"portworxVolume": PX},
            {"driver": "pxd.portworx.com", "volumeHandle": "p", "fsType": "ext4"},
        ),
        (
            {"vsphereVolume": {"volumePath": "[s] v", "fsType": "xfs", "storagePolicyName": "g"}},
            {
                "driver": "csi.vsphere.vmware.com",
                "volumeHandle": "[s] v",
                "fsType": "xfs",
                "volumeAttributes": {"storagepolicyname": "g"},
            },
        ),
    ],
)
def test_a_volume_is_told_to_its_driver_as_upstream_tells_it(source: Any, csi: Any) -> None:
    marks = {"kubernetes.io/azure-file-resource-group": "rg"}
    claim = {"namespace": "default", "name": "c", "uid": "u"}
    given = {"claimRef": claim, "accessModes": ["ReadWriteOnce"], "mountOptions": ["o"]}
    found = translated(volume(annotations=marks, **given, **source))
    assert found == volume(annotations=marks, **given, csi=csi)


def test_a_volume_of_a_driver_is_in_the_drivers_zones() -> None:
    found = translated(volume({ZONE: "a"}, awsElasticBlockStore={"volumeID": "vol-1"}))
    zone = affinity([("topology.ebs.csi.aws.com/zone", ["a"])])
    assert found.spec.node_affinity == volume(nodeAffinity=zone).spec.node_affinity


def test_the_secret_of_portworx_is_for_all_that_is_asked() -> None:
    name, namespace = "openstorage.io/auth-secret-name", "openstorage.io/auth-secret-namespace"
    source = {"portworxVolume": {"volumeID": "p"}}
    half = translated(volume(annotations={name: "k"}, **source)).spec.csi
    assert half == {"driver": "pxd.portworx.com", "volumeHandle": "p"}
    csi = translated(volume(annotations={name: "k", namespace: "n"}, **source)).spec.csi or {}
    secrets = {key: value for key, value in csi.items() if key.endswith("SecretRef")}
    fields = ("controllerPublish", "nodeStage", "nodePublish", "controllerExpand", "nodeExpand")
    assert secrets == {f"{it}SecretRef": {"name": "k", "namespace": "n"} for it in fields}


@pytest.mark.parametrize(
    ("modes", "used"),
    [
        (["ReadWriteMany"], ["ReadWriteOnce"]),
        (["ReadWriteOnce", "ReadOnlyMany"], ["ReadWriteOnce"]),
        (["ReadOnlyMany", "ReadWriteMany"], ["ReadWriteOnce"]),
        (["ReadOnlyMany"], ["ReadOnlyMany"]),
        (["ReadOnlyMany", "ReadWriteOncePod"], ["ReadOnlyMany"]),
        (["ReadWriteOncePod"], ["ReadWriteOnce"]),
        ([], []),
    ],
)
def test_a_disk_of_gce_has_one_writer_or_readers(modes: list[str], used: list[str]) -> None:
    found = translated(volume(accessModes=modes, gcePersistentDisk={"pdName": "d"}))
    assert list(found.spec.access_modes) == used
    other = translated(volume(accessModes=modes, cinder={"volumeID": "c"}))
    assert list(other.spec.access_modes) == modes


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            {"awsElasticBlockStore": {"volumeID": "aws://z/disk-1"}},
            "failed to translate Kubernetes ID to EBS Volume ID Invalid format for AWS volume "
            "(aws://z/disk-1)",
        ),
        (
            {"awsElasticBlockStore": {"volumeID": "aws://z/y/vol-1"}},
            "failed to translate Kubernetes ID to EBS Volume ID Invalid format for AWS volume "
            "(aws://z/y/vol-1)",
        ),
        (
            {"azureDisk": {**DISK, "kind": "Shared"}},
            "kind(Shared) is not supported in csi migration",
        ),
        ({"azureFile": {"secretName": "k", "shareName": "s"}}, NO_NAMESPACE),
        ({"azureFile": {**SHARE, "secretNamespace": ""}}, NO_NAMESPACE),
        (
            {"gcePersistentDisk": {"pdName": "d"}, "zones": "us-east1-a__us-b"},
            "failed to get region from zones: zone in unexpected format, expected: "
            "{locale}-{region}-{zone}, got: us-b",
        ),
        (
            {"gcePersistentDisk": {"pdName": "d"}, "zones": "us-east1-a__eu-west1-b"},
            "failed to get region from zones: multiple or no regions gotten from zones, got: "
            "map[eu-west1:{} us-east1:{}]",
        ),
    ],
)
def test_what_no_driver_could_have_is_refused_in_upstreams_words(source: Any, text: str) -> None:
    source = dict(source)
    found = volume({ZONE: source.pop("zones", "")}, **source)
    with pytest.raises(Untranslatable) as refusal:
        translated(found)
    assert str(refusal.value) == text
    assert of_driver(found) is None
    assert handle_of(found) is None


@pytest.mark.parametrize(
    ("source", "name", "mode"),
    [
        ({"awsElasticBlockStore": EBS}, "ebs.csi.aws.com-vol-1", "ReadWriteOnce"),
        ({"azureDisk": DISK}, "/s/d", "ReadWriteOnce"),
        ({"azureFile": SHARE}, "#a1#s#v#ns", "ReadWriteMany"),
        ({"cinder": {"volumeID": "c"}}, "cinder.csi.openstack.org-c", "ReadWriteOnce"),
        ({"gcePersistentDisk": GCE_DISK}, "pd.csi.storage.gke.io-d", "ReadOnlyMany"),
        ({"gcePersistentDisk": {"pdName": "d"}}, "pd.csi.storage.gke.io-d", "ReadWriteOnce"),
        ({"portworxVolume": PX}, "pxd.portworx.com-p", "ReadOnlyMany"),
        ({"portworxVolume": {"volumeID": "p"}}, "pxd.portworx.com-p", "ReadWriteOnce"),
        ({"vsphereVolume": {"volumePath": "v"}}, "csi.vsphere.vmware.com-v", "ReadWriteOnce"),
    ],
)
def test_what_a_pod_names_itself_is_a_volume_without_a_claim(
    source: Any, name: str, mode: str
) -> None:
    inline = msgspec.convert({"name": "v", **source}, Volume)
    found = translated_inline(inline, "ns")
    handle = handle_of_inline(inline, "ns")
    assert found is not None and found.spec.csi is not None and handle is not None
    assert (found.metadata.name, found.spec.access_modes) == (name, (mode,))
    assert (found.spec.volume_mode, found.spec.claim_ref) == ("Filesystem", None)
    assert (found.spec.csi["driver"], found.spec.csi["volumeHandle"]) == handle[1:]
    assert plugin_of(inline) == handle.plugin


def test_the_secret_of_a_share_is_in_the_namespace_of_its_pod() -> None:
    inline = msgspec.convert({"name": "v", "azureFile": OTHER}, Volume)
    found, unnamed = translated_inline(inline, "ns"), translated_inline(inline, "")
    assert found is not None and found.spec.csi is not None
    assert found.spec.csi["nodeStageSecretRef"] == {"name": "key", "namespace": "ns"}
    assert unnamed is not None and unnamed.metadata.name == "#key#s#v#default"


def test_a_disk_of_azure_without_a_caching_mode_says_nothing_of_it() -> None:
    inline = msgspec.convert({"name": "v", "azureDisk": {**DISK, "cachingMode": ""}}, Volume)
    found = translated_inline(inline, "ns")
    assert found is not None and found.spec.csi is not None
    assert found.spec.csi["volumeAttributes"] == {"kind": "Managed"}


def test_what_is_of_no_plugin_stays_as_it_is() -> None:
    path, driven = volume(hostPath={"path": "/x"}), volume(csi={"driver": "d"})
    assert (translated(path), of_driver(path), plugin_of(path.spec)) == (path, None, "")
    assert (translated(driven), of_driver(driven)) == (driven, driven)
    assert of_driver(None) is None
    assert translated_inline(msgspec.convert({"name": "v", "emptyDir": {}}, Volume), "ns") is None
