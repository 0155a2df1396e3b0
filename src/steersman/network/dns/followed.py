"""The names that Services and EndpointSlices give, read from the followed copies of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from steersman.client.interface import View, Views
from steersman.model.kinds.endpointslice import ENDPOINTSLICE, EndpointSlice
from steersman.model.kinds.service import SERVICE, Service

SERVICE_NAME = "kubernetes.io/service-name"
BY_SERVICE, BY_ADDRESS = "service", "address"


class FollowedNames:
    """See `zone.Names`."""

    def __init__(self, views: Views) -> None:
        self._services: View = views.of(SERVICE)
        self._slices: View = views.of(ENDPOINTSLICE)
        self._services.index(BY_ADDRESS, cluster_addresses)
        self._slices.index(BY_ADDRESS, endpoint_addresses)
        self._slices.index(BY_SERVICE, service_of)

    @property
    def revision(self) -> int:
        """How far the copies have come."""
        return max(self._services.revision, self._slices.revision)

    def service(self, namespace: str, name: str) -> Service | None:
        """Returns a Service."""
        found: Service | None = self._services.get(SERVICE.ref(namespace, name))
        return found

    def slices(self, namespace: str, name: str) -> Iterable[EndpointSlice]:
        """Returns the slices of a Service, in the order of their names."""
        found = self._slices.by(BY_SERVICE, f"{namespace}/{name}")
        return sorted(found, key=lambda it: it.key)

    def has_namespace(self, namespace: str) -> bool:
        """Says whether a namespace has a Service."""
        return any(True for _ in self._services.list(namespace))

    def services_at(self, address: str) -> Iterable[Service]:
        """Returns the Services with a cluster address."""
        return self._services.by(BY_ADDRESS, address)

    def slices_with(self, address: str) -> Iterable[EndpointSlice]:
        """Returns the slices that have an endpoint with an address."""
        return self._slices.by(BY_ADDRESS, address)


def cluster_addresses(service: Service) -> Iterator[str]:
    """Yields a Service's addresses, for the index."""
    yield from dict.fromkeys(service.spec.cluster_ips or (service.spec.cluster_ip,))


def endpoint_addresses(found: EndpointSlice) -> Iterator[str]:
    """Yields the addresses of a slice's endpoints, for the index."""
    yield from {address for endpoint in found.endpoints for address in endpoint.addresses}


def service_of(found: EndpointSlice) -> tuple[str, ...]:
    """Returns the key of the Service that a slice belongs to, for the index."""
    name = found.metadata.labels.get(SERVICE_NAME)
    return (f"{found.metadata.namespace}/{name}",) if name else ()
