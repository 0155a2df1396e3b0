"""PersistentVolume: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from steersman.model import local_path
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, UNSET, at, text
from steersman.model.kinds.subresources import STATUS
from steersman.model.types.metadata import check_metadata
from steersman.model.types.persistent_check import (
    CLASS_ANNOTATION,
    check_volume,
    check_volume_change,
)
from steersman.model.types.reference import ObjectReference
from steersman.model.types.scheduling import NodeSelector
from steersman.model.types.volume import HostPath, NFSVolume
from steersman.model.types.warnings import volume_told, warner
from steersman.model.view import Object, View


class VolumeNodeAffinity(View, frozen=True):
    """From which nodes a volume can be reached."""

    required: NodeSelector | None = None


class LocalVolume(View, frozen=True):
    """A disk or directory of a node."""

    path: str = ""
    fs_type: str | None = None


class PersistentVolumeSpec(View, frozen=True):
    """What a volume is, and whose; of its sources one is set."""

    capacity: Mapping[str, str] = {}
    access_modes: tuple[str, ...] = ()
    claim_ref: ObjectReference | None = None
    persistent_volume_reclaim_policy: str = "Retain"
    storage_class_name: str = ""
    mount_options: tuple[str, ...] = ()
    volume_mode: str = "Filesystem"
    node_affinity: VolumeNodeAffinity | None = None
    volume_attributes_class_name: str | None = None
    host_path: HostPath | None = None
    local: LocalVolume | None = None
    nfs: NFSVolume | None = None
    csi: Mapping[str, Any] | None = None
    aws_elastic_block_store: Mapping[str, Any] | None = None
    azure_disk: Mapping[str, Any] | None = None
    cinder: Mapping[str, Any] | None = None
    gce_persistent_disk: Mapping[str, Any] | None = None
    portworx_volume: Mapping[str, Any] | None = None
    azure_file: Mapping[str, Any] | None = None
    vsphere_volume: Mapping[str, Any] | None = None
    iscsi: Mapping[str, Any] | None = None


class PersistentVolumeStatus(View, frozen=True):
    """What is known of a volume."""

    phase: str = "Pending"
    message: str = ""
    reason: str = ""
    last_phase_transition_time: datetime | None = None


class PersistentVolume(Object, frozen=True):
    """core/v1 PersistentVolume."""

    spec: PersistentVolumeSpec = PersistentVolumeSpec()
    status: PersistentVolumeStatus = PersistentVolumeStatus()


_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def short_modes(modes: Any) -> str:
    """Returns access modes as they are printed."""
    return ",".join(short for mode, short in _MODES.items() if mode in (modes or ()))


def phase(document: Document, _now: float) -> str:
    """Returns what is printed as the status of a volume or a claim."""
    if at(document, "metadata", "deletionTimestamp"):
        return "Terminating"
    return at(document, "status", "phase") or ""


def class_of(document: Document, _now: float) -> str:
    """Returns the storage class of a volume or a claim, which may stand in an annotation."""
    annotations = at(document, "metadata", "annotations") or {}
    given = annotations.get(CLASS_ANNOTATION)
    return str(given if given is not None else at(document, "spec", "storageClassName") or "")


def _claim(volume: Document, _now: float) -> str:
    claim = at(volume, "spec", "claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


def _begin(new: Document, old: Document | None) -> Document:
    """Says since when a new volume is pending."""
    if old is not None:
        return new
    made = new["metadata"].get("creationTimestamp")
    since = {} if made is None else {"lastPhaseTransitionTime": made}
    return {**new, "status": {"phase": "Pending", **since}}


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    if subresource:
        return
    spec = new.get("spec") or {}
    yield from check_volume(spec, (new.get("metadata") or {}).get("name", ""))
    if old is not None:
        yield from check_volume_change(spec, old.get("spec") or {})


_COLUMNS = (
    NAME,
    text("Capacity", "spec", "capacity", "storage", default="0"),
    Column("Access Modes", lambda one, _now: short_modes(at(one, "spec", "accessModes"))),
    text("Reclaim Policy", "spec", "persistentVolumeReclaimPolicy"),
    Column("Status", phase),
    Column("Claim", _claim),
    Column("StorageClass", class_of, description="StorageClass of the pv"),
    text("VolumeAttributesClass", "spec", "volumeAttributesClassName", default=UNSET),
    text("Reason", "status", "reason"),
    AGE,
    text("VolumeMode", "spec", "volumeMode", default=UNSET, priority=1),
)

PERSISTENTVOLUME = Kind(
    group="",
    name="PersistentVolume",
    plural="persistentvolumes",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.core.v1.PersistentVolume"),),
    storage="v1",
    short_names=("pv",),
    columns=_COLUMNS,
    check=_check,
    warn=warner(volume_told),
    view=PersistentVolume,
    prepare=preparer(_begin),
    subresources=(STATUS,),
    selectable={
        "name": lambda volume: volume["metadata"]["name"],
        local_path.NODE_FIELD: lambda one: local_path.node_of(
            one["metadata"].get("annotations") or {}
        ),
    },
    returns_deleted=True,
    complete=True,
)
