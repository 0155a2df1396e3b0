"""The `kubernetes` Service in `default` and the endpoints behind it: the API server itself.

Its address is the first of the service range; certificates name it. After upstream's
pkg/controlplane/controller/kubernetesservice and reconcilers.
"""

from __future__ import annotations

from steersman.model.kind import Document

NAME = "kubernetes"
NAMESPACE = "default"
HTTPS = 443


def documents(service_address: str, host: str, port: int) -> list[Document]:
    """Returns the Service, its Endpoints and its EndpointSlice."""
    labels = {"component": "apiserver", "provider": "kubernetes"}
    meta = {"name": NAME, "namespace": NAMESPACE}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**meta, "labels": labels},
        "spec": {
            "clusterIP": service_address,
            "clusterIPs": [service_address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "protocol": "TCP", "port": HTTPS, "targetPort": port}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    }
    served = {"name": "https", "port": port, "protocol": "TCP"}
    skip = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    endpoints = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {**meta, "labels": skip},
        "subsets": [{"addresses": [{"ip": host}], "ports": [served]}],
    }
    endpoint_slice = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**meta, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
        "ports": [served],
    }
    return [service, endpoints, endpoint_slice]
