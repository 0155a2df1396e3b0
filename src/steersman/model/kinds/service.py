"""Service: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import field

from steersman.model import names
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, NONE, UNKNOWN, at, labels, text
from steersman.model.kinds.subresources import PROXY, STATUS
from steersman.model.types import service_change_check, service_check, service_update
from steersman.model.types.condition import Condition
from steersman.model.types.metadata import check_metadata
from steersman.model.types.warnings import service_warn
from steersman.model.view import Object, View


class ServicePort(View, frozen=True):
    """A port of a service; target_port is a number or the name of a container's port."""

    port: int = 0
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None
    target_port: int | str = 0
    node_port: int = 0


class ClientIPConfig(View, frozen=True):
    """How long a client stays with an endpoint."""

    timeout_seconds: int = 10800


class SessionAffinityConfig(View, frozen=True):
    """How affinity works."""

    client_ip: ClientIPConfig | None = field(default=None, name="clientIP")


class ServiceSpec(View, frozen=True):
    """What a service shall be."""

    type: str = "ClusterIP"
    ports: tuple[ServicePort, ...] = ()
    selector: Mapping[str, str] = {}
    cluster_ip: str = field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] = field(default=(), name="clusterIPs")
    external_ips: tuple[str, ...] = field(default=(), name="externalIPs")
    session_affinity: str = "None"
    session_affinity_config: SessionAffinityConfig | None = None
    load_balancer_ip: str = field(default="", name="loadBalancerIP")
    load_balancer_source_ranges: tuple[str, ...] = ()
    load_balancer_class: str | None = None
    allocate_load_balancer_node_ports: bool | None = None
    external_name: str = ""
    external_traffic_policy: str = ""
    internal_traffic_policy: str = "Cluster"
    health_check_node_port: int = 0
    publish_not_ready_addresses: bool = False
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str = ""
    traffic_distribution: str = ""


class LoadBalancerIngress(View, frozen=True):
    """An address of a load balancer."""

    ip: str = ""
    hostname: str = ""
    ip_mode: str | None = None


class LoadBalancerStatus(View, frozen=True):
    """What the load balancer says."""

    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(View, frozen=True):
    """What is known of a service."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()
    conditions: tuple[Condition, ...] = ()


class Service(Object, frozen=True):
    """core/v1 Service."""

    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


def _cluster_ip(service: Document, _now: float) -> str:
    spec = service.get("spec", {})
    return str((spec.get("clusterIPs") or [spec.get("clusterIP") or NONE])[0])


def balancer_addresses(document: Document) -> list[str]:
    """Returns the addresses of an object's load balancer, sorted."""
    ingress = at(document, "status", "loadBalancer", "ingress") or ()
    found = {one.get("ip") or one.get("hostname") or "" for one in ingress}
    return sorted(found - {""})


def _external_ip(service: Document, _now: float) -> str:
    spec = service.get("spec", {})
    kind, given = spec.get("type"), spec.get("externalIPs") or []
    if kind in ("ClusterIP", "NodePort"):
        return ",".join(given) or NONE
    if kind == "LoadBalancer":
        return ",".join([*balancer_addresses(service), *given]) or "<pending>"
    return str(spec.get("externalName", "")) if kind == "ExternalName" else UNKNOWN


def _ports(service: Document, _now: float) -> str:
    def shown(port: Document) -> str:
        outside = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port.get('port', 0)}{outside}/{port.get('protocol', '')}"

    return ",".join(shown(port) for port in at(service, "spec", "ports") or ()) or NONE


_COLUMNS = (
    NAME,
    text("Type", "spec", "type"),
    Column("Cluster-IP", _cluster_ip),
    Column("External-IP", _external_ip),
    Column("Port(s)", _ports),
    AGE,
    Column(
        "Selector",
        lambda service, _now: labels(at(service, "spec", "selector")),
        priority=1,
    ),
)


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, name=names.dns1035_label)
    spec = new.get("spec") or {}
    if subresource == "status":
        now, then = (at(one or {}, "status", "loadBalancer") or {} for one in (new, old))
        yield from service_check.check_balancer_status(now, spec, then)
        return
    before = (old or {}).get("spec") or {}
    if old is not None:
        yield from service_change_check.check_change(spec, before)
    now, then = (at(one or {}, "metadata", "annotations") or {} for one in (new, old))
    yield from service_check.check_annotations(now, spec, then)
    yield from service_check.check_spec(spec, before)


SERVICE = Kind(
    group="",
    name="Service",
    plural="services",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.Service"),),
    storage="v1",
    short_names=("svc",),
    categories=("all",),
    columns=_COLUMNS,
    check=_check,
    warn=service_warn,
    name_check=names.dns1035_label,
    view=Service,
    prepare=preparer(service_update.update, status={"loadBalancer": {}}),
    subresources=(PROXY, STATUS),
    selectable={
        "spec.clusterIP": lambda service: service.get("spec", {}).get("clusterIP", ""),
        "spec.type": lambda service: service.get("spec", {}).get("type", ""),
    },
    returns_deleted=True,
    complete=True,
    create_on_update=True,
)
