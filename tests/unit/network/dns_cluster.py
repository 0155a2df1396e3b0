"""Services and slices as DNS tests write them, and the names they give."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import msgspec

from steersman.model.kinds.endpointslice import EndpointSlice
from steersman.model.kinds.service import Service
from steersman.network.dns import followed
from steersman.network.dns.zone import Zone
from steersman.wire import dns
from steersman.wire.dns import Message, Question

ZONE = Zone(
    "cluster.local",
    IPv4Address("10.96.0.10"),
    (IPv4Network("10.244.0.0/16"), IPv4Network("10.96.0.0/16")),
    7,
)


def service(name: str, namespace: str = "default", **spec: Any) -> Service:
    document = {
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 80}], **spec},
    }
    return msgspec.convert(document, Service)


def endpoint(*addresses: str, hostname: str | None = None, **conditions: bool) -> dict[str, Any]:
    found = {"addresses": list(addresses), "conditions": conditions}
    return {**found, **({"hostname": hostname} if hostname else {})}


def slice_of(name: str, *endpoints: dict[str, Any], **fields: Any) -> EndpointSlice:
    labels = {"kubernetes.io/service-name": name}
    document = {
        "metadata": {"namespace": "default", "name": f"{name}-1", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": list(endpoints),
        **fields,
    }
    return msgspec.convert(document, EndpointSlice)


class ListedNames:
    """See `zone.Names`: by looking through everything."""

    def __init__(self, *objects: Service | EndpointSlice) -> None:
        self._services = [it for it in objects if isinstance(it, Service)]
        self._slices = [it for it in objects if isinstance(it, EndpointSlice)]

    def service(self, namespace: str, name: str) -> Service | None:
        return next((it for it in self._services if it.key == (namespace, name)), None)

    def slices(self, namespace: str, name: str) -> Iterable[EndpointSlice]:
        return [it for it in self._slices if f"{namespace}/{name}" in followed.service_of(it)]

    def has_namespace(self, namespace: str) -> bool:
        return any(it.metadata.namespace == namespace for it in self._services)

    def services_at(self, address: str) -> Iterable[Service]:
        return [it for it in self._services if address in followed.cluster_addresses(it)]

    def slices_with(self, address: str) -> Iterable[EndpointSlice]:
        return [it for it in self._slices if address in followed.endpoint_addresses(it)]


WEB = service("web", clusterIP="10.96.0.20")
BOTH = service(
    "both",
    clusterIP="10.96.0.21",
    clusterIPs=["10.96.0.21", "fd00::21"],
    ports=[
        {"name": "http", "port": 80},
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53},
    ],
)
HEADLESS = service("peers")
PEERS = slice_of(
    "peers",
    endpoint("10.244.0.5", hostname="peer-0", ready=True),
    endpoint("10.244.0.6", ready=True),
    endpoint("10.244.0.7", hostname="peer-2", ready=False),
)
ELSEWHERE = service("far", type="ExternalName", clusterIP="", externalName="Example.org.")
NEAR = service(
    "near", type="ExternalName", clusterIP="", externalName="web.default.svc.cluster.local"
)
WEB_SLICE = slice_of("web", endpoint("10.244.0.8", ready=True))
NAMES = ListedNames(WEB, BOTH, HEADLESS, PEERS, ELSEWHERE, NEAR, WEB_SLICE)


def query(name: str, kind: int = dns.A, **fields: Any) -> Message:
    return Message(1, (Question(name, kind),), recursion_desired=True, **fields)
