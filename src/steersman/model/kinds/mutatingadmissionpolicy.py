"""MutatingAdmissionPolicy and its binding: their views and their lives in the API."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME, count
from steersman.model.kinds.validatingadmissionpolicy import BINDING_COLUMNS, param_kind
from steersman.model.types import policy_check
from steersman.model.types.admission import (
    MatchCondition,
    MatchResources,
    ParamKind,
    ParamRef,
    Variable,
)
from steersman.model.types.admission_check import check_unreserved, warn_of_reserved
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object, View


class PatchExpression(View, frozen=True):
    """An expression that makes a patch."""

    expression: str = ""


class Mutation(View, frozen=True):
    """One change; the field of its type is set."""

    patch_type: str = ""
    apply_configuration: PatchExpression | None = None
    json_patch: PatchExpression | None = None


class PolicySpec(View, frozen=True):
    """Which requests are changed, and how."""

    param_kind: ParamKind | None = None
    match_constraints: MatchResources | None = None
    variables: tuple[Variable, ...] = ()
    mutations: tuple[Mutation, ...] = ()
    failure_policy: str = "Fail"
    match_conditions: tuple[MatchCondition, ...] = ()
    reinvocation_policy: str = ""


class MutatingAdmissionPolicy(Object, frozen=True):
    """admissionregistration.k8s.io/v1 MutatingAdmissionPolicy."""

    spec: PolicySpec = PolicySpec()


class BindingSpec(View, frozen=True):
    """Where a policy holds, and with which parameters."""

    policy_name: str = ""
    param_ref: ParamRef | None = None
    match_resources: MatchResources | None = None


class MutatingAdmissionPolicyBinding(Object, frozen=True):
    """admissionregistration.k8s.io/v1 MutatingAdmissionPolicyBinding."""

    spec: BindingSpec = BindingSpec()


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False, any_finalizer=True)
    before = None if old is None else old.get("spec") or {}
    yield from policy_check.check_mutating(new.get("spec") or {}, before)
    yield from check_unreserved(new, old)


def _check_binding(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False, any_finalizer=True)
    spec = new.get("spec") or {}
    yield from policy_check.check_binding(spec)
    yield from policy_check.check_mutating_match(spec)
    yield from check_unreserved(new, old)


_COLUMNS = (
    NAME,
    Column("Mutations", count("spec", "mutations"), type="integer"),
    Column("ParamKind", param_kind),
    AGE,
)

MUTATINGADMISSIONPOLICY = Kind(
    group="admissionregistration.k8s.io",
    name="MutatingAdmissionPolicy",
    plural="mutatingadmissionpolicies",
    namespaced=False,
    versions=(
        Version("v1", "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy", since=36),
    ),
    storage="v1",
    categories=("api-extensions",),
    columns=_COLUMNS,
    check=_check,
    warn=warn_of_reserved,
    conditional=True,
    view=MutatingAdmissionPolicy,
    spec_fields=("spec",),
    complete=True,
)

_POLICY = "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy"
_BINDING = "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding"

MUTATINGADMISSIONPOLICYBINDING = Kind(
    group="admissionregistration.k8s.io",
    name="MutatingAdmissionPolicyBinding",
    plural="mutatingadmissionpolicybindings",
    namespaced=False,
    versions=(Version("v1", _BINDING, since=36),),
    storage="v1",
    categories=("api-extensions",),
    columns=BINDING_COLUMNS,
    check=_check_binding,
    warn=warn_of_reserved,
    conditional=True,
    view=MutatingAdmissionPolicyBinding,
    spec_fields=("spec",),
    complete=True,
)
