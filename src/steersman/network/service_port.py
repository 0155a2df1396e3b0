"""One port of a Service as rules need it: where it is reached, by whom, and what stands behind it.

Values only; who makes them of Services and EndpointSlices is the proxy.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Literal

import msgspec

Protocol = Literal["tcp", "udp", "sctp"]


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """Where a connection goes."""

    address: IPv4Address
    port: int


class ServicePort(msgspec.Struct, frozen=True):
    """One port of a Service.

    addresses:  the cluster's own
    endpoints:  all of them, on whatever node, or those near where hints say which are
    node_port:  reached on every address of the node; 0: not
    external:   addresses that the Service names itself
    balanced:   addresses that a load balancer gave it
    inside:     the endpoints for cluster addresses where these are not all (internalTrafficPolicy)
    outside:    those for all other ways, asked from beyond the cluster (externalTrafficPolicy)
    sources:    who may ask at balanced addresses; None: everybody
    affinity_seconds: how long a client stays with its endpoint; 0: not at all
    """

    key: str
    protocol: Protocol
    port: int
    addresses: tuple[IPv4Address, ...]
    endpoints: tuple[Endpoint, ...]
    node_port: int = 0
    external: tuple[IPv4Address, ...] = ()
    balanced: tuple[IPv4Address, ...] = ()
    inside: tuple[Endpoint, ...] | None = None
    outside: tuple[Endpoint, ...] | None = None
    sources: tuple[IPv4Network, ...] | None = None
    affinity_seconds: int = 0

    @property
    def reached(self) -> tuple[Endpoint, ...]:
        """All endpoints that some way leads to."""
        if self.inside is None and self.outside is None:
            return self.endpoints
        return tuple(sorted({*self.endpoints, *(self.inside or ()), *(self.outside or ())}))
