"""Keeps a node's service rules in step with Services and their endpoints.

Follows the API, renders everything anew after a change, applies it in one transaction; what comes
while a transaction runs is in the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Protocol, get_args

from steersman.client.interface import View, Views
from steersman.model.kinds.endpointslice import ENDPOINTSLICE, EndpointSlice
from steersman.model.kinds.service import SERVICE, Service
from steersman.model.kinds.service import ServicePort as Port
from steersman.network import rules
from steersman.network.dns.followed import BY_SERVICE, service_of
from steersman.network.rules import Endpoint, ServicePort

# A Service with this label is left to the proxy that the label names
OTHER_PROXY = "service.kubernetes.io/service-proxy-name"


class Applies(Protocol):
    """Who applies rule text (`network.nft.Rules`)."""

    async def apply(self, text: str) -> None:
        """Applies a text as a whole or not at all."""


class Proxy:
    """See the module."""

    def __init__(
        self, cluster: str, bridge: str, pods: IPv4Network, views: Views, applies: Applies
    ) -> None:
        self._cluster = cluster
        self._bridge = bridge
        self._pods = pods
        self._views = views
        self._applies = applies
        self._services: View = views.of(SERVICE)
        self._slices: View = views.of(ENDPOINTSLICE)
        self._slices.index(BY_SERVICE, service_of)
        self._changed = asyncio.Event()
        self.applied = ""

    async def run(self) -> None:
        """Works for ever; raises RulesRefused where the kernel does not take the rules."""
        await self._views.synced()
        leave = [view.listen(self._hear) for view in (self._services, self._slices)]
        self._changed.set()
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._apply()
        finally:
            for out in leave:
                out()

    def _hear(self, _old: object, _new: object) -> None:
        self._changed.set()

    async def _apply(self) -> None:
        text = rules.render(self._cluster, self._bridge, self._pods, self._ports())
        if text != self.applied:
            await self._applies.apply(text)
            self.applied = text

    def _ports(self) -> Iterator[ServicePort]:
        for service in self._services.list():
            yield from plan_ports(service, self._slices.by(BY_SERVICE, _key(service)))


def _key(service: Service) -> str:
    return f"{service.metadata.namespace}/{service.metadata.name}"


def plan_ports(service: Service, slices: Iterable[EndpointSlice]) -> Iterator[ServicePort]:
    """Yields the ports of a Service with the endpoints behind them.

    One that is headless, an ExternalName, or another proxy's has none (kube-proxy
    ShouldSkipService).
    """
    if service.spec.type == "ExternalName" or OTHER_PROXY in service.metadata.labels:
        return
    cluster_address = parse_address(service.spec.cluster_ip)
    if cluster_address is None:
        return
    addresses = tuple(dict.fromkeys((cluster_address, *_external_addresses(service))))
    slices = tuple(slices)
    for port in service.spec.ports:
        protocol = port.protocol.lower()
        if protocol not in get_args(rules.Protocol):
            continue
        yield ServicePort(
            key=f"{_key(service)}:{port.name}:{protocol}:{port.port}",
            protocol=protocol,  # type: ignore[arg-type]
            port=port.port,
            addresses=addresses,
            endpoints=tuple(sorted(set(_endpoints(slices, port)))),
            node_port=port.node_port or 0,
        )


def _external_addresses(service: Service) -> Iterator[IPv4Address]:
    for text in service.spec.external_ips:
        if (address := parse_address(text)) is not None:
            yield address
    for ingress in service.status.load_balancer.ingress:
        # With mode Proxy the balancer hands on to node ports itself (KEP-1860)
        address = parse_address(ingress.ip)
        if address is not None and ingress.ip_mode != "Proxy":
            yield address


def _endpoints(slices: Iterable[EndpointSlice], port: Port) -> Iterator[Endpoint]:
    """Yields the ready endpoints of a port; terminating ones that still serve stand in where none
    is ready (KEP-1669)."""
    ready, serving = [], []
    for found in slices:
        number = _number_of(found, port)
        if number is None or found.address_type != "IPv4":
            continue
        for endpoint in found.endpoints:
            address = parse_address(endpoint.addresses[0]) if endpoint.addresses else None
            if address is None:
                continue
            conditions = endpoint.conditions
            if conditions.ready is not False:
                ready.append(Endpoint(address, number))
            elif conditions.serving is not False and conditions.terminating:
                serving.append(Endpoint(address, number))
    yield from ready or serving


def _number_of(found: EndpointSlice, port: Port) -> int | None:
    """Returns the number that a Service's port has at the endpoints of a slice."""
    wanted = (port.name, port.protocol)
    return next((one.port for one in found.ports if (one.name, one.protocol) == wanted), None)


def parse_address(text: str) -> IPv4Address | None:
    """Returns an IPv4 address, None for anything else (`None`, IPv6, names)."""
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None
