"""NetworkPolicy: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

from msgspec import field

from steersman.model import names
from steersman.model.causes import each, forbidden, invalid, not_supported, required
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME, at, selector
from steersman.model.removed import Life, elsewhere, removed
from steersman.model.types.address_check import check_cidr, cidr_warnings, sloppy_interface
from steersman.model.types.metadata import check_metadata
from steersman.model.types.selector import LabelSelector, check_selector
from steersman.model.types.warnings import warner
from steersman.model.view import Object, View


class PolicyPort(View, frozen=True):
    """A port, or a range of them; None: all."""

    protocol: str = "TCP"
    port: int | str | None = None
    end_port: int | None = None


class IPBlock(View, frozen=True):
    """Addresses of a prefix without those of others."""

    cidr: str = ""
    except_cidrs: tuple[str, ...] = field(default=(), name="except")


class PolicyPeer(View, frozen=True):
    """Pods, namespaces or addresses."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


class IngressRule(View, frozen=True):
    """What may come in."""

    ports: tuple[PolicyPort, ...] = ()
    from_peers: tuple[PolicyPeer, ...] = field(default=(), name="from")


class EgressRule(View, frozen=True):
    """What may go out."""

    ports: tuple[PolicyPort, ...] = ()
    to: tuple[PolicyPeer, ...] = ()


class NetworkPolicySpec(View, frozen=True):
    """Whose traffic is limited to what."""

    pod_selector: LabelSelector = LabelSelector()
    ingress: tuple[IngressRule, ...] = ()
    egress: tuple[EgressRule, ...] = ()
    policy_types: tuple[str, ...] = ()


class NetworkPolicy(Object, frozen=True):
    """networking.k8s.io/v1 NetworkPolicy."""

    spec: NetworkPolicySpec = NetworkPolicySpec()


_PROTOCOLS = ("TCP", "UDP", "SCTP")
_TYPES = ("Ingress", "Egress")
_SIDES = (("ingress", "from"), ("egress", "to"))


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    spec = new.get("spec") or {}
    known = frozenset(cidr for _path, cidr in _cidrs(old or {}))
    before = ((old or {}).get("spec") or {}).get("podSelector")
    yield from check_selector(spec.get("podSelector"), "spec.podSelector", old=before)
    for direction, side in _SIDES:
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for position, port in enumerate(rule.get("ports") or ()):
                yield from _check_port(port, f"{path}.ports[{position}]")
            for position, peer in enumerate(rule.get(side) or ()):
                yield from _check_peer(peer, f"{path}.{side}[{position}]", known, before)
    types = spec.get("policyTypes") or ()
    if len(types) > len(_TYPES):
        yield invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
        return
    for index, kind in enumerate(types):
        if kind not in _TYPES:
            yield not_supported(f"spec.policyTypes[{index}]", kind, _TYPES)


def _check_port(port: Document, path: str) -> Iterator[Cause]:
    protocol, number, last = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in _PROTOCOLS:
        yield not_supported(f"{path}.protocol", protocol, _PROTOCOLS)
    if isinstance(number, int):
        yield from each(f"{path}.port", number, names.port_number(number))
        if last is not None:
            if last < number:
                detail = "must be greater than or equal to `port`"
                yield invalid(f"{path}.endPort", last, detail)
            yield from each(f"{path}.endPort", last, names.port_number(last))
        return
    if last is not None:
        state = "not specified" if number is None else "non-numeric"
        yield invalid(f"{path}.endPort", last, f"may not be specified when `port` is {state}")
    if number is not None:
        yield from each(f"{path}.port", number, names.port_name(number))


def _check_peer(
    peer: Document, path: str, known: Container[str], before: Document | None
) -> Iterator[Cause]:
    for name in ("podSelector", "namespaceSelector"):
        yield from check_selector(peer.get(name), f"{path}.{name}", old=before)
    if (block := peer.get("ipBlock")) is not None:
        yield from _check_block(block, f"{path}.ipBlock", known)
    if not peer:
        yield required(path, "must specify a peer")
    elif block is not None and len(peer) > 1:
        yield forbidden(path, "may not specify both ipBlock and another peer")


def _check_block(block: Document, path: str, known: Container[str]) -> Iterator[Cause]:
    whole = block.get("cidr", "")
    if not whole:
        yield required(f"{path}.cidr")
        return
    yield from check_cidr(f"{path}.cidr", whole, known)
    if sloppy_interface(whole) is None:
        return
    for index, part in enumerate(block.get("except") or ()):
        where = f"{path}.except[{index}]"
        yield from check_cidr(where, part, known)
        if sloppy_interface(part) is not None and not _is_inside(part, whole):
            yield invalid(where, part, "must be a strict subset of `cidr`")


def _is_inside(part: str, whole: str) -> bool:
    inner: Any = sloppy_interface(part)
    outer: Any = sloppy_interface(whole)
    longer = inner.network.prefixlen > outer.network.prefixlen
    return longer and inner.version == outer.version and inner.ip in outer.network


def _cidrs(policy: Document) -> Iterator[tuple[str, str]]:
    """Yields the prefixes of a policy, each with its path."""
    spec = policy.get("spec") or {}
    for direction, side in _SIDES:
        for index, rule in enumerate(spec.get(direction) or ()):
            for position, peer in enumerate(rule.get(side) or ()):
                path = f"spec.{direction}[{index}].{side}[{position}].ipBlock"
                block = peer.get("ipBlock") or {}
                yield f"{path}.cidr", block.get("cidr") or ""
                for place, part in enumerate(block.get("except") or ()):
                    yield f"{path}.except[{place}]", part


def _told(new: Document, _old: Document | None) -> Iterator[str]:
    for path, cidr in _cidrs(new):
        yield from cidr_warnings(path, cidr)


_COLUMNS = (
    NAME,
    Column("Pod-Selector", lambda one, _now: selector(at(one, "spec", "podSelector") or {})),
    AGE,
)

NETWORKPOLICY = Kind(
    group="networking.k8s.io",
    name="NetworkPolicy",
    plural="networkpolicies",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.networking.v1.NetworkPolicy"),),
    storage="v1",
    short_names=("netpol",),
    columns=_COLUMNS,
    check=_check,
    warn=warner(_told),
    view=NetworkPolicy,
    spec_fields=("spec",),
    complete=True,
)

EXTENSIONS_NETWORKPOLICY = elsewhere(
    NETWORKPOLICY,
    "extensions",
    removed(
        "extensions/v1beta1",
        "extensions.v1beta1.NetworkPolicy",
        Life(9, 16, "networking.k8s.io/v1"),
    ),
)
