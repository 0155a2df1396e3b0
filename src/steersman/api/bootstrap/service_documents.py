"""A Service that the server itself writes, and the endpoints of the one host behind it."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.model.kind import Document


def port(name: str, protocol: str, number: int, target: int) -> Document:
    """Returns a Service's port."""
    return {"name": name, "protocol": protocol, "port": number, "targetPort": target}


def documents(
    metadata: Document,
    address: str,
    ports: Sequence[Document],
    host: str,
    behind: Sequence[Document],
) -> list[Document]:
    """Returns the Service, its Endpoints and its EndpointSlice; without a host nobody answers.

    `metadata` has the Service's name, namespace and labels, `behind` the endpoints' ports.
    """
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": list(ports),
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    }
    skip = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    endpoints = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {**metadata, "labels": skip},
        "subsets": [{"addresses": [{"ip": host}], "ports": list(behind)}] if host else [],
    }
    endpoint_slice = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": metadata["name"]}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}}] if host else [],
        "ports": list(behind),
    }
    return [service, endpoints, endpoint_slice]
