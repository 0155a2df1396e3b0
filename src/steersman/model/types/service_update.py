"""What an update of a Service keeps and drops beside what its body says. Pure.

A body that leaves out what was allocated keeps it; what belongs to a type goes with the type,
unless the body changes it (registry/core/service: patchAllocatedValues, NormalizeClusterIPs,
dropTypeDependentFields).
"""

from __future__ import annotations

from typing import Any

from steersman.model.kind import Document

_ADDRESSED = ("ClusterIP", "NodePort", "LoadBalancer")
_PORTED = ("NodePort", "LoadBalancer")
_BALANCED = ("allocateLoadBalancerNodePorts", "loadBalancerClass")


def update(new: Document, old: Document | None) -> Document:
    """Returns an updated Service; a new one is left as it is."""
    if old is None:
        return new
    spec, before = dict(new["spec"]), old["spec"]
    normalize_addresses(spec, before)
    if _both(spec, before, _PORTED):
        keep_node_ports(spec, before)
    drop(spec, before)
    return {**new, "spec": spec}


def normalize_addresses(spec: dict[str, Any], before: Document) -> None:
    """Lets the list of addresses follow the single one where only that was changed."""
    one, many = spec.get("clusterIP"), spec.get("clusterIPs")
    if one == before.get("clusterIP") or many != before.get("clusterIPs"):
        return
    if one:
        spec["clusterIPs"] = [one]
    else:
        spec.pop("clusterIPs", None)


def keep_node_ports(spec: dict[str, Any], before: Document) -> None:
    """Gives a port without a node port the one that the port of its name had."""
    had = {port.get("name", ""): port.get("nodePort") for port in before.get("ports") or ()}
    used = {port.get("nodePort") for port in spec.get("ports") or ()} & set(had.values())
    ports = []
    for port in spec.get("ports") or ():
        known = had.get(port.get("name", ""))
        if not port.get("nodePort") and known and known not in used:
            used.add(known)
            port = {**port, "nodePort": known}
        ports.append(port)
    spec["ports"] = ports


def drop(spec: dict[str, Any], before: Document) -> None:
    """Drops what belongs to a type that the Service no longer has and that was not changed."""
    if _left(spec, before, _ADDRESSED):
        for names in (("clusterIP", "clusterIPs"), ("ipFamilies",), ("ipFamilyPolicy",)):
            _drop_same(spec, before, names)
        _drop_same(spec, before, ("internalTrafficPolicy",))
    if _left(spec, before, _PORTED):
        _drop_node_ports(spec, before)
        if not spec.get("externalIPs"):
            _drop_same(spec, before, ("externalTrafficPolicy",))
    if _left(spec, before, ("LoadBalancer",)):
        for name in _BALANCED:
            _drop_same(spec, before, (name,))
    if not _checked(spec) and _checked(before):
        _drop_same(spec, before, ("healthCheckNodePort",))


def _drop_node_ports(spec: dict[str, Any], before: Document) -> None:
    had = {port.get("nodePort") for port in before.get("ports") or ()}
    ports = spec.get("ports") or []
    if {port.get("nodePort") for port in ports} <= had | {None}:
        kept = [{key: port[key] for key in port if key != "nodePort"} for port in ports]
        spec["ports"] = kept
        if not kept:
            del spec["ports"]


def _drop_same(spec: dict[str, Any], before: Document, names: tuple[str, ...]) -> None:
    if all(spec.get(name) == before.get(name) for name in names):
        for name in names:
            spec.pop(name, None)


def _checked(spec: Document) -> bool:
    """Says whether a load balancer asks nodes for their health on a port of its own."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _both(spec: Document, before: Document, types: tuple[str, ...]) -> bool:
    return spec.get("type") in types and before.get("type") in types


def _left(spec: Document, before: Document, types: tuple[str, ...]) -> bool:
    return spec.get("type") not in types and before.get("type") in types
