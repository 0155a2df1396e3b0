"""EndpointSlice: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from steersman.model import names
from steersman.model.causes import (
    declared_immutable,
    duplicate,
    each,
    invalid,
    one_of,
    required,
    too_many,
)
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer, without
from steersman.model.kinds.printing import AGE, NAME, at, listed, text
from steersman.model.types.address_check import (
    check_ip,
    check_not_special,
    ip_warnings,
    is_ipv4,
    is_ipv6,
)
from steersman.model.types.container_check import PROTOCOLS
from steersman.model.types.metadata import check_metadata
from steersman.model.types.reference import ObjectReference
from steersman.model.types.warnings import warner
from steersman.model.view import Object, View


class EndpointConditions(View, frozen=True):
    """The state of an endpoint; None means unknown (ready and serving count as true)."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class HintTarget(View, frozen=True):
    """A zone or node for which an endpoint is meant."""

    name: str = ""


class EndpointHints(View, frozen=True):
    """Where an endpoint should be used from."""

    for_zones: tuple[HintTarget, ...] = ()
    for_nodes: tuple[HintTarget, ...] = ()


class Endpoint(View, frozen=True):
    """One endpoint; its addresses are those of one pod."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    hostname: str | None = None
    target_ref: ObjectReference | None = None
    node_name: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None
    deprecated_topology: Mapping[str, str] = {}


class SlicePort(View, frozen=True):
    """A port of all endpoints; port None: all ports."""

    name: str = ""
    protocol: str = "TCP"
    port: int | None = None
    app_protocol: str | None = None


class EndpointSlice(Object, frozen=True):
    """discovery.k8s.io/v1 EndpointSlice."""

    address_type: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[SlicePort, ...] = ()


def _ports(document: Document, _now: float) -> str:
    found = []
    for port in document.get("ports") or ():
        named = port.get("name", "*")
        found.append(str(port["port"]) if "port" in port else named)
    return listed(found, len(found))


def _endpoints(document: Document, _now: float) -> str:
    endpoints = document.get("endpoints") or ()
    found = [address for one in endpoints for address in one.get("addresses") or ()]
    return listed(found, len(found))


_COLUMNS = (
    NAME,
    text("AddressType", "addressType"),
    Column("Ports", _ports),
    Column("Endpoints", _endpoints),
    AGE,
)

_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_MOST_ENDPOINTS = 1000
_MOST_PORTS = 20000
_MOST_ADDRESSES = 100
_MOST_HINTS = 8
_FAMILIES: Mapping[str, Callable[[str], bool]] = {"IPv4": is_ipv4, "IPv6": is_ipv6}
_TOPOLOGY = "deprecatedTopology"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
# who writes slices with addresses of one form only
_CONTROLLERS = (
    "endpointslice-controller.k8s.io",
    "endpointslicemirroring-controller.k8s.io",
)


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    kind = new.get("addressType", "")
    endpoints = new.get("endpoints") or ()
    problems = list(_check_endpoints(endpoints, kind))
    if problems and (old is None or old.get("endpoints") != endpoints):
        yield from problems  # those that were accepted once may stay
    yield from _check_ports(new.get("ports") or ())
    # declared by upstream's types: told last
    if old is not None:
        yield from declared_immutable("addressType", kind, old.get("addressType", ""))
    yield from one_of("addressType", kind, _ADDRESS_TYPES)
    is_known = old is not None and old.get("endpoints") == endpoints
    for index, endpoint in enumerate(() if is_known else endpoints[:_MOST_ENDPOINTS]):
        path, addresses = f"endpoints[{index}].addresses", endpoint.get("addresses") or ()
        if not addresses:
            yield required(path)
        elif len(addresses) > _MOST_ADDRESSES:
            yield too_many(path, len(addresses), _MOST_ADDRESSES)


def _check_endpoints(endpoints: Sequence[Document], kind: str) -> Iterator[Cause]:
    if len(endpoints) > _MOST_ENDPOINTS:
        yield too_many("endpoints", len(endpoints), _MOST_ENDPOINTS)
        return
    for index, endpoint in enumerate(endpoints):
        yield from _check_endpoint(endpoint, kind, f"endpoints[{index}]")


def _check_endpoint(endpoint: Document, kind: str, path: str) -> Iterator[Cause]:
    addresses = endpoint.get("addresses") or ()
    for index, address in enumerate(addresses):
        yield from _check_address(address, kind, f"{path}.addresses[{index}]")
    if (node := endpoint.get("nodeName")) is not None:
        yield from each(f"{path}.nodeName", node, names.dns1123_subdomain(node))
    if (hostname := endpoint.get("hostname")) is not None:
        yield from each(f"{path}.hostname", hostname, names.dns1123_label(hostname))
    hints = endpoint.get("hints") or {}
    for field, check in (("forZones", names.label_value), ("forNodes", names.dns1123_subdomain)):
        where, listed = f"{path}.hints.{field}", hints.get(field) or ()
        if len(listed) > _MOST_HINTS:
            yield too_many(where, len(listed), _MOST_HINTS)
            return
        yield from _check_hints([one.get("name", "") for one in listed], check, where)


def _check_hints(targets: list[str], check: names.Check, path: str) -> Iterator[Cause]:
    for index, name in enumerate(targets):
        if name in targets[:index]:
            yield duplicate(f"{path}[{index}].name", name)
        yield from each(f"{path}[{index}].name", name, check(name))


def _check_address(address: str, kind: str, path: str) -> Iterator[Cause]:
    if kind == "FQDN":
        yield from _check_domain(address, path)
    elif kind in _FAMILIES:
        problems = list(check_ip(path, address))
        if not problems and not _FAMILIES[kind](address):
            problems = [invalid(path, address, f"must be an {kind} address")]
        yield from problems or check_not_special(path, address)


def _check_domain(name: str, path: str) -> Iterator[Cause]:
    """Checks a name of two segments at least (IsFullyQualifiedDomainName)."""
    if not name:
        yield required(path)
        return
    name = name.removesuffix(".")
    if problems := names.dns1123_subdomain(name):
        yield invalid(path, name, ",".join(problems))
    elif "." not in name:
        detail = "should be a domain with at least two segments separated by dots"
        yield invalid(path, name, detail)
    else:
        long = (label for label in name.split(".") if names.dns1123_label(label))
        for label in list(long)[:1]:
            yield invalid(path, label, ",".join(names.dns1123_label(label)))


def _check_ports(ports: Sequence[Document]) -> Iterator[Cause]:
    if len(ports) > _MOST_PORTS:
        yield too_many("ports", len(ports), _MOST_PORTS)
        return
    seen: set[str] = set()
    for index, port in enumerate(ports):
        where, name = f"ports[{index}]", port.get("name", "")
        if name:
            yield from each(f"{where}.name", name, names.dns1123_label(name))
        if name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)
        yield from one_of(f"{where}.protocol", port.get("protocol"), PROTOCOLS)
        if (number := port.get("port")) is not None:
            yield from each(f"{where}.port", number, names.port_number(number))
        if (protocol := port.get("appProtocol")) is not None:
            yield from each(f"{where}.appProtocol", protocol, names.qualified_name(protocol))


def _without_topology(new: Document, old: Document | None) -> Document:
    """Drops what v1 has no longer; endpoints that are as they were stay so (dropTopologyOnV1)."""
    endpoints = new.get("endpoints") or ()
    if not any(_TOPOLOGY in endpoint for endpoint in endpoints):
        return new
    if old is not None and old.get("endpoints") == endpoints:
        return new
    return {**new, "endpoints": [without(endpoint, _TOPOLOGY) for endpoint in endpoints]}


def _told(new: Document, old: Document | None) -> Iterator[str]:
    if old is None and new.get("addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"
    if at(new, "metadata", "labels", _MANAGED_BY) in _CONTROLLERS:
        return
    for index, endpoint in enumerate(new.get("endpoints") or ()):
        for position, address in enumerate(endpoint.get("addresses") or ()):
            yield from ip_warnings(f"endpoints[{index}].addresses[{position}]", address)


ENDPOINTSLICE = Kind(
    group="discovery.k8s.io",
    name="EndpointSlice",
    plural="endpointslices",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.discovery.v1.EndpointSlice"),),
    storage="v1",
    columns=_COLUMNS,
    check=_check,
    warn=warner(_told),
    prepare=preparer(_without_topology),
    view=EndpointSlice,
    spec_fields=("endpoints", "ports", "addressType"),
    spec_metadata=("labels",),
    complete=True,
)
