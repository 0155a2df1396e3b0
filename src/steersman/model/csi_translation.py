"""Volumes of upstream's tree as those of the CSI drivers that serve them: drivers, handles, zones.

The plugins are gone from upstream's tree, their names stay in volumes, pods and classes. Follows
csi-translation-lib; what each source is to its driver stands in `csi_sources.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from steersman.model import csi_sources
from steersman.model.csi_sources import (
    OLD_ZONE,
    SEPARATOR,
    TRANSLATE,
    ZONE,
    Holder,
    Source,
    Untranslatable,
)
from steersman.model.kinds.csinode import CSINode
from steersman.model.kinds.persistentvolume import (
    PersistentVolume,
    PersistentVolumeSpec,
    VolumeNodeAffinity,
)
from steersman.model.types.scheduling import NodeSelector, NodeSelectorTerm
from steersman.model.types.selector import Requirement
from steersman.model.types.volume import Volume
from steersman.model.view import Meta

AWS: Final = "kubernetes.io/aws-ebs"
AZURE_DISK: Final = "kubernetes.io/azure-disk"
AZURE_FILE: Final = "kubernetes.io/azure-file"
CINDER: Final = "kubernetes.io/cinder"
GCE: Final = "kubernetes.io/gce-pd"
PORTWORX: Final = "kubernetes.io/portworx-volume"
VSPHERE: Final = "kubernetes.io/vsphere-volume"
DRIVERS: Final[Mapping[str, str]] = {
    AWS: "ebs.csi.aws.com",
    AZURE_DISK: "disk.csi.azure.com",
    AZURE_FILE: "file.csi.azure.com",
    CINDER: "cinder.csi.openstack.org",
    GCE: "pd.csi.storage.gke.io",
    PORTWORX: "pxd.portworx.com",
    VSPHERE: "csi.vsphere.vmware.com",
}
_PLUGINS: Final[Mapping[str, str]] = {
    "aws_elastic_block_store": AWS,
    "azure_disk": AZURE_DISK,
    "azure_file": AZURE_FILE,
    "cinder": CINDER,
    "gce_persistent_disk": GCE,
    "portworx_volume": PORTWORX,
    "vsphere_volume": VSPHERE,
}
# The fields of a volume in which such a source stands
FIELDS: Final = tuple(_PLUGINS)
_sources_of = attrgetter(*FIELDS)
# On a CSINode: the plugins that its kubelet leaves to drivers
MIGRATED: Final = "storage.alpha.kubernetes.io/migrated-plugins"
# On a volume or a claim of such a plugin: the driver that has it now
MIGRATED_TO: Final = "pv.kubernetes.io/migrated-to"
# Plugins whose volumes count for limits of drivers wherever a CSINode is; that of Portworx where
# the CSINode names it, others never (nodevolumelimits isCSIMigrationOn)
_COUNTED: Final = frozenset((AWS, AZURE_DISK, CINDER, GCE))

REGION: Final = "topology.kubernetes.io/region"
OLD_REGION: Final = "failure-domain.beta.kubernetes.io/region"


class _Place(NamedTuple):
    """By which labels a node of a driver says where it is; only one has such a label of regions."""

    zone: str
    region: str = ""


# A driver of Azure has the zones of disks that come from the plugin nowhere
_PLACES: Final[Mapping[str, _Place]] = {
    AWS: _Place("topology.ebs.csi.aws.com/zone"),
    CINDER: _Place("topology.cinder.csi.openstack.org/zone"),
    GCE: _Place("topology.gke.io/zone"),
    VSPHERE: _Place("topology.csi.vmware.com/zone", "topology.csi.vmware.com/region"),
}


class Handle(NamedTuple):
    """A volume of a plugin of upstream's tree, as its driver calls it."""

    plugin: str
    driver: str
    volume: str


class _Found(NamedTuple):
    """A source of upstream's tree, and the field in which it stands."""

    field: str
    source: Source

    @property
    def plugin(self) -> str:
        return _PLUGINS[self.field]

    @property
    def driver(self) -> str:
        return DRIVERS[self.plugin]


def _find(sources: PersistentVolumeSpec | Volume) -> _Found | None:
    known = _sources_of(sources)
    if known.count(None) == len(known):  # asked of every volume of every pod
        return None
    return next(_Found(*it) for it in zip(FIELDS, known, strict=True) if it[1] is not None)


def plugin_of(sources: PersistentVolumeSpec | Volume) -> str:
    """Returns the plugin of upstream's tree whose volume this is, empty for none."""
    return found.plugin if (found := _find(sources)) is not None else ""


def source_of(sources: PersistentVolumeSpec | Volume) -> Source | None:
    """Returns what stands in a volume for a plugin of upstream's tree, None for others."""
    return found.source if (found := _find(sources)) is not None else None


def handle_of(volume: PersistentVolume) -> Handle | None:
    """Returns how a driver calls a volume, None for one that is not of upstream's tree."""
    return _handle(volume.spec, _holder(volume))


def handle_of_inline(volume: Volume, namespace: str) -> Handle | None:
    """Returns how a driver calls what a pod names itself."""
    return _handle(volume, _pods(volume, namespace))


def _holder(volume: PersistentVolume) -> Holder:
    claim, metadata = volume.spec.claim_ref, volume.metadata
    namespace = claim.namespace if claim is not None else ""
    return Holder(metadata.name, namespace, metadata.labels, metadata.annotations)


def _pods(volume: Volume, namespace: str) -> Holder:
    return Holder(volume.name, namespace, inline=True)


def _handle(sources: PersistentVolumeSpec | Volume, holder: Holder) -> Handle | None:
    if (found := _find(sources)) is None:
        return None
    try:
        handle = _csi(found, holder).get("volumeHandle", "")
    except Untranslatable:
        return None
    return Handle(found.plugin, found.driver, handle) if handle else None


def _csi(found: _Found, holder: Holder) -> dict[str, Any]:
    return {"driver": found.driver, **TRANSLATE[found.field](found.source, holder)}


def translated(volume: PersistentVolume) -> PersistentVolume:
    """Returns a volume as its CSI driver has it, any other as it is; raises Untranslatable."""
    if (found := _find(volume.spec)) is None:
        return volume
    spec: PersistentVolumeSpec = replace(
        in_zones_of_driver(volume, found.plugin).spec,
        **{found.field: None},
        csi=_csi(found, _holder(volume)),
        access_modes=tuple(csi_sources.modes_of(found.field, volume.spec.access_modes)),
    )
    return replace(volume, spec=spec)


def translated_inline(volume: Volume, namespace: str) -> PersistentVolume | None:
    """Returns what a pod names itself as the volume of a CSI driver, None for what is of no
    plugin; raises Untranslatable."""
    if (found := _find(volume)) is None:
        return None
    csi = _csi(found, _pods(volume, namespace))
    name = csi_sources.inline_name(
        found.field, found.source, found.driver, csi.get("volumeHandle", "")
    )
    mode = csi_sources.inline_mode(found.field, found.source)
    spec = PersistentVolumeSpec(csi=csi, access_modes=(mode,))
    return PersistentVolume(metadata=Meta(name=name), spec=spec)


def of_driver(volume: PersistentVolume | None) -> PersistentVolume | None:
    """Returns a volume as its CSI driver has it, None for what no driver has."""
    try:
        found = translated(volume) if volume is not None else None
    except Untranslatable:
        return None
    return found if found is not None and found.spec.csi is not None else None


def migrated(node: CSINode | None) -> frozenset[str]:
    """Returns the plugins that a node leaves to drivers, as it says."""
    if node is None:
        return frozenset()
    return frozenset(node.metadata.annotations.get(MIGRATED, "").split(","))


def is_counted(plugin: str, node: CSINode) -> bool:
    """Says whether volumes of a plugin count for its driver's limit on a node."""
    return plugin in _COUNTED or (plugin == PORTWORX and plugin in migrated(node))


# Zones


def in_zones_of_driver(volume: PersistentVolume, plugin: str) -> PersistentVolume:
    """Returns a volume whose zones are named by the label that its driver gives to nodes."""
    if (place := _PLACES.get(plugin)) is None:
        return volume
    terms, labels = _terms(volume), volume.metadata.labels
    zone, region = _labels(terms, labels)
    wanted = {zone: place.zone}
    if place.region:
        wanted[region] = place.region
    elif region == OLD_REGION:
        wanted[region] = REGION
    renamed = {label: key for label, key in wanted.items() if _has_values(terms, label)}
    added = tuple(
        Requirement(key, "In", values)
        for label, key in wanted.items()
        if label not in renamed and key != REGION
        if (values := _zones(labels.get(label, ""), alone=bool(place.region)))
    )
    if not renamed and not added:
        return volume
    terms = tuple(_changed(term, renamed, added) for term in terms or (NodeSelectorTerm(),))
    new = VolumeNodeAffinity(required=NodeSelector(node_selector_terms=terms))
    return replace(volume, spec=replace(volume.spec, node_affinity=new))


def _terms(volume: PersistentVolume) -> tuple[NodeSelectorTerm, ...]:
    affinity = volume.spec.node_affinity
    required = affinity.required if affinity is not None else None
    return required.node_selector_terms if required is not None else ()


def _labels(terms: Sequence[NodeSelectorTerm], labels: Mapping[str, str]) -> tuple[str, str]:
    """Returns by which labels a volume says its zone and its region."""
    named = {it.key for term in terms for it in term.match_expressions}
    for known in (named, labels):
        for zone, region in ((ZONE, REGION), (OLD_ZONE, OLD_REGION)):
            if zone in known:
                return zone, region
    return ZONE, REGION


def _has_values(terms: Sequence[NodeSelectorTerm], label: str) -> bool:
    return any(it.key == label and it.values for term in terms for it in term.match_expressions)


def _zones(text: str, *, alone: bool) -> tuple[str, ...]:
    found = [text] if alone else text.split(SEPARATOR)
    return tuple(sorted({it.strip() for it in found} - {""}))


def _changed(
    term: NodeSelectorTerm, keys: Mapping[str, str], added: Sequence[Requirement]
) -> NodeSelectorTerm:
    known = (replace(it, key=keys.get(it.key, it.key)) for it in term.match_expressions)
    return replace(term, match_expressions=(*known, *added))
