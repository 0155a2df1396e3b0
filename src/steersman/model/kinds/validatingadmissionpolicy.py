"""ValidatingAdmissionPolicy and its binding: their views and their lives in the API."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, UNSET, at, count, selector, text
from steersman.model.kinds.subresources import STATUS_ALONE
from steersman.model.types import policy_check
from steersman.model.types.admission import (
    MatchCondition,
    MatchResources,
    ParamKind,
    ParamRef,
    Variable,
)
from steersman.model.types.admission_check import check_unreserved, warn_of_reserved
from steersman.model.types.condition import Condition, check_conditions
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object, View


class Validation(View, frozen=True):
    """An expression that must hold, and what is said where it does not."""

    expression: str = ""
    message: str = ""
    message_expression: str = ""
    reason: str = "Invalid"


class AuditAnnotation(View, frozen=True):
    """What is noted in the audit event."""

    key: str = ""
    value_expression: str = ""


class PolicySpec(View, frozen=True):
    """Which requests are checked, and how."""

    param_kind: ParamKind | None = None
    match_constraints: MatchResources | None = None
    validations: tuple[Validation, ...] = ()
    failure_policy: str = "Fail"
    audit_annotations: tuple[AuditAnnotation, ...] = ()
    match_conditions: tuple[MatchCondition, ...] = ()
    variables: tuple[Variable, ...] = ()


class PolicyStatus(View, frozen=True):
    """What is known of a policy."""

    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class ValidatingAdmissionPolicy(Object, frozen=True):
    """admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy."""

    spec: PolicySpec = PolicySpec()
    status: PolicyStatus = PolicyStatus()


class BindingSpec(View, frozen=True):
    """Where a policy holds, with which parameters, and what is done about what fails."""

    policy_name: str = ""
    param_ref: ParamRef | None = None
    match_resources: MatchResources | None = None
    validation_actions: tuple[str, ...] = ()


class ValidatingAdmissionPolicyBinding(Object, frozen=True):
    """admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding."""

    spec: BindingSpec = BindingSpec()


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False, any_finalizer=True)
    if subresource == "status":
        status = new.get("status") or {}
        checking = status.get("typeChecking") or {}
        yield from policy_check.check_warnings(checking, "status.typeChecking")
        yield from check_conditions(status.get("conditions") or (), "status.conditions")
        return
    name = (new.get("metadata") or {}).get("name", "")
    before = None if old is None else old.get("spec") or {}
    yield from policy_check.check_validating(new.get("spec") or {}, name, before)
    yield from check_unreserved(new, old)


def _check_binding(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False, any_finalizer=True)
    spec = new.get("spec") or {}
    yield from policy_check.check_binding(spec)
    actions = spec.get("validationActions") or []
    yield from policy_check.check_actions(actions, "spec.validationActions")
    yield from check_unreserved(new, old)


def param_kind(policy: Document, _now: float) -> str:
    """Returns what is printed as the kind of a policy's parameters."""
    kind = at(policy, "spec", "paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET


def _param_ref(binding: Document, _now: float) -> str:
    found = at(binding, "spec", "paramRef")
    if not found:
        return UNSET
    if found.get("name"):
        return f"{found.get('namespace') or '*'}/{found['name']}"
    return selector(found["selector"]) if "selector" in found else UNSET


_COLUMNS = (
    NAME,
    Column("Validations", count("spec", "validations"), type="integer"),
    Column("ParamKind", param_kind),
    AGE,
)
BINDING_COLUMNS = (
    NAME,
    text("PolicyName", "spec", "policyName"),
    Column("ParamRef", _param_ref),
    AGE,
)

VALIDATINGADMISSIONPOLICY = Kind(
    group="admissionregistration.k8s.io",
    name="ValidatingAdmissionPolicy",
    plural="validatingadmissionpolicies",
    namespaced=False,
    versions=(
        Version("v1", "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy", since=30),
    ),
    storage="v1",
    categories=("api-extensions",),
    columns=_COLUMNS,
    check=_check,
    warn=warn_of_reserved,
    conditional=True,
    view=ValidatingAdmissionPolicy,
    prepare=preparer(status={}),
    subresources=(STATUS_ALONE,),
    spec_fields=("spec",),
    complete=True,
)

_POLICY = "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy"
_BINDING = "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding"

VALIDATINGADMISSIONPOLICYBINDING = Kind(
    group="admissionregistration.k8s.io",
    name="ValidatingAdmissionPolicyBinding",
    plural="validatingadmissionpolicybindings",
    namespaced=False,
    versions=(Version("v1", _BINDING, since=30),),
    storage="v1",
    categories=("api-extensions",),
    columns=BINDING_COLUMNS,
    check=_check_binding,
    warn=warn_of_reserved,
    conditional=True,
    view=ValidatingAdmissionPolicyBinding,
    spec_fields=("spec",),
    complete=True,
)
