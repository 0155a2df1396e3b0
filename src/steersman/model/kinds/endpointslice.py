"""EndpointSlice: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME, listed, text
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

ENDPOINTSLICE = Kind(
    group="discovery.k8s.io",
    name="EndpointSlice",
    plural="endpointslices",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.discovery.v1.EndpointSlice"),),
    storage="v1",
    columns=_COLUMNS,
    view=EndpointSlice,
    spec_fields=("endpoints", "ports", "addressType"),
    complete=True,
)
