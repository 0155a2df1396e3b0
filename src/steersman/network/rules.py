"""Service rules as text: pure, in one piece, to be applied in one transaction (nft(8)).

Only parsed addresses, numbers and digests enter the text; names never do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

Protocol = Literal["tcp", "udp", "sctp"]


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where a connection goes."""

    address: IPv4Address
    port: int


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service: where it is reached, and what stands behind it.

    addresses:  cluster and external addresses
    node_port:  reached on every address of the node; 0: not
    """

    key: str
    protocol: Protocol
    port: int
    addresses: tuple[IPv4Address, ...]
    endpoints: tuple[Endpoint, ...]
    node_port: int = 0


def table_name(cluster: str) -> str:
    """Returns the name of a cluster's table."""
    return f"steer_{cluster}"


def render(cluster: str, bridge: str, pods: IPv4Network, ports: Iterable[ServicePort]) -> str:
    """Returns the whole table; applying it replaces the one before."""
    table = table_name(cluster)
    ordered = sorted(ports, key=lambda port: port.key)
    lines = [f"table ip {table} {{}}", f"delete table ip {table}", f"table ip {table} {{"]
    lines += _maps(ordered)
    lines += _chains(bridge, pods)
    for port in ordered:
        lines += _service(port)
    return "\n".join([*lines, "}", ""])


def render_removal(cluster: str) -> str:
    """Returns what removes the table, whether it is there or not."""
    table = table_name(cluster)
    return f"table ip {table} {{}}\ndelete table ip {table}\n"


def _maps(ports: list[ServicePort]) -> Iterator[str]:
    addressed = [
        f"{address} . {port.protocol} . {port.port} : goto {_chain(port)}"
        for port in ports
        for address in port.addresses
        if port.endpoints
    ]
    refused = [
        f"{address} . {port.protocol} . {port.port}"
        for port in ports
        for address in port.addresses
        if not port.endpoints
    ]
    node = [
        f"{port.protocol} . {port.node_port} : goto {_chain(port)}"
        for port in ports
        if port.node_port and port.endpoints
    ]
    yield from _set("map services", "ipv4_addr . inet_proto . inet_service : verdict", addressed)
    yield from _set("map node_ports", "inet_proto . inet_service : verdict", node)
    yield from _set("set without_endpoints", "ipv4_addr . inet_proto . inet_service", refused)


def _set(head: str, kind: str, elements: list[str]) -> Iterator[str]:
    yield f"  {head} {{"
    yield f"    type {kind}"
    if elements:
        yield f"    elements = {{ {', '.join(elements)} }}"
    yield "  }"


def _chains(bridge: str, pods: IPv4Network) -> Iterator[str]:
    jump = "ip daddr . meta l4proto . th dport vmap @services"
    local = "fib daddr type local meta l4proto . th dport vmap @node_ports"
    refuse = "ip daddr . meta l4proto . th dport @without_endpoints reject"
    for name, hook, priority in (
        ("prerouting", "prerouting", "dstnat"),
        ("output", "output", "-100"),
    ):
        yield f"  chain {name} {{"
        yield f"    type nat hook {hook} priority {priority}; policy accept;"
        yield f"    {jump}"
        yield f"    {local}"
        yield "  }"
    yield "  chain postrouting {"
    yield "    type nat hook postrouting priority srcnat; policy accept;"
    yield f'    ct mark & 0x4000 == 0x4000 oifname "{bridge}" masquerade'
    yield f'    ip saddr {pods} ip daddr != {pods} oifname != "{bridge}" masquerade'
    yield "  }"
    for name, hook in (("refuse_forwarded", "forward"), ("refuse_own", "output")):
        yield f"  chain {name} {{"
        yield f"    type filter hook {hook} priority filter; policy accept;"
        yield f"    {refuse}"
        yield "  }"


def _service(port: ServicePort) -> Iterator[str]:
    """Yields the chains of one port: choose an endpoint, go there."""
    if not port.endpoints:
        return
    chain = _chain(port)
    yield f"  chain {chain} {{"
    count = len(port.endpoints)
    choices = ", ".join(f"{n} : goto {chain}_{n}" for n in range(count))
    yield f"    numgen random mod {count} vmap {{ {choices} }}"
    yield "  }"
    for number, endpoint in enumerate(port.endpoints):
        yield f"  chain {chain}_{number} {{"
        # A pod that reaches itself would answer itself: it sees the node instead
        yield f"    ip saddr {endpoint.address} ct mark set ct mark | 0x4000"
        yield "    fib saddr type local ip saddr 127.0.0.0/8 ct mark set ct mark | 0x4000"
        yield f"    meta l4proto {port.protocol} dnat to {endpoint.address}:{endpoint.port}"
        yield "  }"


def _chain(port: ServicePort) -> str:
    return f"s{hashlib.sha256(port.key.encode()).hexdigest()[:16]}"
