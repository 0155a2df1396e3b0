"""Endpoints: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steersman.model import names
from steersman.model.causes import each, one_of, required
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME, NONE, listed
from steersman.model.types.address_check import check_ip, check_not_special
from steersman.model.types.container_check import PROTOCOLS
from steersman.model.types.metadata import check_metadata
from steersman.model.types.reference import ObjectReference
from steersman.model.types.warnings import endpoints_told, warner
from steersman.model.view import Object, View


class EndpointAddress(View, frozen=True):
    """One address of an endpoint."""

    ip: str = ""
    hostname: str = ""
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class EndpointPort(View, frozen=True):
    """A port of all addresses of a subset."""

    port: int = 0
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None


class EndpointSubset(View, frozen=True):
    """Addresses with the same ports."""

    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Endpoints(Object, frozen=True):
    """core/v1 Endpoints."""

    subsets: tuple[EndpointSubset, ...] = ()


def _endpoints(endpoints: Document, _now: float) -> str:
    subsets = endpoints.get("subsets") or ()
    without_ports: tuple[Document, ...] = ({},)
    found = [
        _joined(address.get("ip", ""), port)
        for subset in subsets
        for port in subset.get("ports") or without_ports
        for address in subset.get("addresses") or ()
    ]
    return listed(found, len(found), empty="") if subsets else NONE


def _joined(address: str, port: Document) -> str:
    if not port:
        return address
    return f"[{address}]:{port['port']}" if ":" in address else f"{address}:{port['port']}"


_COLUMNS = (NAME, Column("Endpoints", _endpoints), AGE)


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    problems = list(_check_subsets(new.get("subsets") or ()))
    if problems and (old is None or old.get("subsets") != new.get("subsets")):
        yield from problems  # those that were accepted once may stay


def _check_subsets(subsets: Sequence[Document]) -> Iterator[Cause]:
    for index, subset in enumerate(subsets):
        where, sides = f"subsets[{index}]", ("addresses", "notReadyAddresses")
        if not any(subset.get(side) for side in sides):
            yield required(where, "must specify `addresses` or `notReadyAddresses`")
        for side in sides:
            for position, address in enumerate(subset.get(side) or ()):
                yield from _check_address(address, f"{where}.{side}[{position}]")
        ports = subset.get("ports") or ()
        for position, port in enumerate(ports):
            yield from _check_port(port, f"{where}.ports[{position}]", len(ports) > 1)


def _check_address(address: Document, path: str) -> Iterator[Cause]:
    ip = address.get("ip", "")
    yield from check_ip(f"{path}.ip", ip)
    if hostname := address.get("hostname"):
        yield from each(f"{path}.hostname", hostname, names.dns1123_label(hostname))
    if (node := address.get("nodeName")) is not None:
        yield from each(f"{path}.nodeName", node, names.dns1123_subdomain(node))
    yield from check_not_special(f"{path}.ip", ip)


def _check_port(port: Document, path: str, named: bool) -> Iterator[Cause]:
    name, number = port.get("name", ""), port.get("port", 0)
    if name:
        yield from each(f"{path}.name", name, names.dns1123_label(name))
    elif named:
        yield required(f"{path}.name")
    yield from each(f"{path}.port", number, names.port_number(number))
    yield from one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    if (protocol := port.get("appProtocol")) is not None:
        yield from each(f"{path}.appProtocol", protocol, names.qualified_name(protocol))


ENDPOINTS = Kind(
    group="",
    name="Endpoints",
    plural="endpoints",
    namespaced=True,
    versions=(
        Version(
            "v1",
            "io.k8s.api.core.v1.Endpoints",
            deprecation=(
                "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
            ),
            deprecated=33,
        ),
    ),
    storage="v1",
    short_names=("ep",),
    columns=_COLUMNS,
    check=_check,
    warn=warner(endpoints_told),
    view=Endpoints,
    complete=True,
    create_on_update=True,
)
