"""The `kube-dns` Service in `kube-system` and the endpoints behind it: the node's own DNS server.

Name, labels, address and ports are those of kubeadm's addon, which scripts and charts look for. It
has no selector, since no pod answers; one that has is somebody's own server and is left alone.
"""

from __future__ import annotations

from steersman.api.bootstrap import service_documents
from steersman.model.kind import Document

NAME = "kube-dns"
NAMESPACE = "kube-system"
PORT = 53
METRICS = 9153


def documents(service_address: str, host: str, port: int) -> list[Document]:
    """Returns the Service, its Endpoints and its EndpointSlice; without a host nobody answers."""
    labels = {
        "k8s-app": NAME,
        "kubernetes.io/cluster-service": "true",
        "kubernetes.io/name": "CoreDNS",
    }
    metadata = {"name": NAME, "namespace": NAMESPACE, "labels": labels}
    served = [("dns", "UDP"), ("dns-tcp", "TCP")]
    ports = [service_documents.port(name, protocol, PORT, port) for name, protocol in served]
    ports.append(service_documents.port("metrics", "TCP", METRICS, METRICS))
    behind = [{"name": name, "port": port, "protocol": protocol} for name, protocol in served]
    return service_documents.documents(metadata, service_address, ports, host, behind)


def check_vacant(service: Document | None, holder: Document | None) -> bool:
    """Says whether the server may be the cluster's DNS: the Service is not there or ours, and its
    address (as an IPAddress object) nobody else's."""
    if service is not None:
        return not (service.get("spec") or {}).get("selector")
    parent = ((holder or {}).get("spec") or {}).get("parentRef") or {}
    return holder is None or (parent.get("namespace"), parent.get("name")) == (NAMESPACE, NAME)
