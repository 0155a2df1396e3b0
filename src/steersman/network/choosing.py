"""The part of the rules that is one port's: who may come in, and which endpoint they get. Pure.

After kube-proxy's nftables mode: who asks from inside of the cluster is never held to
externalTrafficPolicy; what has endpoints elsewhere alone is dropped, not refused, so that a load
balancer tries another node; a client stays with its endpoint as long as it comes again in time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Network, collapse_addresses

from steersman.network.service_port import Endpoint, ServicePort

# Clients that stay with one endpoint; beyond, new ones go where chance sends them
MOST_CLIENTS = 65535

# By the name of an endpoint's set: client addresses, and for how many seconds they stay
Remembered = Mapping[str, Mapping[str, int]]
Lead = Callable[[ServicePort, str], str]


def chain_of(port: ServicePort, *, outside: bool) -> str:
    """Returns the chain that leads to a port's endpoints, "" where there are none."""
    if not port.endpoints:
        return ""
    if outside:
        return _name("s", port) if port.outside is None else _name("o", port)
    if port.inside is None:
        return _name("s", port)
    return _name("i", port) if port.inside else ""


def guard_of(port: ServicePort, way: str) -> str:
    """Returns the verdict that keeps some or all from a port, "" where everybody may come."""
    if not port.endpoints:
        return ""
    if way == "cluster":
        return "drop" if port.inside == () else ""
    if way == "balanced" and port.sources is not None:
        return f"goto {_name('g', port)}"
    return f"goto {_name('l', port)}" if port.outside == () else ""


def sets(port: ServicePort, remembered: Remembered) -> Iterator[str]:
    """Yields the sets of the clients that stay with each endpoint."""
    for endpoint in port.reached if port.affinity_seconds else ():
        name, most = set_name(port, endpoint), port.affinity_seconds
        yield f"  set {name} {{"
        yield "    type ipv4_addr"
        yield f"    size {MOST_CLIENTS}"
        yield "    flags dynamic,timeout"
        yield f"    timeout {most}s"
        known = [
            f"{client} timeout {most}s expires {min(seconds, most)}s"
            for client, seconds in sorted(remembered.get(name, {}).items())
            if seconds > 0
        ]
        if known:
            yield f"    elements = {{ {', '.join(known[:MOST_CLIENTS])} }}"
        yield "  }"


def chains(port: ServicePort, pods: IPv4Network) -> Iterator[str]:
    """Yields the chains of one port."""
    if not port.endpoints:
        return
    for endpoint in port.reached if port.affinity_seconds else ():
        yield from _chain(
            _name("e", port, endpoint),
            # A rule of its own: where the set is full the connection goes on all the same
            f"update @{set_name(port, endpoint)} {{ ip saddr }}",
            f"meta l4proto {port.protocol} dnat ip to {endpoint.address}:{endpoint.port}",
        )
    yield from _chain(_name("s", port), *_choice(port, port.endpoints))
    if port.inside:
        yield from _chain(_name("i", port), *_choice(port, port.inside))
    if port.outside is not None:
        own = [f"{local} goto {_name('s', port)}" for local in _inside_of(pods)]
        yield from _chain(_name("o", port), *own, *_choice(port, port.outside))
    yield from _guards(port, pods)


def _inside_of(pods: IPv4Network) -> tuple[str, str]:
    """Returns what tells who asks from inside of the cluster: its pods, and the node itself."""
    return f"ip saddr {pods}", "fib saddr type local"


def _guards(port: ServicePort, pods: IPv4Network) -> Iterator[str]:
    local = []
    if port.outside == ():
        local = [*(f"{inside} return" for inside in _inside_of(pods)), "drop"]
        yield from _chain(_name("l", port), *local)
    if port.sources is not None:
        allowed = ", ".join(str(it) for it in collapse_addresses(port.sources))
        others = f"ip saddr != {{ {allowed} }} drop" if allowed else "drop"
        yield from _chain(_name("g", port), others, *local)


def _choice(port: ServicePort, endpoints: Iterable[Endpoint]) -> Iterator[str]:
    """Yields the rules that choose one of some endpoints and go there."""
    found = tuple(endpoints)
    if not found:
        return
    turn = f"numgen random mod {len(found)}"
    if not port.affinity_seconds:
        places = (f"{number} : {it.address} . {it.port}" for number, it in enumerate(found))
        yield f"meta l4proto {port.protocol} dnat ip to {turn} map {{ {', '.join(places)} }}"
        return
    names = [_name("e", port, endpoint) for endpoint in found]
    for endpoint, name in zip(found, names, strict=True):
        yield f"ip saddr @{set_name(port, endpoint)} goto {name}"
    choices = ", ".join(f"{number} : goto {name}" for number, name in enumerate(names))
    yield f"{turn} vmap {{ {choices} }}"


def _chain(name: str, *rules: str) -> Iterator[str]:
    yield f"  chain {name} {{"
    yield from (f"    {rule}" for rule in rules)
    yield "  }"


def set_name(port: ServicePort, endpoint: Endpoint) -> str:
    """Returns the name of the set of clients that stay with an endpoint."""
    return _name("a", port, endpoint)


def _name(kind: str, port: ServicePort, endpoint: Endpoint | None = None) -> str:
    text = port.key if endpoint is None else f"{port.key} {endpoint.address}:{endpoint.port}"
    return f"{kind}{hashlib.sha256(text.encode()).hexdigest()[:16]}"
