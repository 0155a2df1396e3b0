"""ResourceClaimTemplate: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Raw

from steersman.model.causes import IMMUTABLE, invalid
from steersman.model.errors import Cause
from steersman.model.gotext import struct
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME
from steersman.model.kinds.resourceclaim import without_disabled
from steersman.model.types.device_claim_check import check_claim, internal_claim
from steersman.model.types.metadata import check_annotations, check_labels, check_metadata
from steersman.model.view import Meta, Object, View


class ClaimTemplate(View, frozen=True):
    """The claims that are made of a template; their spec stays raw."""

    metadata: Meta = Meta()
    spec: Raw = Raw(b"{}")


class ResourceClaimTemplate(Object, frozen=True):
    """resource.k8s.io/v1 ResourceClaimTemplate."""

    spec: ClaimTemplate = ClaimTemplate()


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    spec = new.get("spec") or {}
    if old is None:
        metadata = spec.get("metadata") or {}
        yield from check_annotations(metadata.get("annotations"), "spec.metadata.annotations")
        yield from check_labels(metadata.get("labels"), "spec.metadata.labels")
        yield from check_claim(spec.get("spec") or {}, "spec.spec")
    elif spec != (old.get("spec") or {}):
        yield invalid("spec", _internal(spec), IMMUTABLE)


def _internal(spec: Document) -> Document:
    # the metadata is of a type that has JSON names in Go, the rest is not
    metadata = spec.get("metadata") or {}
    labels = struct(metadata, "Labels", "Annotations")
    shown = {name.lower(): value for name, value in labels.items() if value}
    return {"ObjectMeta": shown, "Spec": internal_claim(spec.get("spec") or {})}


def _enabled(new: Document, _old: Document | None) -> Document:
    spec = new.get("spec") or {}
    inner = spec.get("spec") or {}
    kept = without_disabled(inner)
    return new if kept is inner else {**new, "spec": {**spec, "spec": kept}}


RESOURCECLAIMTEMPLATE = Kind(
    group="resource.k8s.io",
    name="ResourceClaimTemplate",
    plural="resourceclaimtemplates",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.resource.v1.ResourceClaimTemplate", since=34),),
    storage="v1",
    columns=(NAME, AGE),
    check=_check,
    view=ResourceClaimTemplate,
    prepare=preparer(_enabled),
    returns_deleted=True,
    complete=True,
)
