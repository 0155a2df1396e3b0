"""ResourceClaim: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import field as renamed

from steersman.model.causes import declared_immutable
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import without
from steersman.model.kinds.printing import AGE, NAME, at
from steersman.model.kinds.subresources import STATUS_ALONE
from steersman.model.types.condition import Condition
from steersman.model.types.device import ClaimSpec, DeviceToleration
from steersman.model.types.device_claim_check import check_claim
from steersman.model.types.device_status_check import check_claim_status, results_of
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object, View


class AllocatedDevice(View, frozen=True):
    """One device for one request."""

    request: str = ""
    driver: str = ""
    pool: str = ""
    device: str = ""
    admin_access: bool = False
    tolerations: tuple[DeviceToleration, ...] = ()
    binding_conditions: tuple[str, ...] = ()
    binding_failure_conditions: tuple[str, ...] = ()
    share_id: str | None = renamed(default=None, name="shareID")
    consumed_capacity: Mapping[str, str | int | float] = {}


class AllocatedDevices(View, frozen=True):
    """All devices that were allocated."""

    results: tuple[AllocatedDevice, ...] = ()


class Allocation(View, frozen=True):
    """What was allocated, and to which nodes it belongs; no selector means all."""

    devices: AllocatedDevices = AllocatedDevices()
    node_selector: Mapping[str, Any] | None = None
    allocation_timestamp: datetime | None = None


class Consumer(View, frozen=True):
    """Who may use what was allocated; most often a Pod."""

    api_group: str = ""
    resource: str = ""
    name: str = ""
    uid: str = ""


class DeviceStatus(View, frozen=True):
    """What a driver says of an allocated device."""

    driver: str = ""
    pool: str = ""
    device: str = ""
    share_id: str | None = renamed(default=None, name="shareID")
    conditions: tuple[Condition, ...] = ()


class ClaimStatus(View, frozen=True):
    """What is known of a claim."""

    allocation: Allocation | None = None
    reserved_for: tuple[Consumer, ...] = ()
    devices: tuple[DeviceStatus, ...] = ()


class ResourceClaim(Object, frozen=True):
    """resource.k8s.io/v1 ResourceClaim."""

    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    spec = new.get("spec") or {}
    if old is None:
        yield from check_claim(spec, "spec")
    elif subresource == "status":
        yield from check_claim_status(new, old)
    else:
        yield from declared_immutable("spec", spec, old.get("spec") or {})


# Fields of features that upstream 1.37 has switched off by default
_OF_REQUESTS = "derivedAttributes"  # DRADerivedAttributes
_OF_RESULTS = "skipNodeOperations"  # DRAOptionalNodeOperations


def without_disabled(spec: Document) -> Document:
    """Returns the spec of a claim without the fields of features that are switched off; the same
    where it has none."""
    devices = spec.get("devices") or {}
    requests = devices.get("requests") or ()
    if not any(_OF_REQUESTS in wish for request in requests for wish in _wishes(request)):
        return spec
    kept = [_enabled(request) for request in requests]
    return {**spec, "devices": {**devices, "requests": kept}}


def _wishes(request: Document) -> Sequence[Document]:
    return [*filter(None, (request.get("exactly"),)), *(request.get("firstAvailable") or ())]


def _enabled(request: Document) -> Document:
    kept = dict(request)
    if exactly := request.get("exactly"):
        kept["exactly"] = without(exactly, _OF_REQUESTS)
    if alternatives := request.get("firstAvailable"):
        kept["firstAvailable"] = [without(one, _OF_REQUESTS) for one in alternatives]
    return kept


def _prepare(new: Document, old: Document | None, subresource: str) -> Document:
    """Begins without a status; what drivers said of devices goes with their allocation."""
    if old is None:
        return {**new, "spec": without_disabled(new.get("spec") or {}), "status": {}}
    status = new.get("status") or {}
    if subresource != "status" or not status:
        return new
    kept = without_deallocated(_with_enabled_results(status), old.get("status") or {})
    return {**new, "status": kept}


def _with_enabled_results(status: Document) -> Document:
    results = results_of(status)
    if not any(_OF_RESULTS in result for result in results):
        return status
    allocation = status["allocation"]
    devices = {**allocation["devices"], "results": [without(one, _OF_RESULTS) for one in results]}
    return {**status, "allocation": {**allocation, "devices": devices}}


def without_deallocated(status: Document, before: Document) -> Document:
    """Returns a status without what drivers said of devices that were allocated before and are
    not any more."""
    gone = set(map(_device, results_of(before))) - set(map(_device, results_of(status)))
    kept = [one for one in status.get("devices") or () if _device(one) not in gone]
    return {**without(status, "devices"), **({"devices": kept} if kept else {})}


def _device(result: Document) -> tuple[str, ...]:
    return tuple(result.get(name) or "" for name in ("driver", "pool", "device"))


def _state(claim: Document, _now: float) -> str:
    deleted = bool(at(claim, "metadata", "deletionTimestamp"))
    states = ["deleted"] if deleted else []
    if not at(claim, "status", "allocation"):
        return ",".join(states or ["pending"])
    reserved = ["reserved"] if at(claim, "status", "reservedFor") else []
    return ",".join([*states, "allocated", *reserved])


RESOURCECLAIM = Kind(
    group="resource.k8s.io",
    name="ResourceClaim",
    plural="resourceclaims",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.resource.v1.ResourceClaim", since=34),),
    storage="v1",
    columns=(NAME, Column("State", _state), AGE),
    check=_check,
    view=ResourceClaim,
    prepare=_prepare,
    subresources=(STATUS_ALONE,),
    returns_deleted=True,
    complete=True,
)
