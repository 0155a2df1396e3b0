"""The `kube-dns` Service in `kube-system` and the endpoints behind it: the node's own DNS server.

Name, labels, address and ports are those of kubeadm's addon, which scripts and charts look for. It
has no selector, since no pod answers; one that has is somebody's own server and is left alone.
"""

from __future__ import annotations

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
    meta = {"name": NAME, "namespace": NAMESPACE}
    served = [("dns", "UDP"), ("dns-tcp", "TCP")]
    ports = [_port(name, protocol, PORT, port) for name, protocol in served]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**meta, "labels": labels},
        "spec": {
            "clusterIP": service_address,
            "clusterIPs": [service_address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [*ports, _port("metrics", "TCP", METRICS, METRICS)],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    }
    behind = [{"name": name, "port": port, "protocol": protocol} for name, protocol in served]
    skip = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    endpoints = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {**meta, "labels": skip},
        "subsets": [{"addresses": [{"ip": host}], "ports": behind}] if host else [],
    }
    endpoint_slice = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**meta, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}}] if host else [],
        "ports": behind,
    }
    return [service, endpoints, endpoint_slice]


def _port(name: str, protocol: str, port: int, target: int) -> Document:
    return {"name": name, "protocol": protocol, "port": port, "targetPort": target}


def check_vacant(service: Document | None, holder: Document | None) -> bool:
    """Says whether the server may be the cluster's DNS: the Service is not there or ours, and its
    address (as an IPAddress object) nobody else's."""
    if service is not None:
        return not (service.get("spec") or {}).get("selector")
    parent = ((holder or {}).get("spec") or {}).get("parentRef") or {}
    return holder is None or (parent.get("namespace"), parent.get("name")) == (NAMESPACE, NAME)
