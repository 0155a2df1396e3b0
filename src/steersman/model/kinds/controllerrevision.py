"""ControllerRevision: its view and its life in the API."""

from __future__ import annotations

from msgspec import Raw

from steersman.model.kind import Kind, Version
from steersman.model.view import Object


class ControllerRevision(Object, frozen=True):
    """apps/v1 ControllerRevision; `data` stays raw."""

    data: Raw = Raw(b"{}")
    revision: int = 0


CONTROLLERREVISION = Kind(
    group="apps",
    name="ControllerRevision",
    plural="controllerrevisions",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.apps.v1.ControllerRevision"),),
    storage="v1",
    view=ControllerRevision,
)
