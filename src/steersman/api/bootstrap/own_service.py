"""The `kubernetes` Service in `default` and the endpoints behind it: the API server itself.

Its address is the first of the service range; certificates name it. After upstream's
pkg/controlplane/controller/kubernetesservice and reconcilers.
"""

from __future__ import annotations

from steersman.api.bootstrap import service_documents
from steersman.model.kind import Document

NAME = "kubernetes"
NAMESPACE = "default"
HTTPS = 443


def documents(service_address: str, host: str, port: int) -> list[Document]:
    """Returns the Service, its Endpoints and its EndpointSlice."""
    labels = {"component": "apiserver", "provider": "kubernetes"}
    metadata = {"name": NAME, "namespace": NAMESPACE, "labels": labels}
    ports = [service_documents.port("https", "TCP", HTTPS, port)]
    behind = [{"name": "https", "port": port, "protocol": "TCP"}]
    return service_documents.documents(metadata, service_address, ports, host, behind)
