"""What is checked of a claim for devices: requests, constraints, configuration
(validateDeviceClaim in pkg/apis/resource/validation)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from steersman.model.causes import invalid, not_supported, required
from steersman.model.errors import Cause
from steersman.model.gotext import struct
from steersman.model.kind import Document
from steersman.model.types.device_check import (
    MOST_CONFIGURATIONS,
    MOST_REQUESTS,
    check_class_name,
    check_configuration,
    check_full_name,
    check_label,
    check_list,
    check_selectors,
    check_set,
    check_tolerations,
    name_of,
)

# the names of requests, each with those of its alternatives
RequestNames = Mapping[str, frozenset[str]]

MODES: Final = ("All", "ExactCount")
_MOST_ALTERNATIVES: Final = 8
_MOST_CONSTRAINTS: Final = 32
_ONE_KIND: Final = "exactly one of `exactly` or `firstAvailable` is required"
_ONE_ATTRIBUTE: Final = 'exactly one of "matchAttribute" or "distinctAttribute" is required'
_REFERENCE: Final = (
    "must be the name of a request in the claim or the name of a request and a subrequest "
    "separated by '/'"
)


def request_names(devices: Document) -> RequestNames:
    """Returns the names that constraints, configuration and results may refer to."""
    return {
        name_of(request): frozenset(map(name_of, request.get("firstAvailable") or ()))
        for request in devices.get("requests") or ()
    }


def check_claim(spec: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the spec of a new ResourceClaim."""
    devices, path = spec.get("devices") or {}, f"{path}.devices"
    known = request_names(devices)
    requests = devices.get("requests") or ()
    yield from check_set(requests, MOST_REQUESTS, _check_request, f"{path}.requests", name_of)
    constraint = partial(_check_constraint, known)
    constraints = devices.get("constraints") or ()
    yield from check_list(constraints, _MOST_CONSTRAINTS, constraint, f"{path}.constraints")
    config = partial(check_claim_configuration, known)
    configs = devices.get("config") or ()
    yield from check_list(configs, MOST_CONFIGURATIONS, config, f"{path}.config")


def _check_request(request: Document, path: str) -> Iterator[Cause]:
    yield from check_label(name_of(request), f"{path}.name")
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or ()
    if exactly is None and not alternatives:
        yield required(path, _ONE_KIND)
    elif exactly is not None and alternatives:
        yield invalid(path, None, f"{_ONE_KIND}, but multiple fields are set")
    elif exactly is not None:
        yield from _check_wish(exactly, f"{path}.exactly")
    else:
        where = f"{path}.firstAvailable"
        yield from check_set(alternatives, _MOST_ALTERNATIVES, _check_alternative, where, name_of)


def _check_alternative(request: Document, path: str) -> Iterator[Cause]:
    yield from check_label(name_of(request), f"{path}.name")
    yield from _check_wish(request, path)


def _check_wish(request: Document, path: str) -> Iterator[Cause]:
    class_name = request.get("deviceClassName") or ""
    yield from check_class_name(class_name, f"{path}.deviceClassName")
    yield from check_selectors(request, path)
    mode, count = request.get("allocationMode") or "", request.get("count") or 0
    if mode not in MODES:
        yield not_supported(f"{path}.allocationMode", mode, MODES)
    elif mode == "All" and count:
        detail = "must not be specified when allocationMode is 'All'"
        yield invalid(f"{path}.count", count, detail)
    elif mode == "ExactCount" and count <= 0:
        yield invalid(f"{path}.count", count, "must be greater than zero")
    yield from check_tolerations(request, path)


def _check_constraint(known: RequestNames, constraint: Document, path: str) -> Iterator[Cause]:
    yield from _check_references(known, constraint, path)
    for name in ("matchAttribute", "distinctAttribute"):
        if (attribute := constraint.get(name)) is not None:
            yield from check_full_name(attribute, f"{path}.{name}")
            return
    yield required(path, f"{_ONE_ATTRIBUTE}, but multiple fields are set")


def check_claim_configuration(known: RequestNames, config: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with configuration for some requests of a claim."""
    yield from _check_references(known, config, path)
    yield from check_configuration(config, path)


def _check_references(known: RequestNames, holder: Document, path: str) -> Iterator[Cause]:
    reference, referred = partial(check_reference, known), holder.get("requests") or ()
    yield from check_set(referred, MOST_REQUESTS, reference, f"{path}.requests")


def check_reference(known: RequestNames, name: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a reference to a request, or to one of its alternatives."""
    parts = name.split("/")
    if len(parts) <= 2:
        for part in parts:
            yield from check_label(part, path)
    if not _is_known(known, parts):
        yield invalid(path, name, _REFERENCE)


def _is_known(known: RequestNames, parts: list[str]) -> bool:
    if len(parts) > 2 or parts[0] not in known:
        return False
    return len(parts) == 1 or parts[1] in known[parts[0]]


def internal_claim(spec: Document) -> Document:
    """Returns the spec of a claim as Go prints its internal type."""
    devices = spec.get("devices") or {}
    listed: dict[str, Any] = {
        "Requests": _each(devices.get("requests"), _internal_request),
        "Constraints": _each(devices.get("constraints"), _internal_constraint),
        "Config": _each(devices.get("config"), _internal_config),
    }
    return {"Devices": listed}


def _each(items: Any, convert: Any) -> Any:
    return None if items is None else [convert(item) for item in items]


def _internal_request(request: Document) -> Document:
    exactly = request.get("exactly")
    return {
        "Name": name_of(request),
        "Exactly": None if exactly is None else _internal_wish(exactly, "AdminAccess"),
        "FirstAvailable": _each(request.get("firstAvailable"), _internal_alternative),
    }


def _internal_alternative(request: Document) -> Document:
    return {"Name": name_of(request), **_internal_wish(request)}


def _internal_wish(request: Document, *more: str) -> Document:
    capacity = request.get("capacity")
    return {
        "DeviceClassName": request.get("deviceClassName") or "",
        "Selectors": _each(request.get("selectors"), _internal_selector),
        **struct(request, "AllocationMode"),
        "Count": request.get("count") or 0,
        **struct(request, *more),
        "Tolerations": _each(request.get("tolerations"), _internal_toleration),
        "Capacity": None if capacity is None else {"Requests": capacity.get("requests")},
        "DerivedAttributes": None,
    }


def _internal_selector(selector: Document) -> Document:
    cel = selector.get("cel")
    return {"CEL": None if cel is None else {"Expression": cel.get("expression", "")}}


def _internal_toleration(toleration: Document) -> Document:
    texts = {name: toleration.get(name.lower()) or "" for name in ("Key", "Operator", "Value")}
    effect, seconds = toleration.get("effect") or "", toleration.get("tolerationSeconds")
    return {**texts, "Effect": effect, "TolerationSeconds": seconds}


def _internal_constraint(constraint: Document) -> Document:
    return struct(constraint, "Requests", "MatchAttribute", "DistinctAttribute")


def _internal_config(config: Document) -> Document:
    opaque = config.get("opaque")
    shown = None if opaque is None else struct(opaque, "Driver", "Parameters")
    return {"Requests": config.get("requests"), "Opaque": shown}
