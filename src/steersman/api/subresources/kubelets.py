"""The way from the API server to the kubelets of nodes: found by Node.status, spoken to over TLS.

A node shows a certificate for its name, whatever its address is; the server shows its own.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable, Mapping
from typing import Any

from steersman.client.errors import Unreachable
from steersman.client.http import HTTPTransport, Target
from steersman.model.errors import APIError, BadRequest, not_found
from steersman.model.kind import Document
from steersman.model.local_path import SIMULATED
from steersman.model.ref import Ref, Resource

NODES = Resource("", "nodes")
DEFAULT_PORT = 10250
# Where several addresses are known, the first of these types (ours speaks to machines, not names)
PREFERRED = ("InternalIP", "ExternalIP", "Hostname")
# Go's words for why a connection cannot be made
_REFUSALS: Mapping[int, str] = {
    errno.ECONNREFUSED: "connect: connection refused",
    errno.EHOSTUNREACH: "connect: no route to host",
    errno.ENETUNREACH: "connect: network is unreachable",
}


class Undelivered(APIError):
    """A node could not be asked; upstream's status has no reason then."""

    code = 500
    reason = ""


class Kubelet:
    """One node's kubelet."""

    def __init__(self, place: str, transport: HTTPTransport) -> None:
        self.place = place
        self.transport = transport

    def explain(self, error: Unreachable) -> str:
        """Says in Go's words why the node could not be reached."""
        return explain(self.place, error)


def explain(place: str, error: Unreachable) -> str:
    """Says in Go's words why a place could not be reached."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = f"failed to verify certificate: x509: {cause.verify_message}"
        return f"tls: {why}"
    if isinstance(cause, OSError):
        number = cause.errno or 0
        return f"dial tcp {place}: {_REFUSALS.get(number, f'connect: {cause.strerror}')}"
    return f"dial tcp {place}: i/o timeout" if "in time" in str(error) else str(error)


class Kubelets:
    """Finds kubelets, and keeps a transport for each while its address stays the same.

    tls: makes the settings for a new transport, with the certificate as it is then; None where
         this server has none
    """

    def __init__(
        self, find: Callable[[Ref], Document | None], tls: Callable[[], ssl.SSLContext] | None
    ) -> None:
        self._find = find
        self._tls = tls
        self._known: dict[str, Kubelet] = {}

    def of(self, node: str) -> Kubelet:
        """Returns the kubelet of a node; raises NotFound, BadRequest, Undelivered."""
        document = self._find(Ref(NODES, "", node))
        if document is None:
            self._known.pop(node, None)
            raise not_found("", "nodes", node)
        if SIMULATED in (document["metadata"].get("labels") or {}):
            raise BadRequest(f'node "{node}" is simulated: there is no kubelet behind it to ask')
        address, port = locate(document)
        place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        known = self._known.get(node)
        if known is not None and known.place == place:
            return known
        if self._tls is None:
            raise Undelivered("this API server has no certificate to show to kubelets")
        target = Target(address, port, self._tls(), server_name=node)
        kubelet = self._known[node] = Kubelet(place, HTTPTransport(target))
        return kubelet


def locate(node: Document) -> tuple[str, int]:
    """Returns the address and port of a node's kubelet; raises Undelivered."""
    status: Mapping[str, Any] = node.get("status") or {}
    addresses = status.get("addresses") or ()
    endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
    for kind in PREFERRED:
        for address in addresses:
            if address.get("type") == kind and address.get("address"):
                return address["address"], endpoint.get("Port") or DEFAULT_PORT
    known = " ".join(f"{{{item.get('type')} {item.get('address')}}}" for item in addresses)
    raise Undelivered(f"no preferred addresses found; known addresses: [{known}]")
