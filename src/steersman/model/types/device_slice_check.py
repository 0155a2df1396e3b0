"""What is checked of a ResourceSlice: its pool, the nodes it is for, its devices and counters
(validateResourceSliceSpec in pkg/apis/resource/validation)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from steersman.model import names
from steersman.model.causes import each, immutable, invalid, required, too_long, too_many
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.device_capacity_check import check_capacity
from steersman.model.types.device_check import (
    check_binding,
    check_label,
    check_list,
    check_needed_label,
    check_pool_name,
    check_qualified_name,
    check_set,
    check_taint,
    name_of,
)
from steersman.model.types.persistent_sources import check_driver_name
from steersman.model.types.scheduling_check import check_node_selector

_MOST_DEVICES: Final = 128
# with taints or counters, which take room
_MOST_ADVANCED_DEVICES: Final = 64
_MOST_COUNTER_SETS: Final = 8
_MOST_COUNTERS: Final = 32
_MOST_CONSUMPTIONS: Final = 2
_MOST_PROPERTIES: Final = 32
_MOST_VALUE_BYTES: Final = 64
_MOST_TAINTS: Final = 16
_MOST_KEY: Final = 63 + 1 + 32
_NUMBER = r"(0|[1-9]\d*)"
_BEFORE = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_BEFORE}(\.{_BEFORE})*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)
_VALUES: Final = ("int", "bool", "string", "version")
_MEMBERS: Final = (*_VALUES, *(f"{name}s" for name in _VALUES))  # of the union upstream declares
_ONE_PLACE: Final = (
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
)
_ONE_DEVICE_PLACE: Final = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
    "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
)
_NO_DEVICE_PLACE: Final = (
    "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set "
    "to true in the ResourceSlice spec"
)
_TRUE: Final = "must be either unset or set to true"


def check_slice(spec: Document, old: Document | None) -> Iterator[Cause]:
    """Yields what is wrong with the spec of a new or changed slice.

    Attributes with several values (DRAListTypeAttributes) are switched off as upstream has them.
    """
    yield from check_driver_name(spec.get("driver") or "", "spec.driver")
    yield from _check_pool(spec.get("pool") or {})
    if old is not None:
        yield from _check_fixed(spec, old)
    yield from _check_places(spec)
    if spec.get("sharedCounters") is not None and spec.get("devices") is not None:
        yield invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed")
    devices = spec.get("devices") or ()
    advanced = any(one.get("taints") or one.get("consumesCounters") for one in devices)
    most = _MOST_ADVANCED_DEVICES if advanced else _MOST_DEVICES
    before = {name_of(one): one for one in reversed((old or {}).get("devices") or ())}
    check = partial(_check_device, before, bool(spec.get("perDeviceNodeSelection")))
    yield from check_set(devices, most, check, "spec.devices", name_of)
    counters = spec.get("sharedCounters") or ()
    path = "spec.sharedCounters"
    yield from check_set(counters, _MOST_COUNTER_SETS, _check_counter_set, path, name_of)


def _check_pool(pool: Document) -> Iterator[Cause]:
    yield from check_pool_name(name_of(pool), "spec.pool.name")
    count, generation = pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    if count <= 0:
        yield invalid("spec.pool.resourceSliceCount", count, "must be greater than zero")
    if generation < 0:
        detail = "must be greater than or equal to zero"
        yield invalid("spec.pool.generation", generation, detail)


def _check_fixed(spec: Document, old: Document) -> Iterator[Cause]:
    pool, before = name_of(spec.get("pool") or {}), name_of(old.get("pool") or {})
    yield from immutable("spec.pool.name", pool, before)
    yield from immutable("spec.driver", spec.get("driver"), old.get("driver"))
    yield from immutable("spec.nodeName", spec.get("nodeName"), old.get("nodeName"))


def _check_places(spec: Document) -> Iterator[Cause]:
    """Yields what is wrong with the nodes from which all devices of a slice can be reached."""
    if spec.get("nodeName") == "":
        detail = "must be either unset or set to a non-empty string"
        yield invalid("spec.nodeName", "", detail)
    yield from _check_node(spec, "spec")
    terms = (spec.get("nodeSelector") or {}).get("nodeSelectorTerms") or []
    if spec.get("nodeSelector") is not None and len(terms) != 1:
        detail = "must have exactly one node selector term"
        yield invalid("spec.nodeSelector.nodeSelectorTerms", terms, detail)
    for name in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(name) is False:
            yield invalid(f"spec.{name}", False, _TRUE)
    chosen = _chosen(spec, "nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
    if not chosen:
        yield required("spec", _ONE_PLACE)
    elif len(chosen) > 1:
        detail = f"{_ONE_PLACE}, but multiple fields are set"
        yield invalid("spec", f"{{{', '.join(chosen)}}}", detail)


def _chosen(holder: Document, *fields: str) -> list[str]:
    """Returns which ways of naming nodes are used, in backquotes."""
    used = (name for name in fields if holder.get(name) or holder.get(name) == {})
    return [f"`{name}`" for name in used]


def _check_node(holder: Document, path: str) -> Iterator[Cause]:
    if node := holder.get("nodeName"):
        yield from each(f"{path}.nodeName", node, names.dns1123_subdomain(node))
    if (selector := holder.get("nodeSelector")) is not None:
        yield from check_node_selector(selector, f"{path}.nodeSelector")


def _check_device(
    before: Mapping[str, Document], places: bool, device: Document, path: str
) -> Iterator[Cause]:
    old = before.get(name_of(device)) or {}
    yield from check_label(name_of(device), f"{path}.name")
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    yield from _check_bounds(attributes, len(capacity), path)
    where = f"{path}.attributes"
    for key, value in attributes.items():
        yield from check_qualified_name(key, where)
        yield from _check_attribute(value, f"{where}[{shortened(key, _MOST_KEY)}]")
    if capacity != (old.get("capacity") or {}):
        several = bool(device.get("allowMultipleAllocations"))
        for key, value in capacity.items():
            yield from check_qualified_name(key, f"{path}.capacity")
            name = shortened(key, _MOST_KEY)
            yield from check_capacity(value, f"{path}.capacity[{name}]", several=several)
    taints = device.get("taints") or ()
    if taints != (old.get("taints") or ()):
        yield from check_list(taints, _MOST_TAINTS, check_taint, f"{path}.taints")
    consumed, where = device.get("consumesCounters") or (), f"{path}.consumesCounters"
    yield from check_set(consumed, _MOST_CONSUMPTIONS, _check_consumption, where, _counter_set)
    yield from _check_device_places(device, path, places)
    yield from check_binding(device, path)


def _check_bounds(attributes: Mapping[str, Document], more: int, path: str) -> Iterator[Cause]:
    properties = len(attributes) + more
    if properties > _MOST_PROPERTIES:
        detail = "the total number of attributes and capacities must not exceed"
        yield invalid(path, properties, f"{detail} {_MOST_PROPERTIES}")


def _check_device_places(device: Document, path: str, places: bool) -> Iterator[Cause]:
    if not places:
        if any(device.get(name) is not None for name in ("nodeName", "nodeSelector", "allNodes")):
            yield invalid(path, None, _NO_DEVICE_PLACE)
        return
    if device.get("nodeName") == "":
        yield invalid(f"{path}.nodeName", "", "must not be empty")
    yield from _check_node(device, path)
    if device.get("allNodes") is False:
        yield invalid(f"{path}.allNodes", False, _TRUE)
    chosen = _chosen(device, "nodeName", "nodeSelector", "allNodes")
    if not chosen:
        yield required(path, _ONE_DEVICE_PLACE)
    elif len(chosen) > 1:
        yield invalid(path, f"{{{', '.join(chosen)}}}", _ONE_DEVICE_PLACE)


def _check_attribute(attribute: Document, path: str) -> Iterator[Cause]:
    if (text := attribute.get("string")) is not None:
        yield from _check_length(text, f"{path}.string")
    if (version := attribute.get("version")) is not None:
        if not _VERSION.fullmatch(version):
            detail = "must be a string compatible with semver.org spec 2.0.0"
            yield invalid(f"{path}.version", version, detail)
        yield from _check_length(version, f"{path}.version")
    given = [name for name in _VALUES if attribute.get(name) is not None]
    known = ", ".join(f"`{name}`" for name in _MEMBERS)
    if not given:
        yield invalid(path, "", f"must specify one of: {known}")
    elif len(given) > 1:
        yield invalid(path, f"{{{', '.join(given)}}}", f"must specify exactly one of: {known}")


def _check_length(text: str, path: str) -> Iterator[Cause]:
    if len(text.encode()) > _MOST_VALUE_BYTES:
        yield too_long(path, _MOST_VALUE_BYTES)


def _counter_set(consumption: Document) -> str:
    return str(consumption.get("counterSet") or "")


def _check_counter_set(counters: Document, path: str) -> Iterator[Cause]:
    yield from check_needed_label(name_of(counters), f"{path}.name")
    yield from _check_counters(counters, path)


def _check_consumption(consumption: Document, path: str) -> Iterator[Cause]:
    yield from check_needed_label(_counter_set(consumption), f"{path}.counterSet")
    yield from _check_counters(consumption, path)


def _check_counters(holder: Document, path: str) -> Iterator[Cause]:
    counters: Sequence[str] = tuple(holder.get("counters") or {})
    if not counters:
        yield required(f"{path}.counters")
    elif len(counters) > _MOST_COUNTERS:
        yield too_many(f"{path}.counters", len(counters), _MOST_COUNTERS)
    else:
        for name in counters:
            yield from check_label(name, f"{path}.counters")


def shortened(text: str, most: int) -> str:
    """Returns a text with its middle cut out where it is longer than `most`."""
    if len(text) <= most:
        return text
    remaining = most - 3
    return f"{text[: (remaining + 1) // 2]}...{text[-(remaining // 2) :]}"
