"""ControllerRevision: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Raw

from steersman.model.causes import immutable, not_negative, required
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME, NONE, at, field
from steersman.model.types.metadata import check_metadata
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


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    data = new.get("data")
    if data is None:
        yield required("data", "data is mandatory")
    yield from not_negative("revision", new.get("revision"))
    if old is not None:
        yield from immutable("data", data, old.get("data"))


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
    check=_check,
    view=ControllerRevision,
    complete=True,
)
