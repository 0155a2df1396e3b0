"""What is checked of a ResourceQuota: amounts, scopes, and which scope fits which resource
(ValidateResourceQuotaSpec in pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from steersman.model.causes import IMMUTABLE, invalid, required
from steersman.model.errors import Cause
from steersman.model.gotext import struct
from steersman.model.kind import Document
from steersman.model.types.resource_check import (
    STANDARD_QUOTA,
    check_amount,
    check_resource_name,
    is_quota_huge_pages,
)

_OF_PODS: Final = frozenset(
    (
        "pods",
        "cpu",
        "memory",
        "requests.cpu",
        "requests.memory",
        "limits.cpu",
        "limits.memory",
    )
)
# scope -> the standard resources that it can narrow
_NARROWS: Final[Mapping[str, frozenset[str]]] = {
    "Terminating": _OF_PODS,
    "NotTerminating": _OF_PODS,
    "BestEffort": frozenset(("pods",)),
    "NotBestEffort": _OF_PODS,
    "PriorityClass": _OF_PODS,
    "CrossNamespacePodAffinity": _OF_PODS,
    "VolumeAttributesClass": frozenset(("persistentvolumeclaims", "requests.storage")),
}
_EXIST_ONLY: Final = frozenset(
    (
        "BestEffort",
        "NotBestEffort",
        "Terminating",
        "NotTerminating",
        "CrossNamespacePodAffinity",
    )
)
_CONFLICTING: Final = (
    frozenset(("BestEffort", "NotBestEffort")),
    frozenset(("Terminating", "NotTerminating")),
)
_MUST_EXIST: Final = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
    "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
    "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
_NEEDS_VALUES: Final = (
    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
)
_TAKES_NO_VALUES: Final = (
    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
)


def check_amounts(found: Mapping[str, str] | None, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a list of resources that a quota names."""
    for name, text in (found or {}).items():
        where = f"{path}[{name}]"
        yield from check_resource_name(name, where)
        if "/" not in name and not _is_standard(name):
            yield invalid(where, name, "must be a standard resource for quota")
        yield from check_amount(name, text, where)


def check_spec(spec: Document) -> Iterator[Cause]:
    """Yields what is wrong with the spec of a quota."""
    yield from check_amounts(spec.get("hard"), "spec.hard")
    yield from _check_scopes(spec)
    if spec.get("scopeSelector") is not None:
        yield from _check_selector(spec)


def check_change(new: Document, old: Document) -> Iterator[Cause]:
    """Yields whether an update changes the scopes."""
    if set(new.get("scopes") or ()) != set(old.get("scopes") or ()):
        yield invalid("spec.scopes", new.get("scopes"), IMMUTABLE)


def _is_standard(name: str) -> bool:
    return name in STANDARD_QUOTA or is_quota_huge_pages(name)


def _misfits(scope: str, hard: Iterable[str]) -> int:
    """Returns how many standard resources a scope cannot narrow."""
    narrowed = _NARROWS.get(scope, frozenset())
    return sum(_is_standard(name) and name not in narrowed for name in hard)


def _check_scopes(spec: Document) -> Iterator[Cause]:
    scopes, path = spec.get("scopes") or [], "spec.scopes"
    for scope in scopes:
        if scope not in _NARROWS:
            yield invalid(path, scopes, "unsupported scope")
        for _ in range(_misfits(scope, spec.get("hard") or ())):
            yield invalid(path, scopes, "unsupported scope applied to resource")
    for pair in _CONFLICTING:
        if pair <= set(scopes):
            yield invalid(path, scopes, "conflicting scopes")


def _check_selector(spec: Document) -> Iterator[Cause]:
    found = spec["scopeSelector"].get("matchExpressions") or ()
    internal = [struct(one, "ScopeName", "Operator", "Values") for one in found]
    path = "spec.scopeSelector.matchExpressions"
    for one in found:
        scope = one.get("scopeName", "")
        if scope not in _NARROWS:
            yield invalid(f"{path}.scopeName", scope, "unsupported scope")
        for _ in range(_misfits(scope, spec.get("hard") or ())):
            detail = "unsupported scope applied to resource"
            yield invalid(path, {"MatchExpressions": internal}, detail)
        yield from _check_operator(one, scope, path)
    for pair in _CONFLICTING:
        if pair <= {one.get("scopeName") for one in found}:
            yield invalid(path, spec.get("scopes"), "conflicting scopes")


def _check_operator(one: Document, scope: str, path: str) -> Iterator[Cause]:
    operator, values = one.get("operator", ""), one.get("values") or []
    if scope in _EXIST_ONLY and operator != "Exists":
        yield invalid(f"{path}.operator", operator, _MUST_EXIST)
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{path}.values", _NEEDS_VALUES)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield invalid(f"{path}.values", values, _TAKES_NO_VALUES)
    else:
        yield invalid(f"{path}.operator", operator, "not a valid selector operator")
