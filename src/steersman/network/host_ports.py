"""Rules by which pods are reached at ports of their node, as text: pure, in one piece (nft(8)).

After CNI's portmap plugin: nothing listens at such a port, so what the machine itself listens to
there is hidden by the pod, and a Service's node port goes before both. Reached on loopback too,
for which the kernel lets addresses of loopback out through the bridge; none may come in there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Final

import msgspec

from steersman.model.types.container import ContainerPort
from steersman.network.conntrack import Flow
from steersman.network.planning import parse_address
from steersman.network.service_port import Endpoint, Protocol

_PROTOCOLS: Final[Mapping[str, Protocol]] = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}
_ADDRESSED: Final = "ipv4_addr . inet_proto . inet_service"
_NUMBERED: Final = "inet_proto . inet_service"
_TARGET: Final = "ipv4_addr . inet_service"
_LOOPBACK: Final = "127.0.0.0/8"


class HostPort(msgspec.Struct, frozen=True):
    """One port of the node, and where it leads; address None: on all addresses of the node."""

    protocol: Protocol
    port: int
    target: Endpoint
    address: IPv4Address | None = None


def table_name(cluster: str) -> str:
    """Returns the name of a cluster's table of host ports."""
    return f"steer_{cluster}_ports"


def plan(ports: Iterable[ContainerPort], pod: IPv4Address) -> tuple[HostPort, ...]:
    """Returns what leads to a pod; a port on an address of another family leads nowhere."""
    found = []
    for one in ports:
        address = parse_address(one.host_ip) if one.host_ip else None
        if one.host_port == 0 or (one.host_ip and address is None):
            continue
        if address is not None and address.is_unspecified:
            address = None
        target = Endpoint(pod, one.container_port)
        found.append(HostPort(_PROTOCOLS[one.protocol or "TCP"], one.host_port, target, address))
    return tuple(found)


def render(cluster: str, bridge: str, ports: Sequence[HostPort]) -> str:
    """Returns the whole table, or what removes it where there are no ports; applying it replaces
    the one before. A port that is claimed twice is the first one's."""
    table = table_name(cluster)
    start = f"table ip {table} {{}}\ndelete table ip {table}\n"
    if not ports:
        return start
    return "\n".join([f"{start}table ip {table} {{", *_maps(ports), *_chains(bridge), "}", ""])


def _maps(ports: Sequence[HostPort]) -> Iterator[str]:
    addressed: dict[str, str] = {}
    numbered: dict[str, str] = {}
    for it in ports:
        target = f"{it.target.address} . {it.target.port}"
        if it.address is None:
            numbered.setdefault(f"{it.protocol} . {it.port}", target)
        else:
            addressed.setdefault(f"{it.address} . {it.protocol} . {it.port}", target)
    pods = sorted({it.target.address for it in ports})
    yield from _set(f"map addressed {{ type {_ADDRESSED} : {_TARGET};", _elements(addressed))
    yield from _set(f"map numbered {{ type {_NUMBERED} : {_TARGET};", _elements(numbered))
    yield from _set("set itself { type ipv4_addr . ipv4_addr;", [f"{it} . {it}" for it in pods])
    yield from _set("set reached { type ipv4_addr;", [str(it) for it in pods])


def _elements(led: Mapping[str, str]) -> list[str]:
    return [f"{key} : {target}" for key, target in led.items()]


def _set(head: str, elements: Sequence[str]) -> Iterator[str]:
    yield f"  {head}"
    if elements:
        yield f"    elements = {{ {', '.join(elements)} }}"
    yield "  }"


def _chains(bridge: str) -> Iterator[str]:
    # After a Service's rules, which are at dstnat: the first that leads a connection has it
    for hook, priority in (("prerouting", "dstnat + 1"), ("output", "-99")):
        yield f"  chain {hook} {{"
        yield f"    type nat hook {hook} priority {priority}; policy accept;"
        for key, name in (("ip daddr . ", "addressed"), ("", "numbered")):
            matched = f"{key}meta l4proto . th dport map @{name}"
            yield f"    fib daddr type local dnat ip to {matched}"
        yield "  }"
    yield "  chain postrouting {"
    yield "    type nat hook postrouting priority srcnat; policy accept;"
    # A pod that reaches itself would answer itself, and none can answer to loopback
    yield f'    ip saddr . ip daddr @itself oifname "{bridge}" masquerade'
    yield f'    ip saddr {_LOOPBACK} ip daddr @reached oifname "{bridge}" masquerade'
    yield "  }"
    yield "  chain loopback {"
    yield "    type filter hook prerouting priority raw; policy accept;"
    # Answers come to the bridge's address; what comes to loopback itself is forged (CVE-2020-8558).
    # What says that it is from there the kernel drops: it is one of the node's own addresses
    yield f'    iifname "{bridge}" ip daddr {_LOOPBACK} drop'
    yield "  }"


def plan_forgotten(
    flows: Iterable[Flow], changed: Iterable[HostPort], now: Iterable[HostPort]
) -> Iterator[Flow]:
    """Yields the exchanges of datagrams at ports that have changed which do not go where these
    lead now: they would go on as they began."""
    numbers = {it.port for it in changed if it.protocol == "udp"}
    leads = {(it.address, it.port): it.target for it in reversed(list(now)) if it.protocol == "udp"}
    for flow in flows:
        if flow.asked.port in numbers:
            there = leads.get((flow.asked.address, flow.asked.port))
            if flow.answers != (there or leads.get((None, flow.asked.port))):
                yield flow
