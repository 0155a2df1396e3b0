"""Endpoints: its view and its life in the API."""

from __future__ import annotations

from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME, NONE, listed
from steersman.model.types.reference import ObjectReference
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

ENDPOINTS = Kind(
    group="",
    name="Endpoints",
    plural="endpoints",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.Endpoints"),),
    storage="v1",
    short_names=("ep",),
    columns=_COLUMNS,
    view=Endpoints,
    complete=True,
    create_on_update=True,
)
