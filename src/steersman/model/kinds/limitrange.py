"""LimitRange: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.types.limit_check import check_limits
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object, View


class LimitRangeItem(View, frozen=True):
    """The bounds and defaults of one type: Pod, Container or PersistentVolumeClaim."""

    type: str = ""
    max: Mapping[str, str] = {}
    min: Mapping[str, str] = {}
    default: Mapping[str, str] = {}
    default_request: Mapping[str, str] = {}
    max_limit_request_ratio: Mapping[str, str] = {}


class LimitRangeSpec(View, frozen=True):
    """All bounds of a namespace's objects."""

    limits: tuple[LimitRangeItem, ...] = ()


class LimitRange(Object, frozen=True):
    """core/v1 LimitRange."""

    spec: LimitRangeSpec = LimitRangeSpec()


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    yield from check_limits((new.get("spec") or {}).get("limits") or ())


def _named(new: Document, _old: Document | None) -> Document:
    """Names one without a name after its own life, for nobody else has that."""
    metadata = new.get("metadata") or {}
    if metadata.get("name") or not metadata.get("uid"):
        return new
    return {**new, "metadata": {**metadata, "name": metadata["uid"]}}


LIMITRANGE = Kind(
    group="",
    name="LimitRange",
    plural="limitranges",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.LimitRange"),),
    storage="v1",
    short_names=("limits",),
    check=_check,
    prepare=preparer(_named),
    view=LimitRange,
    create_on_update=True,
    complete=True,
)
