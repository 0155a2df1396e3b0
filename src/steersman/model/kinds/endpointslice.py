"""EndpointSlice: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from steersman.model import names
from steersman.model.causes import duplicate, each, immutable, invalid, one_of, required, too_many
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME, listed, text
from steersman.model.types.address_check import check_not_special, is_ipv4, is_ipv6
from steersman.model.types.container_check import PROTOCOLS
from steersman.model.types.metadata import check_metadata
from steersman.model.types.reference import ObjectReference
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


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    kind = new.get("addressType", "")
    if old is not None:
        yield from immutable("addressType", kind, old.get("addressType", ""))
    yield from one_of("addressType", kind, _ADDRESS_TYPES)
    endpoints = new.get("endpoints") or ()
    if len(endpoints) > _MOST_ENDPOINTS:
        yield too_many("endpoints", len(endpoints), _MOST_ENDPOINTS)
        return
    for index, endpoint in enumerate(endpoints):
        yield from _check_endpoint(endpoint, kind, f"endpoints[{index}]")
    yield from _check_ports(new.get("ports") or ())


def _check_endpoint(endpoint: Document, kind: str, path: str) -> Iterator[Cause]:
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        yield required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > _MOST_ADDRESSES:
        yield too_many(f"{path}.addresses", len(addresses), _MOST_ADDRESSES)
    for index, address in enumerate(addresses):
        yield from _check_address(address, kind, f"{path}.addresses[{index}]")
    if (node := endpoint.get("nodeName")) is not None:
        yield from each(f"{path}.nodeName", node, names.dns1123_subdomain(node))
    if (hostname := endpoint.get("hostname")) is not None:
        yield from each(f"{path}.hostname", hostname, names.dns1123_label(hostname))


def _check_address(address: str, kind: str, path: str) -> Iterator[Cause]:
    if kind == "FQDN":
        yield from each(path, address, names.dns1123_subdomain(address))
    elif kind == "IPv4" and not is_ipv4(address):
        yield invalid(path, address, "must be a valid IPv4 address")
    elif kind == "IPv6" and not is_ipv6(address):
        yield invalid(path, address, "must be a valid IPv6 address")
    elif kind in ("IPv4", "IPv6"):
        yield from check_not_special(path, address)


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


ENDPOINTSLICE = Kind(
    group="discovery.k8s.io",
    name="EndpointSlice",
    plural="endpointslices",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.discovery.v1.EndpointSlice"),),
    storage="v1",
    columns=_COLUMNS,
    check=_check,
    view=EndpointSlice,
    spec_fields=("endpoints", "ports", "addressType"),
    complete=True,
)
