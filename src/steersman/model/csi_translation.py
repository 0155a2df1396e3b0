"""Volumes of upstream's tree as those of the CSI drivers that serve them: drivers, handles, zones.

The plugins are gone from upstream's tree, their names stay in volumes, pods and classes. Follows
csi-translation-lib; of what a driver is told, only what a scheduler and controllers look at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from steersman.model.kinds.csinode import CSINode
from steersman.model.kinds.persistentvolume import PersistentVolume, VolumeNodeAffinity
from steersman.model.types.scheduling import NodeSelector, NodeSelectorTerm
from steersman.model.types.selector import Requirement
from steersman.model.types.volume import Volume

AWS: Final = "kubernetes.io/aws-ebs"
AZURE_DISK: Final = "kubernetes.io/azure-disk"
CINDER: Final = "kubernetes.io/cinder"
GCE: Final = "kubernetes.io/gce-pd"
PORTWORX: Final = "kubernetes.io/portworx-volume"
DRIVERS: Final[Mapping[str, str]] = {
    AWS: "ebs.csi.aws.com",
    AZURE_DISK: "disk.csi.azure.com",
    "kubernetes.io/azure-file": "file.csi.azure.com",
    CINDER: "cinder.csi.openstack.org",
    GCE: "pd.csi.storage.gke.io",
    PORTWORX: "pxd.portworx.com",
    "kubernetes.io/vsphere-volume": "csi.vsphere.vmware.com",
}
# By which labels a node of a driver says in which zone it is
_ZONES: Final[Mapping[str, str]] = {
    AWS: "topology.ebs.csi.aws.com/zone",
    AZURE_DISK: "topology.disk.csi.azure.com/zone",
    CINDER: "topology.cinder.csi.openstack.org/zone",
    GCE: "topology.gke.io/zone",
}
# On a CSINode: the plugins that its kubelet leaves to drivers
MIGRATED: Final = "storage.alpha.kubernetes.io/migrated-plugins"
# On a volume or a claim of such a plugin: the driver that has it now
MIGRATED_TO: Final = "pv.kubernetes.io/migrated-to"
# Plugins whose volumes count for limits of drivers wherever a CSINode is; that of Portworx where
# the CSINode names it, others never (nodevolumelimits isCSIMigrationOn)
_COUNTED: Final = frozenset((AWS, AZURE_DISK, CINDER, GCE))

ZONE: Final = "topology.kubernetes.io/zone"
REGION: Final = "topology.kubernetes.io/region"
OLD_ZONE: Final = "failure-domain.beta.kubernetes.io/zone"
OLD_REGION: Final = "failure-domain.beta.kubernetes.io/region"
_SEPARATOR: Final = "__"  # of the zones of one volume
_UNKNOWN: Final = "UNSPECIFIED"
_EBS: Final = re.compile(r"vol-[^/]*")


class Handle(NamedTuple):
    """A volume of a plugin of upstream's tree, as its driver calls it."""

    plugin: str
    driver: str
    volume: str


Source = Mapping[str, Any]
Labels = Mapping[str, str]


def _ebs(source: Source, _labels: Labels) -> str:
    """Returns the id in aws://ZONE/ID, or what is given without it; "" for none."""
    found = str(source.get("volumeID", "")).removeprefix("aws://").rpartition("/")[2]
    return found if _EBS.fullmatch(found) else ""


def _disk_of_gce(source: Source, labels: Labels) -> str:
    zones = (labels.get(ZONE) or labels.get(OLD_ZONE) or "").split(_SEPARATOR)
    place = f"zones/{zones[0] or _UNKNOWN}"
    if len(zones) > 1:
        regions = {zone.rpartition("-")[0] for zone in zones}
        if len(regions) > 1:
            return ""
        place = f"regions/{regions.pop()}"
    return f"projects/{_UNKNOWN}/{place}/disks/{source.get('pdName', '')}"


def _named(field: str) -> Callable[[Source, Labels], str]:
    return lambda source, _labels: str(source.get(field, ""))


_SOURCES: Final = {
    "aws_elastic_block_store": (AWS, _ebs),
    "azure_disk": (AZURE_DISK, _named("diskURI")),
    "cinder": (CINDER, _named("volumeID")),
    "gce_persistent_disk": (GCE, _disk_of_gce),
    "portworx_volume": (PORTWORX, _named("volumeID")),
}
# The fields of a volume in which such a source stands
FIELDS: Final = tuple(_SOURCES)


def handle_of(volume: PersistentVolume) -> Handle | None:
    """Returns how a driver calls a volume, None for one that is not of upstream's tree."""
    return _handle(volume.spec, volume.metadata.labels)


def handle_of_inline(volume: Volume) -> Handle | None:
    """Returns how a driver calls what a pod names itself."""
    return _handle(volume, {})


def _handle(sources: Any, labels: Labels) -> Handle | None:
    for field, (plugin, name) in _SOURCES.items():
        if (source := getattr(sources, field)) is not None:
            found = name(source, labels)
            return Handle(plugin, DRIVERS[plugin], found) if found else None
    return None


def migrated(node: CSINode | None) -> frozenset[str]:
    """Returns the plugins that a node leaves to drivers, as it says."""
    if node is None:
        return frozenset()
    return frozenset(node.metadata.annotations.get(MIGRATED, "").split(","))


def is_counted(plugin: str, node: CSINode) -> bool:
    """Says whether volumes of a plugin count for its driver's limit on a node."""
    return plugin in _COUNTED or (plugin == PORTWORX and plugin in migrated(node))


def in_zones_of_driver(volume: PersistentVolume, plugin: str) -> PersistentVolume:
    """Returns a volume whose zones are named by the label that its driver gives to nodes."""
    if (key := _ZONES.get(plugin)) is None:
        return volume
    affinity = volume.spec.node_affinity
    required = affinity.required if affinity is not None else None
    terms = required.node_selector_terms if required is not None else ()
    named = {it.key for term in terms for it in term.match_expressions}
    if old := next((one for one in (ZONE, OLD_ZONE) if one in named), ""):
        terms = tuple(_renamed(term, {old: key, OLD_REGION: REGION}) for term in terms)
    elif zones := volume.metadata.labels.get(ZONE) or volume.metadata.labels.get(OLD_ZONE):
        wanted = Requirement(key, "In", tuple(sorted(zones.split(_SEPARATOR))))
        terms = tuple(
            replace(term, match_expressions=(*term.match_expressions, wanted))
            for term in terms or (NodeSelectorTerm(),)
        )
    else:
        return volume
    new = VolumeNodeAffinity(required=NodeSelector(node_selector_terms=terms))
    return replace(volume, spec=replace(volume.spec, node_affinity=new))


def _renamed(term: NodeSelectorTerm, keys: Mapping[str, str]) -> NodeSelectorTerm:
    return replace(
        term,
        match_expressions=tuple(
            replace(it, key=keys.get(it.key, it.key)) for it in term.match_expressions
        ),
    )
