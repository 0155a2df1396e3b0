"""What is checked of a LimitRange: names, and that its amounts fit together
(ValidateLimitRange in pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from steersman.model import names
from steersman.model.causes import duplicate, each, forbidden, invalid, required
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.quantity import NANO, Quantity
from steersman.model.types.resource_check import (
    check_container_resource_name,
    check_resource_name,
    may_overcommit,
)
from steersman.model.types.resources import Amounts, amounts

_TYPES: Final = ("Pod", "Container", "PersistentVolumeClaim")
_ONE: Final = Quantity(NANO)
# amounts of more units than this are compared in units, not in thousandths (MaxMilliValue)
_MOST: Final = 2**63 - 1
_MOST_MILLI: Final = _MOST // 1000


def check_limits(limits: Sequence[Document]) -> Iterator[Cause]:
    """Yields what is wrong with the items of a LimitRange."""
    seen: set[str] = set()
    for index, limit in enumerate(limits):
        path, kind = f"spec.limits[{index}]", limit.get("type", "")
        yield from _check_type(kind, f"{path}.type")
        if kind in seen:
            yield duplicate(f"{path}.type", kind)
        seen.add(kind)
        yield from _check_names(limit, kind, path)
        yield from _check_amounts(limit, kind, path)


def _check_type(kind: str, path: str) -> Iterator[Cause]:
    problems = names.qualified_name(kind)
    yield from each(path, kind, problems)
    if not problems and "/" not in kind and kind not in _TYPES:
        yield invalid(path, kind, "must be a standard limit type or fully qualified")


def _check_names(limit: Document, kind: str, path: str) -> Iterator[Cause]:
    check = check_container_resource_name if kind in _TYPES[:2] else check_resource_name
    for name in ("max", "min", "default", "defaultRequest"):
        found = limit.get(name) or {}
        if kind == "Pod" and name.startswith("default"):
            if found:
                yield forbidden(f"{path}.{name}", "may not be specified when `type` is 'Pod'")
            continue
        for resource in found:
            yield from check(resource, f"{path}.{name}[{resource}]")
    bounds = {**(limit.get("min") or {}), **(limit.get("max") or {})}
    if kind == "PersistentVolumeClaim" and "storage" not in bounds:
        detail = "either minimum or maximum storage value is required, but neither was provided"
        yield required(f"{path}.limits", detail)
    for resource in limit.get("maxLimitRequestRatio") or ():
        yield from check(resource, f"{path}.maxLimitRequestRatio[{resource}]")


def _check_amounts(limit: Document, kind: str, path: str) -> Iterator[Cause]:
    most, least = amounts(limit.get("max")), amounts(limit.get("min"))
    has_defaults = kind != "Pod"
    default = amounts(limit.get("default")) if has_defaults else {}
    request = amounts(limit.get("defaultRequest")) if has_defaults else {}
    ratio = amounts(limit.get("maxLimitRequestRatio"))
    for name in {**most, **least, **default, **request, **ratio}:
        yield from _check_order(name, most, least, default, request, path)
        if name in ratio:
            where = f"{path}.maxLimitRequestRatio[{name}]"
            yield from _check_ratio(ratio[name], least.get(name), most.get(name), where)
        if name in default and name in request and not may_overcommit(name):
            one, other = default[name], request[name]
            if one != other:
                detail = f"default value {one} must equal to defaultRequest value {other} in {name}"
                yield invalid(f"{path}.defaultRequest[{name}]", str(other), detail)


def _check_order(
    name: str, most: Amounts, least: Amounts, default: Amounts, request: Amounts, path: str
) -> Iterator[Cause]:
    # (field, the lesser, its words, the greater, its words, the one that is shown)
    pairs: tuple[tuple[str, Mapping[str, Quantity], str, Mapping[str, Quantity], str, Amounts], ...]
    pairs = (
        ("min", least, "min value", most, "max value", least),
        ("defaultRequest", least, "min value", request, "default request value", request),
        ("defaultRequest", request, "default request value", most, "max value", request),
        (
            "defaultRequest",
            request,
            "default request value",
            default,
            "default limit value",
            request,
        ),
        ("default", least, "min value", default, "default value", least),
        ("default", default, "default value", most, "max value", most),
    )
    for field, lesser, low, greater, high, shown in pairs:
        if name in lesser and name in greater and lesser[name] > greater[name]:
            detail = f"{low} {lesser[name]} is greater than {high} {greater[name]}"
            yield invalid(f"{path}.{field}[{name}]", str(shown[name]), detail)


def _check_ratio(
    ratio: Quantity, least: Quantity | None, most: Quantity | None, path: str
) -> Iterator[Cause]:
    if ratio < _ONE:
        yield invalid(path, str(ratio), f"ratio {ratio} is less than 1")
    if least is None or most is None or not least:
        return  # upstream divides by zero here and finds nothing greater
    wanted: float = min(ratio.value(), _MOST)
    low, high = min(least.value(), _MOST), min(most.value(), _MOST)
    if max(wanted, low, high) < _MOST_MILLI:
        wanted, low, high = ratio.milli() / 1000, least.milli(), most.milli()
    if wanted > high / low:
        yield invalid(path, str(ratio), f"ratio {ratio} is greater than max/min = {high / low:f}")
