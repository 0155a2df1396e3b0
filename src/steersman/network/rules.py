"""Service rules as text: pure, in one piece, to be applied in one transaction (nft(8)).

Only parsed addresses, numbers and digests enter the text; names never do. What two Services claim
goes to one of them: the kernel refuses a text that says a thing twice, for all Services.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

import msgspec

Protocol = Literal["tcp", "udp", "sctp"]


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """Where a connection goes."""

    address: IPv4Address
    port: int


class ServicePort(msgspec.Struct, frozen=True):
    """One port of a Service: where it is reached, and what stands behind it.

    addresses:  the cluster address, then external ones
    node_port:  reached on every address of the node; 0: not
    """

    key: str
    protocol: Protocol
    port: int
    addresses: tuple[IPv4Address, ...]
    endpoints: tuple[Endpoint, ...]
    node_port: int = 0


_ADDRESSED = "ipv4_addr . inet_proto . inet_service"


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
        if port.endpoints:
            lines += _service(port)
    return "\n".join([*lines, "}", ""])


def render_removal(cluster: str) -> str:
    """Returns what removes the table, whether it is there or not."""
    table = table_name(cluster)
    return f"table ip {table} {{}}\ndelete table ip {table}\n"


def _maps(ports: list[ServicePort]) -> Iterator[str]:
    claimed = _claims(ports)
    addressed = [f"{key} : goto {_chain(port)}" for key, port in claimed.items() if port.endpoints]
    refused = [key for key, port in claimed.items() if not port.endpoints]
    node: dict[str, ServicePort] = {}
    for port in ports:
        if port.node_port and port.endpoints:
            node.setdefault(f"{port.protocol} . {port.node_port}", port)
    reached = sorted({endpoint.address for port in ports for endpoint in port.endpoints})
    yield from _set("map services", f"{_ADDRESSED} : verdict", addressed)
    yield from _set(
        "map node_ports",
        "inet_proto . inet_service : verdict",
        [f"{key} : goto {_chain(port)}" for key, port in node.items()],
    )
    yield from _set("set without_endpoints", _ADDRESSED, refused)
    yield from _set("set itself", "ipv4_addr . ipv4_addr", [f"{one} . {one}" for one in reached])


def _claims(ports: list[ServicePort]) -> dict[str, ServicePort]:
    """Returns who has each address and port: cluster addresses before external ones, which their
    Services choose for themselves, then in order of the keys."""
    claimed: dict[str, ServicePort] = {}
    for chosen in (slice(0, 1), slice(1, None)):
        for port in ports:
            for address in port.addresses[chosen]:
                claimed.setdefault(f"{address} . {port.protocol} . {port.port}", port)
    return claimed


def _set(head: str, kind: str, elements: list[str]) -> Iterator[str]:
    yield f"  {head} {{"
    yield f"    type {kind}"
    if elements:
        yield f"    elements = {{ {', '.join(elements)} }}"
    yield "  }"


def _chains(bridge: str, pods: IPv4Network) -> Iterator[str]:
    yield from _chain_of(
        "postrouting",
        "type nat hook postrouting priority srcnat",
        # A pod that reaches itself would answer itself: it sees the node instead
        f'ip saddr . ip daddr @itself oifname "{bridge}" masquerade',
        f'ip saddr {pods} ip daddr != {pods} oifname != "{bridge}" masquerade',
    )
    for hook, priority in (("prerouting", "dstnat"), ("output", "-100")):
        yield from _chain_of(
            hook,
            f"type nat hook {hook} priority {priority}",
            "ip daddr . meta l4proto . th dport vmap @services",
            # Not on loopback: answers to it would have to be let in from outside (CVE-2020-8558)
            "fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @node_ports",
        )
    # Before forwarding: what comes in and would leave through the bridge makes the kernel send a
    # redirect first, which uses up what it allows itself of ICMP to the same host
    for hook in ("prerouting", "output"):
        # Connections that were made stay: their endpoint may be finishing its work
        matched = "ct state new ip daddr . meta l4proto . th dport @without_endpoints"
        yield from _chain_of(
            f"refuse_{hook}",
            f"type filter hook {hook} priority -110",
            f"meta l4proto tcp {matched} reject with tcp reset",
            f"{matched} reject",
        )


def _chain_of(name: str, hook: str, *rules: str) -> Iterator[str]:
    yield f"  chain {name} {{"
    yield f"    {hook}; policy accept;"
    yield from (f"    {rule}" for rule in rules)
    yield "  }"


def _service(port: ServicePort) -> Iterator[str]:
    """Yields the chain of one port, which chooses an endpoint and goes there."""
    choices = ", ".join(
        f"{number} : {endpoint.address} . {endpoint.port}"
        for number, endpoint in enumerate(port.endpoints)
    )
    chosen = f"numgen random mod {len(port.endpoints)} map {{ {choices} }}"
    yield f"  chain {_chain(port)} {{"
    yield f"    meta l4proto {port.protocol} dnat ip to {chosen}"
    yield "  }"


def _chain(port: ServicePort) -> str:
    return f"s{hashlib.sha256(port.key.encode()).hexdigest()[:16]}"
