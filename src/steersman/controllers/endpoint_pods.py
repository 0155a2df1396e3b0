"""Which pods stand behind a service and on which ports; shared by EndpointSlice and Endpoints.

Follows endpointslice/util and pkg/controller/endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from steersman.client.interface import Views
from steersman.controllers import pods
from steersman.model.kind import Document
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.service import SERVICE, Service, ServicePort
from steersman.model.ref import Ref

HEADLESS = "service.kubernetes.io/headless"
SERVICE_NAME = "kubernetes.io/service-name"


def wants(service: Service | None) -> bool:
    """Says whether a service's endpoints are made from pods."""
    return (
        service is not None
        and bool(service.spec.selector)
        and service.spec.type != "ExternalName"
        and service.metadata.deletion_timestamp is None
    )


def is_headless(service: Service) -> bool:
    """Says whether a service has no address of its own."""
    return service.spec.cluster_ip == "None"


def selects(service: Service, found: Pod) -> bool:
    """Says whether a service selects a pod."""
    return bool(service.spec.selector) and (
        service.spec.selector.items() <= found.metadata.labels.items()
    )


def behind(service: Service, candidates: Iterable[Pod], *, terminating: bool) -> list[Pod]:
    """Returns the pods with an address that a service selects, in the order of their names."""
    return sorted(
        (
            pod
            for pod in candidates
            if selects(service, pod)
            and addresses(pod)
            and pod.status.phase not in ("Succeeded", "Failed")
            and (terminating or not pods.is_terminating(pod))
        ),
        key=lambda pod: pod.metadata.name,
    )


def addresses(pod: Pod) -> tuple[str, ...]:
    """Returns a pod's addresses."""
    found = tuple(address.ip for address in pod.status.pod_ips if address.ip)
    return found or ((pod.status.pod_ip,) if pod.status.pod_ip else ())


def port_number(port: ServicePort, pod: Pod) -> int | None:
    """Returns a pod's port behind a service's port, None where it names one the pod lacks."""
    if isinstance(port.target_port, int):
        return port.target_port or port.port
    sidecars = [item for item in pod.spec.init_containers if item.restart_policy == "Always"]
    for container in (*pod.spec.containers, *sidecars):
        for declared in container.ports:
            protocol = declared.protocol or "TCP"
            if declared.name == port.target_port and protocol == port.protocol:
                return declared.container_port
    return None


def target(pod: Pod) -> Document:
    """Returns the reference from an endpoint to its pod."""
    metadata = pod.metadata
    return {
        "kind": "Pod",
        "namespace": metadata.namespace,
        "name": metadata.name,
        "uid": metadata.uid,
    }


def hostname(service: Service, pod: Pod) -> str:
    """Returns the name under the service's domain that a pod asks for."""
    return pod.spec.hostname if pod.spec.subdomain == service.metadata.name else ""


def labels(service: Service, managed: dict[str, str]) -> dict[str, str]:
    """Returns the labels of a service's endpoints: its own, `managed`, and the headless mark."""
    found = {k: v for k, v in service.metadata.labels.items() if k not in (HEADLESS, *managed)}
    return {**found, **managed, **({HEADLESS: ""} if is_headless(service) else {})}


def to_services(views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
    """Maps a change of a pod that endpoints would show to the services that select it."""
    either = [pod for pod in (old, new) if pod is not None]
    services = views.of(SERVICE).list(either[0].metadata.namespace)
    if not services or (old is not None and new is not None and _seen(old) == _seen(new)):
        return ()
    return [
        SERVICE.ref(*service.key)
        for service in services
        if any(selects(service, pod) for pod in either)
    ]


def _seen(pod: Pod) -> tuple[Any, ...]:
    return (
        pod.metadata.uid,
        addresses(pod),
        pods.is_ready(pod),
        pods.is_terminating(pod),
        pod.status.phase,
        pod.metadata.labels,
        pod.spec.node_name,
    )


def of_service(views: Views, service: Service) -> list[Pod]:
    """Returns the pods of a service's namespace."""
    return list(views.of(POD).list(service.metadata.namespace))
