"""ControllerRevision: its view and its life in the API."""

from __future__ import annotations

from msgspec import Raw

from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME, NONE, at, field
from steersman.model.types.metadata import checked
from steersman.model.view import Object


class ControllerRevision(Object, frozen=True):
    """apps/v1 ControllerRevision; `data` stays raw."""

    data: Raw = Raw(b"{}")
    revision: int = 0


def _controller(document: Document, _now: float) -> str:
    for owner in at(document, "metadata", "ownerReferences") or ():
        if owner.get("controller"):
            group = owner.get("apiVersion", "").rpartition("/")[0]
            kind = f"{owner['kind']}.{group}" if group else owner["kind"]
            return f"{kind.lower()}/{owner['name']}"
    return NONE


_COLUMNS = (
    NAME,
    Column("Controller", _controller, description="Controller of the object"),
    Column("Revision", field("revision", default=0)),
    AGE,
)

CONTROLLERREVISION = Kind(
    group="apps",
    name="ControllerRevision",
    plural="controllerrevisions",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.apps.v1.ControllerRevision"),),
    storage="v1",
    columns=_COLUMNS,
    check=checked(),
    view=ControllerRevision,
)
