"""IngressClass: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steersman.model.causes import immutable
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME, NONE, at, text
from steersman.model.removed import Life, removed
from steersman.model.types.ingress_check import check_class
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object, View


class IngressClassSpec(View, frozen=True):
    """Which controller serves the class."""

    controller: str = ""
    parameters: Mapping[str, Any] | None = None


class IngressClass(Object, frozen=True):
    """networking.k8s.io/v1 IngressClass."""

    spec: IngressClassSpec = IngressClassSpec()


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    spec = new.get("spec") or {}
    if old is not None:
        before = (old.get("spec") or {}).get("controller")
        yield from immutable("spec.controller", spec.get("controller"), before)
    yield from check_class(spec)


def _parameters(ingress_class: Document, _now: float) -> str:
    found = at(ingress_class, "spec", "parameters")
    if not found:
        return NONE
    group = f".{found['apiGroup']}" if "apiGroup" in found else ""
    return f"{found.get('kind', '')}{group}/{found.get('name', '')}"


_COLUMNS = (
    NAME,
    text("Controller", "spec", "controller"),
    Column("Parameters", _parameters),
    AGE,
)

INGRESSCLASS = Kind(
    group="networking.k8s.io",
    name="IngressClass",
    plural="ingressclasses",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.networking.v1.IngressClass"),),
    storage="v1",
    former=(
        removed(
            "networking.k8s.io/v1beta1",
            "networking.v1beta1.IngressClass",
            Life(19, 22, "networking.k8s.io/v1 IngressClassList"),
        ),
    ),
    columns=_COLUMNS,
    check=_check,
    view=IngressClass,
    spec_fields=("spec",),
    complete=True,
)
