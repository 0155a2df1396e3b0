"""ConfigMap: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME
from steersman.model.view import Object


class ConfigMap(Object, frozen=True):
    """core/v1 ConfigMap; binary_data is decoded from base64."""

    data: Mapping[str, str] = {}
    binary_data: Mapping[str, bytes] = {}
    immutable: bool = False


def _count(document: Document, _now: float) -> int:
    return len(document.get("data") or ()) + len(document.get("binaryData") or ())


_COLUMNS = (NAME, Column("Data", _count), AGE)

CONFIGMAP = Kind(
    group="",
    name="ConfigMap",
    plural="configmaps",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.ConfigMap"),),
    storage="v1",
    short_names=("cm",),
    columns=_COLUMNS,
    view=ConfigMap,
    complete=True,
)
