"""What is checked of requests, limits and resource names (pkg/apis/core/validation, helper)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from steersman.model import names
from steersman.model.causes import (
    NOT_NEGATIVE,
    duplicate,
    each,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.quantity import NANO, Quantity, parse
from steersman.model.types.resources import ZERO

HUGE_PAGES: Final = "hugepages-"
# Any DeviceClass can be asked for by this and its name, whatever else it is called
OF_DEVICE_CLASS: Final = "deviceclass.resource.kubernetes.io/"
_COUNTS: Final = frozenset(
    (
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    )
)
_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")
# what a quota can bound without a prefix; huge pages beside
STANDARD_QUOTA: Final = frozenset(
    (
        *_COMPUTE,
        *(f"requests.{name}" for name in _COMPUTE),
        *(f"limits.{name}" for name in _COMPUTE),
        *_COUNTS,
        "requests.storage",
    )
)
_STANDARD: Final = STANDARD_QUOTA | {"storage"}
# what a pod as a whole can ask for; huge pages beside
_POD_LEVEL: Final = ("cpu", "memory")
# Names, and names with amounts, seen lately; a cluster has few
_NAMES_KEPT: Final = 512
_AMOUNTS_KEPT: Final = 4096


def is_native(name: str) -> bool:
    """Tells whether a resource is Kubernetes' own."""
    return "/" not in name or "kubernetes.io/" in name


def is_huge_pages(name: str) -> bool:
    """Tells whether a resource is huge pages of some size."""
    return name.startswith(HUGE_PAGES)


def is_quota_huge_pages(name: str) -> bool:
    """Tells whether a resource is huge pages as a quota names them."""
    return name.startswith((HUGE_PAGES, f"requests.{HUGE_PAGES}"))


def may_overcommit(name: str) -> bool:
    """Tells whether requests may be lower than limits."""
    return is_native(name) and not is_huge_pages(name)


@lru_cache(_NAMES_KEPT)
def is_extended(name: str) -> bool:
    """Tells whether a resource is a well-formed one of somebody else."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{name}")


def is_counted(name: str) -> bool:
    """Tells whether a resource is had in whole units only."""
    return name in _COUNTS or is_extended(name)


def check_resource_name(name: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with any resource name (validateResourceName)."""
    problems = names.qualified_name(name)
    yield from each(path, name, problems)
    if not problems and "/" not in name and not (name in _STANDARD or is_quota_huge_pages(name)):
        yield invalid(path, name, "must be a standard resource type or fully qualified")


def check_container_resource_name(name: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the name of a resource that a container asks for."""
    if name in _COMPUTE:
        return
    yield from check_resource_name(name, path)
    if "/" not in name:
        if not is_huge_pages(name):
            yield invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        yield invalid(path, name, "doesn't follow extended resource name standard")


def check_pod_resource_name(name: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the name of a resource that a pod asks for as a whole."""
    problems = list(check_resource_name(name, path))
    yield from problems
    if not problems and name not in _POD_LEVEL and not is_huge_pages(name):
        yield not_supported(path, name, (*_POD_LEVEL[:1], HUGE_PAGES, *_POD_LEVEL[1:]))


def check_amount(name: str, text: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with an amount of a resource (ValidateResourceQuantityValue)."""
    amount = parse(text)
    if amount < ZERO:
        yield invalid(path, text, NOT_NEGATIVE)
    if amount.nanos % NANO and is_counted(name):
        yield invalid(path, text, "must be an integer")


def check_requirements(
    resources: Document, path: str, claims: Collection[str], *, of_pod: bool = False
) -> Iterator[Cause]:
    """Yields what is wrong with the requests and limits of a container or a pod."""
    limits: Mapping[str, str] = resources.get("limits") or {}
    requests: Mapping[str, str] = resources.get("requests") or {}
    for name, text in limits.items():
        if not _is_sound(name, text, of_pod):
            yield from _check_entry(name, text, f"{path}.limits[{name}]", of_pod)
    for name, text in requests.items():
        if not _is_sound(name, text, of_pod):
            yield from _check_entry(name, text, f"{path}.requests[{name}]", of_pod)
        if (limit := limits.get(name)) != text:
            yield from _check_against(name, text, limit, path)
    if "cpu" not in requests and "memory" not in requests:
        yield from _check_huge_pages(limits, requests, path)
    if used := resources.get("claims"):
        yield from _check_claims(used, f"{path}.claims", claims)


def _check_huge_pages(
    limits: Mapping[str, str], requests: Mapping[str, str], path: str
) -> Iterator[Cause]:
    asked = [*limits, *requests]
    if any(map(is_huge_pages, asked)) and "cpu" not in asked and "memory" not in asked:
        yield forbidden(path, "HugePages require cpu or memory")


@lru_cache(_AMOUNTS_KEPT)
def _is_sound(name: str, text: str, of_pod: bool) -> bool:
    return not list(_check_entry(name, text, "", of_pod))


def _check_entry(name: str, text: str, path: str, of_pod: bool) -> Iterator[Cause]:
    if of_pod:
        yield from check_pod_resource_name(name, path)
    else:
        yield from check_container_resource_name(name, path)
    yield from check_amount(name, text, path)
    if is_huge_pages(name) and not _is_divisible(parse(text), name):
        yield invalid(path, text, f"{text} is not positive integer multiple of {name}")


def _is_divisible(amount: Quantity, name: str) -> bool:
    page = parse(name.removeprefix(HUGE_PAGES))
    return page.nanos > 0 and amount.nanos >= 0 and amount.nanos % page.nanos == 0


def _check_against(name: str, text: str, limit: str | None, path: str) -> Iterator[Cause]:
    if limit is None:
        if not may_overcommit(name):
            detail = "Limit must be set for non overcommitable resources"
            yield required(f"{path}.limits", detail)
        return
    order = _order(text, limit)
    if order and not may_overcommit(name):
        yield invalid(f"{path}.requests", text, f"must be equal to {name} limit of {limit}")
    elif order > 0:
        detail = f"must be less than or equal to {name} limit of {limit}"
        yield invalid(f"{path}.requests", text, detail)


@lru_cache(_AMOUNTS_KEPT)
def _order(first: str, second: str) -> int:
    """Returns -1, 0 or 1 as the first amount is less than, equal to or more than the second."""
    one, other = parse(first).nanos, parse(second).nanos
    return (one > other) - (one < other)


def _check_claims(used: Sequence[Document], path: str, claims: Collection[str]) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, claim in enumerate(used):
        where, name, request = f"{path}[{index}]", claim.get("name", ""), claim.get("request", "")
        if not name:
            yield required(where)
            continue
        key = f"{name}/{request}" if request else name
        if request:
            yield from each(f"{where}.request", request, names.dns1123_label(request))
        whole = not request and any(one.startswith(f"{name}/") for one in seen)
        if name in seen or key in seen or whole:
            yield duplicate(where, key)
        seen.add(key)
        if name not in claims:
            listed = f": {', '.join(sorted(claims))}" if claims else " which is empty"
            detail = f"must be one of the names in pod.spec.resourceClaims{listed}"
            yield not_found(where, name, detail)
