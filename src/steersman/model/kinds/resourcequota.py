"""ResourceQuota: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, Value, at
from steersman.model.kinds.subresources import STATUS
from steersman.model.types import quota_check
from steersman.model.types.metadata import check_metadata
from steersman.model.types.warnings import quota_told, warner
from steersman.model.view import Object, View


class ScopeRequirement(View, frozen=True):
    """One scope that objects must (not) be of; operators In, NotIn, Exists, DoesNotExist."""

    scope_name: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class ScopeSelector(View, frozen=True):
    """Scopes that must all hold."""

    match_expressions: tuple[ScopeRequirement, ...] = ()


class ResourceQuotaSpec(View, frozen=True):
    """How much of what may be used, by which objects."""

    hard: Mapping[str, str] = {}
    scopes: tuple[str, ...] = ()
    scope_selector: ScopeSelector | None = None


class ResourceQuotaStatus(View, frozen=True):
    """What is enforced, and what is used of it."""

    hard: Mapping[str, str] = {}
    used: Mapping[str, str] = {}


class ResourceQuota(Object, frozen=True):
    """core/v1 ResourceQuota."""

    spec: ResourceQuotaSpec = ResourceQuotaSpec()
    status: ResourceQuotaStatus = ResourceQuotaStatus()


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    if subresource == "status":
        status = new.get("status") or {}
        yield from quota_check.check_amounts(status.get("hard"), "status.hard")
        yield from quota_check.check_amounts(status.get("used"), "status.used")
        return
    yield from quota_check.check_spec(new.get("spec") or {})
    if old is not None:
        yield from quota_check.check_change(new.get("spec") or {}, old.get("spec") or {})


def _amounts(*, limits: bool) -> Value:
    def value(quota: Document, _now: float) -> str:
        hard, used = at(quota, "status", "hard") or {}, at(quota, "status", "used") or {}
        names = (name for name in sorted(hard) if name.startswith("limits.") == limits)
        return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in names)

    return value


_COLUMNS = (
    NAME,
    Column(
        "Request",
        _amounts(limits=False),
        description="Request represents a minimum amount of cpu/memory that a container may "
        "consume.",
    ),
    Column(
        "Limit",
        _amounts(limits=True),
        description="Limits control the maximum amount of cpu/memory that a container may use "
        "independent of contention on the node.",
    ),
    AGE,
)

RESOURCEQUOTA = Kind(
    group="",
    name="ResourceQuota",
    plural="resourcequotas",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.ResourceQuota"),),
    storage="v1",
    short_names=("quota",),
    columns=_COLUMNS,
    check=_check,
    warn=warner(quota_told),
    view=ResourceQuota,
    prepare=preparer(status={}),
    subresources=(STATUS,),
    returns_deleted=True,
    complete=True,
)
