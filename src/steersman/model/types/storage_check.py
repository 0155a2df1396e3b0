"""What is checked of classes of storage and of the objects of CSI drivers
(pkg/apis/storage/validation)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from steersman.model import names
from steersman.model.causes import (
    duplicate,
    each,
    immutable,
    invalid,
    not_negative,
    not_supported,
    required,
    too_long,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.persistent_sources import check_driver_name

_MOST_PARAMETERS: Final = 512
_MOST_PARAMETER_BYTES: Final = 256 * 1024
_MOST_NODE_ID_BYTES: Final = 256
_LEAST_TOKEN_SECONDS: Final = 600
_MOST_TOKEN_SECONDS: Final = 1 << 32
_LEAST_UPDATE_SECONDS: Final = 10
_GROUP_POLICIES: Final = ("File", "None", "ReadWriteOnceWithFSType")
_LIFECYCLE_MODES: Final = ("Persistent", "Ephemeral")
_FLAGS: Final = ("attachRequired", "podInfoOnMount", "storageCapacity")


def check_provisioner(name: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the name of what provides storage."""
    if not name:
        yield required(path)
    else:
        yield from each(path, name.lower(), names.qualified_name(name.lower()))


def check_parameters(
    parameters: Mapping[str, str], path: str, *, may_be_empty: bool
) -> Iterator[Cause]:
    """Yields what is wrong with the parameters of a class."""
    if len(parameters) > _MOST_PARAMETERS:
        yield too_long(path, _MOST_PARAMETERS)
        return
    if "" in parameters:
        yield invalid(path, "", "field can not be empty.")
    if map_bytes(parameters) > _MOST_PARAMETER_BYTES:
        yield too_long(path, _MOST_PARAMETER_BYTES)
    if not may_be_empty and not parameters:
        yield required(path, "must contain at least one key/value pair")


def map_bytes(found: Mapping[str, str]) -> int:
    """Returns the bytes of all keys and values."""
    return sum(len(key.encode()) + len(value.encode()) for key, value in found.items())


def check_topologies(terms: Sequence[Document], path: str) -> Iterator[Cause]:
    """Yields what is wrong with the topologies that a class allows."""
    # upstream begins with as many empty terms, so that an empty one is always there already
    seen: list[dict[str, set[str]]] = [{} for _ in terms]
    for index, term in enumerate(terms):
        found: dict[str, set[str]] = {}
        where = f"{path}[{index}].matchLabelExpressions"
        for position, one in enumerate(term.get("matchLabelExpressions") or ()):
            yield from _check_topology(one, found, f"{where}[{position}]")
        for _ in range(seen.count(found)):
            yield duplicate(where, "")
        seen.append(found)


def _check_topology(one: Document, found: dict[str, set[str]], path: str) -> Iterator[Cause]:
    key, values = one.get("key", ""), one.get("values") or ()
    if not values:
        yield required(f"{path}.values")
    for index, value in enumerate(values):
        if value in values[:index]:
            yield duplicate(f"{path}.values[{index}]", value)
    yield from each(f"{path}.key", key, names.qualified_name(key))
    if key in found:
        yield duplicate(f"{path}.key", key)
    found[key] = set(values)


def check_driver(spec: Document) -> Iterator[Cause]:
    """Yields what is wrong with the spec of a CSIDriver whose defaults are set."""
    for name in _FLAGS:
        if spec.get(name) is None:
            yield required(_driver_path(name))
    policy = spec.get("fsGroupPolicy")
    if policy is not None and policy not in _GROUP_POLICIES:
        yield not_supported("spec.fsGroupPolicy", policy, _GROUP_POLICIES)
    requests = spec.get("tokenRequests") or ()
    yield from _check_tokens(requests, "spec.tokenRequests")
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in _LIFECYCLE_MODES:
            yield not_supported("spec.volumeLifecycleModes", mode, _LIFECYCLE_MODES)
    if spec.get("seLinuxMount") is None:
        yield required("spec.seLinuxMount")
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < _LEAST_UPDATE_SECONDS:
        detail = f"must be greater than or equal to {_LEAST_UPDATE_SECONDS} seconds"
        yield invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, detail)
    in_secrets = spec.get("serviceAccountTokenInSecrets")
    if in_secrets is not None and not requests:
        detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        yield invalid("spec.serviceAccountTokenInSecrets", in_secrets, detail)


def _driver_path(name: str) -> str:
    # upstream's path of this one differs from its name
    return "spec.attachedRequired" if name == "attachRequired" else f"spec.{name}"


def _check_tokens(requests: Sequence[Document], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, one in enumerate(requests):
        audience, seconds = one.get("audience", ""), one.get("expirationSeconds")
        if audience in seen:
            yield duplicate(f"{path}[{index}].audience", audience)
            continue
        seen.add(audience)
        where = f"{path}[{index}].expirationSeconds"
        if seconds is not None and seconds < _LEAST_TOKEN_SECONDS:
            yield invalid(where, seconds, "may not specify a duration less than 10 minutes")
        if seconds is not None and seconds > _MOST_TOKEN_SECONDS:
            yield invalid(where, seconds, "may not specify a duration larger than 2^32 seconds")


def check_driver_change(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what an update changes of a CSIDriver and may not."""
    for name in ("attachRequired", "volumeLifecycleModes"):
        if new.get(name) != old.get(name):
            yield from immutable(_driver_path(name), new.get(name), old.get(name))


def check_node_drivers(drivers: Sequence[Document]) -> Iterator[Cause]:
    """Yields what is wrong with the drivers of a CSINode."""
    seen: set[str] = set()
    for index, driver in enumerate(drivers):
        path, name = f"spec.drivers[{index}]", driver.get("name", "")
        yield from check_driver_name(name, f"{path}.name")
        node_id = driver.get("nodeID", "")
        if not node_id:
            yield required(f"{path}.nodeID")
        if len(node_id.encode()) > _MOST_NODE_ID_BYTES:
            detail = f"must be {_MOST_NODE_ID_BYTES} characters or less"
            yield invalid(f"{path}.nodeID", node_id, detail)
        count = (driver.get("allocatable") or {}).get("count")
        yield from not_negative(f"{path}.allocatable.count", count)
        if name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)
        yield from _check_topology_keys(driver.get("topologyKeys") or (), path)


def _check_topology_keys(keys: Sequence[str], path: str) -> Iterator[Cause]:
    for index, key in enumerate(keys):
        if not key:
            yield required(path)
        if key in keys[:index]:
            yield duplicate(path, key)
        yield from each(path, key, names.qualified_name(key))


def check_node_change(new: Sequence[Document], old: Sequence[Document]) -> Iterator[Cause]:
    """Yields which of the drivers of a CSINode have changed in more than what is allocatable."""
    fixed: dict[str, Any] = {one.get("name", ""): _fixed(one) for one in old}
    for driver in new:
        before = fixed.get(driver.get("name", ""))
        if before is not None:
            yield from immutable("spec.drivers", _fixed(driver), before)


def _fixed(driver: Document) -> Document:
    # as Go's internal type of it prints
    return {
        "Name": driver.get("name", ""),
        "NodeID": driver.get("nodeID", ""),
        "TopologyKeys": driver.get("topologyKeys"),
        "Allocatable": None,
    }
