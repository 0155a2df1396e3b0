"""VolumeAttributesClass: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.printing import AGE, text
from steersman.model.kinds.storageclass import check_kept, name_with_default
from steersman.model.types.metadata import check_metadata
from steersman.model.types.storage_check import check_parameters, check_provisioner
from steersman.model.view import Object


class VolumeAttributesClass(Object, frozen=True):
    """storage.k8s.io/v1 VolumeAttributesClass."""

    driver_name: str = ""
    parameters: Mapping[str, str] = {}


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    if old is not None:
        yield from check_kept(new, old, "driverName", "parameters")
    yield from check_provisioner(new.get("driverName", ""), "driverName")
    yield from check_parameters(new.get("parameters") or {}, "parameters", may_be_empty=False)


_COLUMNS = (
    name_with_default("volumeattributesclass.alpha.kubernetes.io/is-default-class"),
    text("DriverName", "driverName"),
    AGE,
)

VOLUMEATTRIBUTESCLASS = Kind(
    group="storage.k8s.io",
    name="VolumeAttributesClass",
    plural="volumeattributesclasses",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.storage.v1.VolumeAttributesClass", since=34),),
    storage="v1",
    short_names=("vac",),
    columns=_COLUMNS,
    check=_check,
    view=VolumeAttributesClass,
    returns_deleted=True,
    complete=True,
)
