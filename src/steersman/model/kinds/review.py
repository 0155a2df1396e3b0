"""Kinds that are asked or computed and never stored: reviews, Binding, ComponentStatus."""

from __future__ import annotations

from steersman.model.kind import Kind, Version

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
    stored=False,
)
