"""Service rules as text: pure, in one piece, to be applied in one transaction (nft(8)).

Only parsed addresses, numbers and digests enter the text; names never do. What two Services claim
goes to one of them: the kernel refuses a text that says a thing twice, for all Services.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Literal, NamedTuple

from steersman.network import choosing
from steersman.network.choosing import Remembered
from steersman.network.service_port import ServicePort

_ADDRESSED = "ipv4_addr . inet_proto . inet_service"
_NUMBERED = "inet_proto . inet_service"
_NODE = "fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport"
Way = Literal["cluster", "external", "balanced"]


class Claim(NamedTuple):
    """Whose an address and port is, and by which way it is reached there."""

    port: ServicePort
    way: Way


def table_name(cluster: str) -> str:
    """Returns the name of a cluster's table."""
    return f"steer_{cluster}"


def render(
    cluster: str,
    bridge: str,
    pods: IPv4Network,
    ports: Iterable[ServicePort],
    remembered: Remembered | None = None,
) -> str:
    """Returns the whole table; applying it replaces the one before.

    `remembered` says which clients stay with which endpoints, and for how long yet.
    """
    table = table_name(cluster)
    ordered = sorted(ports, key=lambda port: port.key)
    lines = [f"table ip {table} {{}}", f"delete table ip {table}", f"table ip {table} {{"]
    for port in ordered:
        lines += choosing.sets(port, remembered or {})
    lines += _maps(ordered)
    lines += _chains(bridge, pods)
    for port in ordered:
        lines += choosing.chains(port, pods)
    return "\n".join([*lines, "}", ""])


def render_removal(cluster: str) -> str:
    """Returns what removes the table, whether it is there or not."""
    table = table_name(cluster)
    return f"table ip {table} {{}}\ndelete table ip {table}\n"


def _maps(ports: list[ServicePort]) -> Iterator[str]:
    claimed = _claims(ports)
    node = _node_claims(ports)
    refused = [key for key, claim in claimed.items() if not claim.port.endpoints]
    reached = sorted({endpoint.address for port in ports for endpoint in port.endpoints})
    yield from _set("map services", f"{_ADDRESSED} : verdict", _led(claimed, _lead))
    yield from _set("map node_ports", f"{_NUMBERED} : verdict", _led(node, _lead))
    yield from _set("map guarded", f"{_ADDRESSED} : verdict", _led(claimed, _guard))
    yield from _set("map guarded_ports", f"{_NUMBERED} : verdict", _led(node, _guard))
    yield from _set("set without_endpoints", _ADDRESSED, refused)
    yield from _set("set itself", "ipv4_addr . ipv4_addr", [f"{one} . {one}" for one in reached])
    own = sorted({address for port in ports for address in port.addresses})
    yield from _set("set cluster_addresses", "ipv4_addr", [str(one) for one in own])


def _claims(ports: list[ServicePort]) -> dict[str, Claim]:
    """Returns who has each address and port: cluster addresses before those that a load balancer
    gave, these before external ones, which Services choose for themselves; then in order of keys.
    """
    claimed: dict[str, Claim] = {}

    def claim(port: ServicePort, way: Way, addresses: Iterable[IPv4Address]) -> None:
        for address in addresses:
            claimed.setdefault(f"{address} . {port.protocol} . {port.port}", Claim(port, way))

    for port in ports:
        claim(port, "cluster", port.addresses)
    for port in ports:
        claim(port, "balanced", port.balanced)
    for port in ports:
        claim(port, "external", port.external)
    return claimed


def _node_claims(ports: list[ServicePort]) -> dict[str, Claim]:
    node: dict[str, Claim] = {}
    for port in ports:
        if port.node_port and port.endpoints:
            node.setdefault(f"{port.protocol} . {port.node_port}", Claim(port, "external"))
    return node


def _led(claims: Mapping[str, Claim], lead: choosing.Lead) -> list[str]:
    """Returns the elements that lead claims on, without those that are led nowhere."""
    found = ((key, lead(*claim)) for key, claim in claims.items())
    return [f"{key} : {verdict}" for key, verdict in found if verdict]


def _lead(port: ServicePort, way: str) -> str:
    chain = choosing.chain_of(port, outside=way != "cluster")
    return f"goto {chain}" if chain else ""


def _guard(port: ServicePort, way: str) -> str:
    return choosing.guard_of(port, way)


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
            # Ports that a Service does not have, which nobody would answer (cluster-ips-check)
            "ip daddr @cluster_addresses meta l4proto tcp reject with tcp reset",
            "ip daddr @cluster_addresses reject",
            # Not on loopback: answers to it would have to be let in from outside (CVE-2020-8558)
            f"{_NODE} vmap @node_ports",
        )
    # Before forwarding: what comes in and would leave through the bridge makes the kernel send a
    # redirect first, which uses up what it allows itself of ICMP to the same host
    for hook in ("prerouting", "output"):
        # Connections that were made stay: their endpoint may be finishing its work
        matched = "ct state new ip daddr . meta l4proto . th dport"
        refused = f"{matched} @without_endpoints"
        yield from _chain_of(
            f"refuse_{hook}",
            f"type filter hook {hook} priority -110",
            f"meta l4proto tcp {refused} reject with tcp reset",
            f"{refused} reject",
            f"{matched} vmap @guarded",
            f"ct state new {_NODE} vmap @guarded_ports",
        )


def _chain_of(name: str, hook: str, *rules: str) -> Iterator[str]:
    yield f"  chain {name} {{"
    yield f"    {hook}; policy accept;"
    yield from (f"    {rule}" for rule in rules)
    yield "  }"
