"""What is checked of a Service (ValidateService in pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Final

from steersman.model import names
from steersman.model.causes import (
    duplicate,
    each,
    forbidden,
    invalid,
    not_supported,
    one_of,
    required,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.address_check import (
    check_cidr,
    check_endpoint_ip,
    check_ip,
    is_ipv4,
    packed,
)
from steersman.model.types.container_check import PROTOCOLS
from steersman.model.types.handler_check import check_port
from steersman.model.types.metadata import check_labels

_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITIES: Final = ("ClientIP", "None")
_POLICIES: Final = ("Cluster", "Local")
_FAMILIES: Final = ("IPv4", "IPv6")
_FAMILY_POLICIES: Final = ("PreferDualStack", "RequireDualStack", "SingleStack")
_IP_MODES: Final = ("Proxy", "VIP")
_DISTRIBUTIONS: Final = ("PreferClose", "PreferSameNode", "PreferSameZone")
_LONGEST_AFFINITY_SECONDS: Final = 86400
_ONLY_BALANCER: Final = "may only be used when `type` is 'LoadBalancer'"
_OLD_HINTS: Final = "service.kubernetes.io/topology-aware-hints"
_HINTS: Final = "service.kubernetes.io/topology-mode"
_RANGES: Final = "service.beta.kubernetes.io/load-balancer-source-ranges"
_NOT_EXTERNAL: Final = "may not be set for ExternalName services"


def check_spec(spec: Document, before: Document) -> Iterator[Cause]:
    """Yields what is wrong with the spec of a Service; `before` is the one from before an
    update."""
    kind, ports = spec.get("type", ""), spec.get("ports") or ()
    headless = (spec.get("clusterIPs") or [spec.get("clusterIP")])[:1] == ["None"]
    if not ports and not headless and kind != "ExternalName":
        yield required("spec.ports")
    if headless and kind in ("LoadBalancer", "NodePort"):
        detail = f"may not be set to 'None' for {kind} services"
        yield invalid("spec.clusterIPs[0]", "None", detail)
    if kind == "ExternalName":
        yield from _check_external_name(spec)
    yield from _check_ports(ports)
    yield from check_labels(spec.get("selector"), "spec.selector")
    yield from one_of("spec.sessionAffinity", spec.get("sessionAffinity"), _AFFINITIES)
    yield from _check_affinity(spec)
    yield from _check_cluster_ips(spec, before.get("clusterIPs") or ())
    for index, address in enumerate(spec.get("externalIPs") or ()):
        where = f"spec.externalIPs[{index}]"
        yield from check_endpoint_ip(where, address, before.get("externalIPs") or ())
    yield from one_of("spec.type", kind, _TYPES)
    yield from _check_duplicates(ports, kind)
    yield from _check_balancer(spec, kind, before.get("loadBalancerSourceRanges") or ())
    yield from _check_policies(spec, kind)


def check_annotations(
    annotations: Mapping[str, str], spec: Document, before: Mapping[str, str]
) -> Iterator[Cause]:
    """Yields what is wrong with the annotations of a Service that say what fields could; `before`
    are those from before an update."""
    path, old, new = "metadata.annotations", annotations.get(_OLD_HINTS), annotations.get(_HINTS)
    if None not in (old, new) and old != new:
        detail = f"must match annotations[{_OLD_HINTS}] when both are specified"
        yield invalid(f"{path}[{_HINTS}]", new, detail)
    ranges = annotations.get(_RANGES)
    if ranges is None or spec.get("loadBalancerSourceRanges"):
        return
    if spec.get("type") != "LoadBalancer":
        yield forbidden(f"{path}[{_RANGES}]", _ONLY_BALANCER)
    known = [value.strip() for value in before.get(_RANGES, "").split(",")]
    for value in ranges.split(",") if ranges.strip() else ():
        yield from check_cidr(f"{path}[{_RANGES}]", value.strip(), known)


def _check_external_name(spec: Document) -> Iterator[Cause]:
    for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(name):
            yield forbidden(f"spec.{name}", _NOT_EXTERNAL)
    target = spec.get("externalName", "").removesuffix(".")
    if target:
        yield from each("spec.externalName", target, names.dns1123_subdomain(target))
    else:
        yield required("spec.externalName")


def _check_ports(ports: Sequence[Document]) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        where, name = f"spec.ports[{index}]", port.get("name", "")
        if name:
            yield from each(f"{where}.name", name, names.dns1123_label(name))
            if name in seen:
                yield duplicate(f"{where}.name", name)
            seen.add(name)
        elif len(ports) > 1:
            yield required(f"{where}.name")
        number = port.get("port", 0)
        yield from each(f"{where}.port", number, names.port_number(number))
        yield from one_of(f"{where}.protocol", port.get("protocol"), PROTOCOLS)
        yield from check_port(port.get("targetPort", 0), f"{where}.targetPort")
        if (protocol := port.get("appProtocol")) is not None:
            yield from each(f"{where}.appProtocol", protocol, names.qualified_name(protocol))


def _check_duplicates(ports: Sequence[Document], kind: str) -> Iterator[Cause]:
    if kind == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                detail = "may not be used when `type` is 'ClusterIP'"
                yield forbidden(f"spec.ports[{index}].nodePort", detail)
    for name in ("nodePort", "port"):
        seen: set[tuple[str, int]] = set()
        for index, port in enumerate(ports):
            protocol, number = port.get("protocol", ""), port.get(name, 0)
            if name == "nodePort" and not number:
                continue
            if (protocol, number) in seen:
                yield _repeated(index, name, protocol, number)
            seen.add((protocol, number))


def _repeated(index: int, name: str, protocol: str, number: int) -> Cause:
    if name == "nodePort":
        return duplicate(f"spec.ports[{index}].nodePort", number)
    # upstream names the port as its internal type prints
    shown = {"Name": "", "Protocol": protocol, "AppProtocol": None, "Port": number}
    return duplicate(f"spec.ports[{index}]", {**shown, "TargetPort": 0, "NodePort": 0})


def _check_affinity(spec: Document) -> Iterator[Cause]:
    affinity, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    path = "spec.sessionAffinityConfig"
    if affinity == "None" and config is not None:
        yield forbidden(path, "must not be set when session affinity is None")
    if affinity != "ClientIP":
        return
    detail = "when session affinity type is ClientIP"
    for name in ("clientIP", "timeoutSeconds"):
        if config is None:
            yield required(path, detail)
            return
        path, config = f"{path}.{name}", config.get(name)
    if config is None:
        yield required(path, detail)
    elif not 0 < config <= _LONGEST_AFFINITY_SECONDS:
        most = f"must be greater than 0 and less than {_LONGEST_AFFINITY_SECONDS}"
        yield invalid(path, config, most)


def _check_cluster_ips(spec: Document, known: Container[str]) -> Iterator[Cause]:
    if spec.get("type") == "ExternalName":
        return
    families, policy = spec.get("ipFamilies") or (), spec.get("ipFamilyPolicy")
    if policy is not None and policy not in _FAMILY_POLICIES:
        yield not_supported("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES)
    for index, family in enumerate(families):
        if family not in _FAMILIES:
            yield not_supported(f"spec.ipFamilies[{index}]", family, _FAMILIES)
        if family in families[:index]:
            yield duplicate(f"spec.ipFamilies[{index}]", family)
    addresses = spec.get("clusterIPs") or ()
    first = spec.get("clusterIP") or ""
    if addresses and addresses[0] != first:
        detail = "first value must match `clusterIP`"
        if not first:
            detail = "must be empty when `clusterIP` is not specified"
        yield invalid("spec.clusterIPs", list(addresses), detail)
    for index, address in enumerate(addresses):
        where = f"spec.clusterIPs[{index}]"
        if address == "None" and not index:
            if len(addresses) > 1:
                detail = "'None' must be the first and only value"
                yield invalid("spec.clusterIPs", list(addresses), detail)
        elif problems := list(check_ip(where, address, known)):
            yield from problems
        elif family := _other_family(address, families[index : index + 1]):
            detail = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            yield invalid(where, address, detail)
    if len(addresses) > 2:
        detail = "may only hold up to 2 values"
        yield invalid("spec.clusterIPs", list(addresses), detail)
    sound = all(packed(one) is not None for one in addresses)
    if sound and len(addresses) > 1 and len({is_ipv4(one) for one in addresses}) < 2:
        detail = "may specify no more than one IP for each IP family"
        yield invalid("spec.clusterIPs", list(addresses), detail)


def _other_family(address: str, family: Sequence[str]) -> str:
    """Returns the family that an address should have and has not."""
    wanted = family[0] if family else ""
    # known ones need not be addresses in today's form
    return wanted if wanted in _FAMILIES and (":" in address) != (wanted == "IPv6") else ""


def _check_balancer(spec: Document, kind: str, before: Sequence[str]) -> Iterator[Cause]:
    if ranges := spec.get("loadBalancerSourceRanges"):
        path = "spec.LoadBalancerSourceRanges"
        if kind != "LoadBalancer":
            yield forbidden(path, _ONLY_BALANCER)
        known = [value.strip() for value in before]
        for index, value in enumerate(ranges):
            yield from check_cidr(f"{path}[{index}]", value.strip(), known)
    if spec.get("allocateLoadBalancerNodePorts") is not None and kind != "LoadBalancer":
        yield forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCER)
    if (balancer := spec.get("loadBalancerClass")) is not None:
        if kind != "LoadBalancer":
            yield forbidden("spec.loadBalancerClass", _ONLY_BALANCER)
        else:
            problems = names.qualified_name(balancer)
            yield from each("spec.loadBalancerClass", balancer, problems)


def check_balancer_status(balancer: Document, spec: Document, before: Document) -> Iterator[Cause]:
    """Yields what is wrong with what a load balancer says, and did not say `before`
    (ValidateLoadBalancerStatus)."""
    path, found = "status.loadBalancer.ingress", balancer.get("ingress") or ()
    if found and spec.get("type") != "LoadBalancer":
        yield forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    known = [one.get("ip", "") for one in before.get("ingress") or ()]
    for index, one in enumerate(found):
        yield from _check_ingress(one, f"{path}[{index}]", known)


def _check_ingress(one: Document, path: str, known: Container[str]) -> Iterator[Cause]:
    address, mode, host = one.get("ip"), one.get("ipMode"), one.get("hostname")
    if address:
        yield from check_ip(f"{path}.ip", address, known)
    if mode is not None and not address:  # with an address it has a default
        yield forbidden(f"{path}.ipMode", "may not be specified when `ip` is not set")
    elif mode is not None and mode not in _IP_MODES:
        yield not_supported(f"{path}.ipMode", mode, _IP_MODES)
    if host:
        yield from each(f"{path}.hostname", host, names.dns1123_subdomain(host))
        if packed(host) is not None:
            detail = "must be a DNS name, not an IP address"
            yield invalid(f"{path}.hostname", host, detail)


def is_headless(spec: Document) -> bool:
    """Tells whether a service has no address of its own."""
    return list(spec.get("clusterIPs") or ()) == ["None"]


def is_external(spec: Document) -> bool:
    """Tells whether a service can be reached from outside (ExternallyAccessible)."""
    kind = spec.get("type")
    balanced = kind in ("LoadBalancer", "NodePort")
    return balanced or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check(spec: Document) -> bool:
    """Tells whether a service's health is served on a port of its own."""
    local = spec.get("externalTrafficPolicy") == "Local"
    return spec.get("type") == "LoadBalancer" and local


def _check_policies(spec: Document, kind: str) -> Iterator[Cause]:
    path, policy = "spec.externalTrafficPolicy", spec.get("externalTrafficPolicy", "")
    if is_external(spec):
        yield from one_of(path, policy, _POLICIES)
    elif policy:
        yield invalid(path, policy, "may only be set for externally-accessible services")
    path, port = "spec.healthCheckNodePort", spec.get("healthCheckNodePort", 0)
    if not needs_health_check(spec):
        if port:
            detail = "may only be set when `type` is 'LoadBalancer' and "
            yield invalid(path, port, f"{detail}`externalTrafficPolicy` is 'Local'")
    elif not port:
        yield required(path)
    else:
        yield from each(path, port, names.port_number(port))
    path, inside = "spec.internalTrafficPolicy", spec.get("internalTrafficPolicy")
    if inside is None:
        if kind in ("NodePort", "LoadBalancer", "ClusterIP"):
            yield required(path)
    elif inside not in _POLICIES:
        yield not_supported(path, inside, _POLICIES)
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        yield not_supported("spec.trafficDistribution", distribution, _DISTRIBUTIONS)
