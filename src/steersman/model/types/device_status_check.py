"""What is checked of the status of a ResourceClaim: what was allocated, for whom, and what drivers
say of it (validateResourceClaimStatusUpdate in pkg/apis/resource/validation)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from steersman.model.causes import (
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.address_check import check_interface_address
from steersman.model.types.condition import check_conditions
from steersman.model.types.device_check import (
    MOST_CONFIGURATIONS,
    check_binding,
    check_label,
    check_list,
    check_pool_name,
    check_raw,
    check_set,
    check_tolerations,
    check_uid,
)
from steersman.model.types.device_claim_check import (
    RequestNames,
    check_claim_configuration,
    check_reference,
    request_names,
)
from steersman.model.types.persistent_sources import check_declared_driver, check_driver_name
from steersman.model.types.scheduling_check import check_node_selector

_MOST_CONSUMERS: Final = 256
_MOST_RESULTS: Final = 32
_MOST_CONDITIONS: Final = 8
_MOST_ADDRESSES: Final = 16
_MOST_INTERFACE_NAME: Final = 256
_MOST_HARDWARE_ADDRESS: Final = 128
_SOURCES: Final = ("FromClaim", "FromClass")
_MODIFIED: Final = "field cannot be modified once set"


def device_id(result: Document) -> str:
    """Returns which device, and which share of it, a result or a device's status is about."""
    parts = [result.get(name) or "" for name in ("driver", "pool", "device")]
    share = result.get("shareID")
    return "/".join([*parts, share] if share else parts)


def results_of(status: Document) -> list[Document]:
    """Returns what was allocated."""
    devices = (status.get("allocation") or {}).get("devices") or {}
    return devices.get("results") or []


def check_claim_status(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what is wrong with a changed status of a claim."""
    status, before = new.get("status") or {}, old.get("status") or {}
    reserved = status.get("reservedFor") or ()
    path = "status.reservedFor"
    yield from check_set(reserved, _MOST_CONSUMERS, _check_consumer, path, _uid)
    allocated = frozenset(map(device_id, results_of(status)))
    yield from _check_devices(status.get("devices") or (), allocated)
    allocation = status.get("allocation")
    if reserved and allocation is None:
        yield forbidden(path, "may not be specified when `allocated` is not set")
    elif (new.get("metadata") or {}).get("deletionTimestamp"):
        kept = before.get("reservedFor") or ()
        if any(consumer not in kept for consumer in reserved):
            detail = "new entries may not be added while `deallocationRequested` or "
            yield forbidden(path, f"{detail}`deletionTimestamp` are set")
    if allocation is not None and before.get("allocation") is not None:
        if allocation != before["allocation"]:
            yield invalid("status.allocation", None, _MODIFIED)
    elif allocation is not None:
        known = request_names((new.get("spec") or {}).get("devices") or {})
        yield from _check_allocation(allocation, known, "status.allocation")


def _uid(consumer: Document) -> str:
    return str(consumer.get("uid") or "")


def _check_consumer(consumer: Document, path: str) -> Iterator[Cause]:
    for name in ("resource", "name", "uid"):
        if not consumer.get(name):
            yield required(f"{path}.{name}")


def _check_allocation(allocation: Document, known: RequestNames, path: str) -> Iterator[Cause]:
    devices = allocation.get("devices") or {}
    results, configs = devices.get("results") or (), devices.get("config") or ()
    result, config = partial(_check_result, known), partial(_check_config, known)
    yield from check_list(results, _MOST_RESULTS, result, f"{path}.devices.results")
    most = 2 * MOST_CONFIGURATIONS  # of the class and of the claim
    yield from check_list(configs, most, config, f"{path}.devices.config")
    if (selector := allocation.get("nodeSelector")) is not None:
        yield from check_node_selector(selector, f"{path}.nodeSelector")


def _check_result(known: RequestNames, result: Document, path: str) -> Iterator[Cause]:
    yield from check_reference(known, result.get("request") or "", f"{path}.request")
    yield from check_declared_driver(result.get("driver") or "", f"{path}.driver")
    yield from _check_device_names(result, path)
    yield from check_binding(result, path)
    yield from check_tolerations(result, path)
    if (share := result.get("shareID")) is not None:
        yield from check_uid(share, f"{path}.shareID")


def _check_device_names(result: Document, path: str) -> Iterator[Cause]:
    yield from check_pool_name(result.get("pool") or "", f"{path}.pool")
    yield from check_label(result.get("device") or "", f"{path}.device")


def _check_config(known: RequestNames, config: Document, path: str) -> Iterator[Cause]:
    source = config.get("source") or ""
    if not source:
        yield required(f"{path}.source")
    elif source not in _SOURCES:
        yield not_supported(f"{path}.source", source, _SOURCES)
    yield from check_claim_configuration(known, config, path)


def _check_devices(devices: Sequence[Document], allocated: frozenset[str]) -> Iterator[Cause]:
    for index, device in enumerate(devices):
        yield from _check_device(device, allocated, f"status.devices[{index}]")
    seen: set[str] = set()
    for index, device in enumerate(devices):
        identity = device_id(device)
        if identity in seen:
            yield _unquoted(duplicate(f"status.devices[{index}]", identity), identity)
        seen.add(identity)


def _unquoted(cause: Cause, text: str) -> Cause:
    # a type with String() is printed by it, without quotes
    return Cause(cause.reason, cause.message.replace(f'"{text}"', text, 1), cause.field)


def _check_device(device: Document, allocated: frozenset[str], path: str) -> Iterator[Cause]:
    yield from check_driver_name(device.get("driver") or "", f"{path}.driver")
    yield from _check_device_names(device, path)
    if (share := device.get("shareID")) is not None:
        yield from check_uid(share, f"{path}.shareID")
    identity = device_id(device)
    if identity not in allocated:
        detail = "must be an allocated device in the claim"
        yield _unquoted(invalid(path, identity, detail), identity)
    conditions = device.get("conditions") or ()
    if len(conditions) > _MOST_CONDITIONS:
        yield too_many(f"{path}.conditions", len(conditions), _MOST_CONDITIONS)
    yield from check_conditions(conditions, f"{path}.conditions")
    if device.get("data") is not None:
        yield from check_raw(device["data"], f"{path}.data")
    yield from _check_network(device.get("networkData") or {}, f"{path}.networkData")


def _check_network(data: Document, path: str) -> Iterator[Cause]:
    bounds = (("interfaceName", _MOST_INTERFACE_NAME), ("hardwareAddress", _MOST_HARDWARE_ADDRESS))
    for name, most in bounds:
        if len((data.get(name) or "").encode()) > most:
            yield too_long(f"{path}.{name}", most)
    addresses = data.get("ips") or ()
    yield from check_set(addresses, _MOST_ADDRESSES, check_interface_address, f"{path}.ips")
