"""PersistentVolumeClaim: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.persistentvolume import class_of, phase, short_modes
from steersman.model.kinds.prepare import preparer, without
from steersman.model.kinds.printing import AGE, NAME, UNSET, at, text
from steersman.model.kinds.subresources import STATUS
from steersman.model.types.claim_check import check_claim, check_claim_change, check_claim_status
from steersman.model.types.condition import Condition
from steersman.model.types.metadata import check_metadata
from steersman.model.types.selector import LabelSelector
from steersman.model.types.warnings import claim_told, warner
from steersman.model.view import Object, View


class VolumeResources(View, frozen=True):
    """How much storage is asked for."""

    requests: Mapping[str, str] = {}
    limits: Mapping[str, str] = {}


class ClaimSpec(View, frozen=True):
    """What volume is wanted; a class of None is the default one, an empty one none."""

    access_modes: tuple[str, ...] = ()
    selector: LabelSelector | None = None
    resources: VolumeResources = VolumeResources()
    volume_name: str = ""
    storage_class_name: str | None = None
    volume_mode: str = "Filesystem"
    data_source: Mapping[str, Any] | None = None
    data_source_ref: Mapping[str, Any] | None = None
    volume_attributes_class_name: str | None = None


class ModifyVolumeStatus(View, frozen=True):
    """A change of class that is under way."""

    target_volume_attributes_class_name: str = ""
    status: str = ""


class ClaimStatus(View, frozen=True):
    """What is known of a claim."""

    phase: str = "Pending"
    access_modes: tuple[str, ...] = ()
    capacity: Mapping[str, str] = {}
    allocated_resources: Mapping[str, str] = {}
    conditions: tuple[Condition, ...] = ()
    current_volume_attributes_class_name: str | None = None
    modify_volume_status: ModifyVolumeStatus | None = None


class PersistentVolumeClaim(Object, frozen=True):
    """core/v1 PersistentVolumeClaim."""

    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


# (group, kind) of what the older field for a source may name
_OLD_SOURCES = (
    ("", "PersistentVolumeClaim"),
    ("snapshot.storage.k8s.io", "VolumeSnapshot"),
)


def _pair_sources(new: Document, old: Document | None) -> Document:
    """Keeps the two fields for the source of the data alike (KEP 1495).

    The older one names nothing but claims and snapshots. A newer one that comes is dropped where it
    names another namespace, which is off by default.
    """
    spec = dict(new.get("spec") or {})
    before = (old or {}).get("spec") or {}
    if (spec.get("dataSourceRef") or {}).get("namespace") and "dataSourceRef" not in before:
        spec.pop("dataSourceRef")
    source = spec.get("dataSource")
    known = "dataSource" in before or "dataSourceRef" in before
    kind = ("", "") if source is None else (source.get("apiGroup") or "", source.get("kind", ""))
    if not known and kind not in _OLD_SOURCES:
        spec.pop("dataSource", None)
    if "dataSource" in spec and "dataSourceRef" not in spec:
        spec["dataSourceRef"] = spec["dataSource"]
    elif "dataSourceRef" in spec and "dataSource" not in spec:
        spec["dataSource"] = without(spec["dataSourceRef"], "namespace")
    return {**new, "spec": spec}


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    if subresource == "status":
        yield from check_claim_status(new)
        return
    before = None if old is None else old.get("spec") or {}
    yield from check_claim(new.get("spec") or {}, "spec", before)
    if old is not None:
        yield from check_claim_change(new, old)


def _bound_capacity(claim: Document, _now: float) -> str:
    bound = at(claim, "spec", "volumeName")
    return str(at(claim, "status", "capacity", "storage") or "0") if bound else ""


def _bound_modes(claim: Document, _now: float) -> str:
    bound = at(claim, "spec", "volumeName")
    return short_modes(at(claim, "status", "accessModes")) if bound else ""


_COLUMNS = (
    NAME,
    Column("Status", phase),
    text("Volume", "spec", "volumeName"),
    Column("Capacity", _bound_capacity),
    Column("Access Modes", _bound_modes),
    Column("StorageClass", class_of, description="StorageClass of the pvc"),
    text("VolumeAttributesClass", "spec", "volumeAttributesClassName", default=UNSET),
    AGE,
    text("VolumeMode", "spec", "volumeMode", default=UNSET, priority=1),
)

PERSISTENTVOLUMECLAIM = Kind(
    group="",
    name="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.PersistentVolumeClaim"),),
    storage="v1",
    short_names=("pvc",),
    columns=_COLUMNS,
    check=_check,
    warn=warner(claim_told),
    view=PersistentVolumeClaim,
    prepare=preparer(_pair_sources, status={"phase": "Pending"}),
    subresources=(STATUS,),
    selectable={"name": lambda claim: claim["metadata"]["name"]},
    returns_deleted=True,
    complete=True,
)
