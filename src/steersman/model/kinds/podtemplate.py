"""PodTemplate: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Raw

from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import NAME, at, containers, labels
from steersman.model.types.metadata import check_metadata
from steersman.model.types.podspec_check import check_template
from steersman.model.types.warnings import workload
from steersman.model.view import Object


class PodTemplate(Object, frozen=True):
    """core/v1 PodTemplate; the template stays raw."""

    template: Raw = Raw(b"{}")


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    yield from check_template(new.get("template") or {}, "template", (old or {}).get("template"))


_COLUMNS = (
    NAME,
    *(Column(one.name, one.value, description=one.description) for one in containers("template")),
    Column("Pod Labels", lambda one, _now: labels(at(one, "template", "metadata", "labels"))),
)

PODTEMPLATE = Kind(
    group="",
    name="PodTemplate",
    plural="podtemplates",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.PodTemplate"),),
    storage="v1",
    columns=_COLUMNS,
    check=_check,
    warn=workload("template."),
    view=PodTemplate,
    spec_fields=("template",),
    returns_deleted=True,
    complete=True,
)
