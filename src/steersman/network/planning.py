"""Services and EndpointSlices to ports with the endpoints behind them: pure, as kube-proxy has it.

ClusterIP, external and balanced addresses, traffic policies, hints, affinity. IPv4 alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import NamedTuple, get_args

from steersman.model.kinds.endpointslice import EndpointHints, EndpointSlice, HintTarget
from steersman.model.kinds.service import Service
from steersman.model.kinds.service import ServicePort as Port
from steersman.network.service_port import Endpoint, Protocol, ServicePort

# A Service with this label is left to the proxy that the label names
OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
AFFINITY_SECONDS = 10800  # DefaultClientIPServiceAffinitySeconds
NO_HINTS = EndpointHints()


class Where(NamedTuple):
    """Whence a Service is asked: a node, and the zone that its label names."""

    node: str = ""
    zone: str = ""


class Health(NamedTuple):
    """What a load balancer hears of a Service at a port of the node: how many of its endpoints
    are here."""

    namespace: str
    name: str
    port: int
    endpoints: int


def key_of(service: Service) -> str:
    """Returns the key of a Service."""
    return f"{service.metadata.namespace}/{service.metadata.name}"


def is_served(service: Service) -> bool:
    """Says whether a Service is ours: one that is headless, an ExternalName, or another proxy's is
    not (kube-proxy ShouldSkipService)."""
    return (
        service.spec.type != "ExternalName"
        and OTHER_PROXY not in service.metadata.labels
        and parse_address(service.spec.cluster_ip) is not None
    )


def plan_ports(
    service: Service, slices: Iterable[EndpointSlice], where: Where
) -> Iterator[ServicePort]:
    """Yields the ports of a Service with the endpoints behind them, seen from a node."""
    cluster_address = parse_address(service.spec.cluster_ip)
    if not is_served(service) or cluster_address is None:
        return
    spec = service.spec
    slices = tuple(slices)
    balanced, sources = _balanced(service)
    external = tuple(it for it in _parsed(spec.external_ips) if it != cluster_address)
    for port in spec.ports:
        protocol = port.protocol.lower()
        if protocol not in get_args(Protocol):
            continue
        found = tuple(_located(slices, port, where.node))
        every, here = _usable(_near(found, where)), _usable([it for it in found if it.here])
        yield ServicePort(
            key=f"{key_of(service)}:{port.name}:{protocol}:{port.port}",
            protocol=protocol,  # type: ignore[arg-type]
            port=port.port,
            addresses=(cluster_address,),
            endpoints=every,
            node_port=port.node_port or 0,
            external=tuple(dict.fromkeys(external)),
            balanced=tuple(it for it in balanced if it not in external),
            inside=here if spec.internal_traffic_policy == "Local" else None,
            outside=here if spec.external_traffic_policy == "Local" else None,
            sources=sources,
            affinity_seconds=_affinity(service),
        )


def plan_health(service: Service, slices: Iterable[EndpointSlice], node: str) -> Health | None:
    """Returns what the health check of a Service says on a node, None where it has none."""
    port = service.spec.health_check_node_port
    if not port or not is_served(service) or service.spec.type != "LoadBalancer":
        return None
    if service.spec.external_traffic_policy != "Local":
        return None
    here = {
        endpoint.address
        for it in plan_ports(service, slices, Where(node))
        for endpoint in it.outside or ()
    }
    return Health(service.metadata.namespace, service.metadata.name, port, len(here))


def plan_health_port(health: Health, gateway: IPv4Address) -> ServicePort:
    """Returns how a health check is reached: as a node port that leads to the node's own server."""
    endpoint = Endpoint(gateway, health.port)
    key = f"{health.namespace}/{health.name} health"
    return ServicePort(key, "tcp", health.port, (), (endpoint,), node_port=health.port)


class _Located(NamedTuple):
    endpoint: Endpoint
    here: bool
    ready: bool
    hints: EndpointHints


def _located(slices: Iterable[EndpointSlice], port: Port, node: str) -> Iterator[_Located]:
    """Yields the endpoints of a port that are ready, or end and serve yet."""
    for found in slices:
        number = _number_of(found, port)
        if number is None or found.address_type != "IPv4":
            continue
        for endpoint in found.endpoints:
            address = parse_address(endpoint.addresses[0]) if endpoint.addresses else None
            if address is None:
                continue
            conditions = endpoint.conditions
            ready = conditions.ready is not False
            if ready or (conditions.serving is not False and conditions.terminating):
                here, hints = endpoint.node_name == node, endpoint.hints or NO_HINTS
                yield _Located(Endpoint(address, number), here, ready, hints)


def _near(found: Sequence[_Located], where: Where) -> Sequence[_Located]:
    """Returns the endpoints that are meant for a node, or else for its zone, where each that is
    ready says for which it is meant; all of them where none is (topologyModeFromHints)."""
    ready = [it for it in found if it.ready]
    for meant, name in (
        ([it.hints.for_nodes for it in ready], where.node),
        ([it.hints.for_zones for it in ready], where.zone),
    ):
        own = [it for it, targets in zip(ready, meant, strict=True) if _names(targets, name)]
        if own and all(meant):
            return own
    return found


def _names(targets: tuple[HintTarget, ...], name: str) -> bool:
    return any(target.name == name for target in targets)


def _usable(found: Sequence[_Located]) -> tuple[Endpoint, ...]:
    """Returns the ready endpoints; terminating ones that still serve stand in where none is ready
    (KEP-1669)."""
    chosen = [it.endpoint for it in found if it.ready] or [it.endpoint for it in found]
    return tuple(sorted(set(chosen)))


def _balanced(
    service: Service,
) -> tuple[tuple[IPv4Address, ...], tuple[IPv4Network, ...] | None]:
    """Returns the addresses that a load balancer gave, and who may ask there."""
    # With mode Proxy the balancer hands on to node ports itself (KEP-1860)
    given = (it.ip for it in service.status.load_balancer.ingress if it.ip_mode != "Proxy")
    ranges = service.spec.load_balancer_source_ranges
    sources = tuple(net for text in ranges if (net := _parse_network(text.strip())) is not None)
    return tuple(dict.fromkeys(_parsed(given))), sources if ranges else None


def _affinity(service: Service) -> int:
    if service.spec.session_affinity != "ClientIP":
        return 0
    config = service.spec.session_affinity_config
    client = config.client_ip if config else None
    return client.timeout_seconds if client else AFFINITY_SECONDS


def _number_of(found: EndpointSlice, port: Port) -> int | None:
    """Returns the number that a Service's port has at the endpoints of a slice."""
    wanted = (port.name, port.protocol)
    return next((one.port for one in found.ports if (one.name, one.protocol) == wanted), None)


def _parsed(texts: Iterable[str]) -> Iterator[IPv4Address]:
    return (address for text in texts if (address := parse_address(text)) is not None)


def _parse_network(text: str) -> IPv4Network | None:
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        return None


def parse_address(text: str) -> IPv4Address | None:
    """Returns an IPv4 address, None for anything else (`None`, IPv6, names)."""
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None
