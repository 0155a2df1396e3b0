"""What is checked of PersistentVolumes and of claims on them, and what of them may change
(ValidatePersistentVolumeSpec, ValidatePersistentVolumeClaimSpec in pkg/apis/core/validation).

Upstream appends a Go diff to the two messages that say that a spec is immutable; we do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from posixpath import normpath
from typing import Any, Final

from steersman.model import names
from steersman.model.causes import (
    IMMUTABLE,
    each,
    forbidden,
    immutable,
    invalid,
    not_supported,
    required,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.quantity import parse
from steersman.model.types import persistent_difference
from steersman.model.types.persistent_sources import SOURCES, check_source
from steersman.model.types.resources import ZERO
from steersman.model.types.scheduling_check import check_node_selector

CLASS_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"
_ACCESS_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_RECLAIM_POLICIES: Final = ("Delete", "Recycle", "Retain")
VOLUME_MODES: Final = ("Block", "Filesystem")
_NOT_INLINE: Final = "may not be specified in the context of inline volumes"
_NEWER_LABELS: Final[Mapping[str, str]] = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
}


def check_access_modes(modes: Sequence[str], path: str) -> Iterator[Cause]:
    """Yields what is wrong with the access modes of a volume or a claim."""
    for mode in modes:
        if mode not in _ACCESS_MODES:
            yield not_supported(path, mode, _ACCESS_MODES)
    known = {mode for mode in modes if mode in _ACCESS_MODES}
    if "ReadWriteOncePod" in known and len(known) > 1:
        yield forbidden(path, "may not use ReadWriteOncePod with other access modes")


def check_volume(spec: Document, name: str, path: str = "spec") -> Iterator[Cause]:
    """Yields what is wrong with the spec of a PersistentVolume of a name."""
    yield from _check_modes(spec, path)
    yield from _check_capacity(spec.get("capacity") or {}, f"{path}.capacity")
    policy = spec.get("persistentVolumeReclaimPolicy", "")
    if policy and policy not in _RECLAIM_POLICIES:
        yield not_supported(f"{path}.persistentVolumeReclaimPolicy", policy, _RECLAIM_POLICIES)
    if (affinity := spec.get("nodeAffinity")) is not None:
        yield from _check_node_affinity(affinity, f"{path}.nodeAffinity")
    yield from check_source(spec, name, path)
    yield from _check_recycling(spec, path)
    if class_name := spec.get("storageClassName"):
        where = f"{path}.storageClassName"
        yield from each(where, class_name, names.dns1123_subdomain(class_name))
    yield from _check_volume_mode(spec, path)
    if (attributes := spec.get("volumeAttributesClassName")) is not None:
        yield from _check_attributes(attributes, f"{path}.volumeAttributesClassName")
        if spec.get("csi") is None:
            detail = "has to be specified when using volumeAttributesClassName"
            yield required(f"{path}.csi", detail)


def check_inline_volume(spec: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a volume that stands in a VolumeAttachment."""
    for name in ("claimRef", "capacity"):
        if spec.get(name):
            yield forbidden(f"{path}.{name}", _NOT_INLINE)
    if spec.get("csi") is None:
        yield required(f"{path}.csi", "has to be specified in the context of inline volumes")
    yield from _check_modes(spec, path)
    if spec.get("persistentVolumeReclaimPolicy", "Retain") != "Retain":
        detail = "may only be Retain in the context of inline volumes"
        yield forbidden(f"{path}.persistentVolumeReclaimPolicy", detail)
    if spec.get("nodeAffinity") is not None:
        yield forbidden(f"{path}.nodeAffinity", _NOT_INLINE)
    yield from check_source(spec, "", path)
    yield from _check_recycling(spec, path)
    if spec.get("storageClassName"):
        yield forbidden(f"{path}.storageClassName", _NOT_INLINE)
    if spec.get("volumeMode", "Filesystem") != "Filesystem":
        detail = "may not specify volumeMode other than Filesystem in the context of inline volumes"
        yield forbidden(f"{path}.volumeMode", detail)


def _check_modes(spec: Document, path: str) -> Iterator[Cause]:
    modes = spec.get("accessModes") or ()
    if not modes:
        yield required(f"{path}.accessModes")
    yield from check_access_modes(modes, f"{path}.accessModes")


def _check_capacity(capacity: Mapping[str, str], path: str) -> Iterator[Cause]:
    if not capacity:
        yield required(path)
    if "storage" not in capacity or len(capacity) > 1:
        yield not_supported(path, capacity or None, ("storage",))
    for name, text in capacity.items():
        yield from check_units(text, f"{path}[{name}]")
        if parse(text) <= ZERO:
            yield invalid(f"{path}[{name}]", text, "must be greater than zero")


def check_units(text: str, path: str) -> Iterator[Cause]:
    """Yields whether an amount is negative (validateBasicResource)."""
    if (units := parse(text).value()) < 0:
        yield invalid(path, units, "must be a valid resource quantity")


def _check_node_affinity(affinity: Document, path: str) -> Iterator[Cause]:
    if (selector := affinity.get("required")) is None:
        yield required(f"{path}.required", "must specify required node constraints")
    else:
        yield from check_node_selector(selector, f"{path}.required")


def _check_recycling(spec: Document, path: str) -> Iterator[Cause]:
    host_path = (spec.get("hostPath") or {}).get("path")
    recycled = spec.get("persistentVolumeReclaimPolicy") == "Recycle"
    if host_path and recycled and normpath(host_path).lstrip("/") == "":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        yield forbidden(f"{path}.persistentVolumeReclaimPolicy", detail)


def _check_volume_mode(spec: Document, path: str) -> Iterator[Cause]:
    mode = spec.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        yield not_supported(f"{path}.volumeMode", mode, VOLUME_MODES)


def _check_attributes(name: str, path: str) -> Iterator[Cause]:
    if not name:
        yield required(path, "an empty string is disallowed")
    else:
        yield from each(path, name, names.dns1123_subdomain(name))


def check_volume_change(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what an update changes of a volume's spec and may not."""
    sources = [{name: spec.get(name) for name in SOURCES} for spec in (new, old)]
    csi, before = (one["csi"] or {} for one in sources)
    if "controllerExpandSecretRef" not in before and csi:  # it may be set once
        sources[0]["csi"] = {k: v for k, v in csi.items() if k != "controllerExpandSecretRef"}
    if sources[0] != sources[1]:
        detail = "spec.persistentvolumesource is immutable after creation"
        changed = persistent_difference.of_sources(sources[1], sources[0])
        yield forbidden("spec.persistentvolumesource", f"{detail}\n{changed}")
    yield from immutable("volumeMode", new.get("volumeMode"), old.get("volumeMode"))
    affinity, before = new.get("nodeAffinity"), old.get("nodeAffinity")
    if before is not None and affinity != _renamed(before, affinity):
        detail = f"{IMMUTABLE}, except for updating from beta label to GA"
        yield invalid("nodeAffinity", affinity, detail)
    attributes = "volumeAttributesClassName"
    if old.get(attributes) is not None and new.get(attributes) is None:
        yield forbidden(f"spec.{attributes}", "update from non-nil value to nil is forbidden")


def _renamed(old: Any, new: Any) -> Any:
    """Returns the old affinity with those beta labels renamed for which the new one has the
    stable name at the same place."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: _renamed(value, new.get(key)) for key, value in old.items()}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [_renamed(one, other) for one, other in zip(old, new, strict=True)]
    return new if isinstance(old, str) and _NEWER_LABELS.get(old, "") == new else old
