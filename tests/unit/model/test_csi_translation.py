"""Volumes of upstream's tree under the names of the drivers that serve them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from steersman.model.csi_translation import (
    AWS,
    GCE,
    PORTWORX,
    Handle,
    handle_of,
    handle_of_inline,
    in_zones_of_driver,
    is_counted,
    migrated,
)
from steersman.model.kinds.csinode import CSINode
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.types.volume import Volume

ZONE = "topology.kubernetes.io/zone"
OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"


def volume(labels: Any = None, **spec: Any) -> PersistentVolume:
    document = {"metadata": {"name": "v", "labels": labels or {}}, "spec": spec}
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
        ({}, {"awsElasticBlockStore": {"volumeID": "disk-1"}}, None),
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
            {ZONE: "us-a__us-b"},
            {"gcePersistentDisk": {"pdName": "d"}},
            ("pd.csi.storage.gke.io", "projects/UNSPECIFIED/regions/us/disks/d"),
        ),
        ({ZONE: "us-a__eu-b"}, {"gcePersistentDisk": {"pdName": "d"}}, None),
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
    found = handle_of_inline(msgspec.convert(inline, Volume))
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
    region = ("failure-domain.beta.kubernetes.io/region", ["r"])
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
