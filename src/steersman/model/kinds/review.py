"""Kinds that are asked or computed and never stored: reviews, Binding, ComponentStatus."""

from __future__ import annotations

from collections.abc import Callable

from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import NAME

_CREATE = ("create",)


def _review(group: str, package: str, name: str, *, namespaced: bool = False) -> Kind:
    return Kind(
        group=group,
        name=name,
        plural=f"{name.lower()}s",
        namespaced=namespaced,
        versions=(Version("v1", f"io.k8s.api.{package}.v1.{name}"),),
        storage="v1",
        verbs=_CREATE,
        stored=False,
    )


def _health(name: str) -> Callable[[Document, float], str]:
    def value(component: Document, _now: float) -> str:
        conditions = component.get("conditions") or ()
        found = next((one for one in conditions if one.get("type") == "Healthy"), None)
        if name != "status":
            return str((found or {}).get(name, ""))
        if found is None:
            return "Unknown"
        return "Healthy" if found.get("status") == "True" else "Unhealthy"

    return value


TOKENREVIEW = _review("authentication.k8s.io", "authentication", "TokenReview")
SELFSUBJECTREVIEW = _review("authentication.k8s.io", "authentication", "SelfSubjectReview")
SUBJECTACCESSREVIEW = _review("authorization.k8s.io", "authorization", "SubjectAccessReview")
SELFSUBJECTACCESSREVIEW = _review(
    "authorization.k8s.io", "authorization", "SelfSubjectAccessReview"
)
SELFSUBJECTRULESREVIEW = _review("authorization.k8s.io", "authorization", "SelfSubjectRulesReview")
LOCALSUBJECTACCESSREVIEW = _review(
    "authorization.k8s.io", "authorization", "LocalSubjectAccessReview", namespaced=True
)
BINDING = _review("", "core", "Binding", namespaced=True)
COMPONENTSTATUS = Kind(
    group="",
    name="ComponentStatus",
    plural="componentstatuses",
    namespaced=False,
    versions=(
        Version(
            "v1",
            "io.k8s.api.core.v1.ComponentStatus",
            deprecation="v1 ComponentStatus is deprecated in v1.19+",
        ),
    ),
    storage="v1",
    short_names=("cs",),
    verbs=("get", "list"),
    columns=(
        NAME,
        Column("Status", _health("status"), description="Status of the component conditions"),
        Column("Message", _health("message"), description="Message of the component conditions"),
        Column("Error", _health("error"), description="Error of the component conditions"),
    ),
    stored=False,
)
