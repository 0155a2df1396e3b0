"""StorageClass: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steersman.model.causes import declared_immutable, forbidden, not_supported, required
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, at, field, text
from steersman.model.removed import Life, removed
from steersman.model.types.metadata import check_metadata
from steersman.model.types.storage_check import (
    check_parameters,
    check_provisioner,
    check_topologies,
)
from steersman.model.types.warnings import storage_class_told, warner
from steersman.model.view import Object


class StorageClass(Object, frozen=True):
    """storage.k8s.io/v1 StorageClass."""

    provisioner: str = ""
    parameters: Mapping[str, str] = {}
    reclaim_policy: str = "Delete"
    mount_options: tuple[str, ...] = ()
    allow_volume_expansion: bool = False
    volume_binding_mode: str = "Immediate"
    allowed_topologies: tuple[Mapping[str, Any], ...] = ()


DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_RECLAIM_POLICIES = ("Delete", "Retain")
_BINDING_MODES = ("Immediate", "WaitForFirstConsumer")
_DECLARED = ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode")


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    if provisioner := new.get("provisioner", ""):
        yield from check_provisioner(provisioner, "provisioner")
    yield from check_parameters(new.get("parameters") or {}, "parameters", may_be_empty=True)
    policy, mode = new.get("reclaimPolicy", ""), new.get("volumeBindingMode")
    if policy and policy not in _RECLAIM_POLICIES:
        yield not_supported("reclaimPolicy", policy, _RECLAIM_POLICIES)
    if mode is None:
        yield required("volumeBindingMode")
    elif mode not in _BINDING_MODES:
        yield not_supported("volumeBindingMode", mode, _BINDING_MODES)
    yield from check_topologies(new.get("allowedTopologies") or (), "allowedTopologies")
    for name in _DECLARED:  # by upstream's type: told last
        if old is not None:
            yield from declared_immutable(name, new.get(name), old.get(name))
        if name == "provisioner" and not provisioner:
            yield required(name)


def check_kept(new: Document, old: Document, *fields: str) -> Iterator[Cause]:
    """Yields which fields of a class an update changes."""
    for name in fields:
        if (new.get(name) or None) != (old.get(name) or None):
            yield forbidden(name, f"updates to {name} are forbidden.")


def name_with_default(*annotations: str) -> Column:
    """Returns the column of a name, which says whether the class is the default one."""

    def value(document: Document, _now: float) -> str:
        found = at(document, "metadata", "annotations") or {}
        default = any(found.get(name) == "true" for name in annotations)
        return str(document["metadata"]["name"]) + (" (default)" if default else "")

    return Column("Name", value, format="name")


_COLUMNS = (
    name_with_default(*DEFAULT_ANNOTATIONS),
    text("Provisioner", "provisioner"),
    text("ReclaimPolicy", "reclaimPolicy", default="Delete"),
    text("VolumeBindingMode", "volumeBindingMode", default="Immediate"),
    Column("AllowVolumeExpansion", field("allowVolumeExpansion", default=False)),
    AGE,
)

STORAGECLASS = Kind(
    group="storage.k8s.io",
    name="StorageClass",
    plural="storageclasses",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.storage.v1.StorageClass"),),
    storage="v1",
    former=(
        removed(
            "storage.k8s.io/v1beta1",
            "storage.v1beta1.StorageClass",
            Life(19, 22, "storage.k8s.io/v1"),
        ),
    ),
    short_names=("sc",),
    columns=_COLUMNS,
    check=_check,
    warn=warner(storage_class_told),
    view=StorageClass,
    returns_deleted=True,
    complete=True,
)
