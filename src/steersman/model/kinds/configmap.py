"""ConfigMap: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.model.kind import Kind, Version
from steersman.model.view import Object


class ConfigMap(Object, frozen=True):
    """core/v1 ConfigMap; binary_data is decoded from base64."""

    data: Mapping[str, str] = {}
    binary_data: Mapping[str, bytes] = {}
    immutable: bool = False


CONFIGMAP = Kind(
    group="",
    name="ConfigMap",
    plural="configmaps",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.ConfigMap"),),
    storage="v1",
    short_names=("cm",),
    view=ConfigMap,
    complete=True,
)
