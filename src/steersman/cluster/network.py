"""Puts the network of a node together: Service rules, health checks, and the cluster's DNS server.

Reads also how the machine itself resolves names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path

from steersman.client.interface import View, Views
from steersman.model.service_range import dns_address
from steersman.network.conntrack import Behind, Plan, forget, plan_forgotten
from steersman.network.dns.followed import FollowedNames
from steersman.network.dns.forward import Forwarder, plan_servers
from steersman.network.dns.forward import Server as Nameserver
from steersman.network.dns.resolver import Resolver
from steersman.network.dns.serve import Server
from steersman.network.dns.sockets import Sockets
from steersman.network.dns.zone import Zone
from steersman.network.health import Checks
from steersman.network.nft import Rules
from steersman.network.proxy import Place, Proxy
from steersman.node.render.resolution import parse_resolution
from steersman.world.interface import Tasks, World

DOMAIN = "cluster.local"
RESOLUTION = Path("/etc/resolv.conf")
# What systemd-resolved itself asks, where the machine's file names only its stub (kubeadm looks
# for the same file): pods cannot reach the machine's loopback
BEHIND_STUB = Path("/run/systemd/resolve/resolv.conf")


class HostResolution:
    """How this machine resolves names; read again when the file is another."""

    def __init__(self, path: Path = RESOLUTION, behind: Path = BEHIND_STUB) -> None:
        self._paths = (path, behind)
        self._state: tuple[int, int] | None = None
        self._text = ""

    def text(self) -> str:
        """Returns the file, empty where there is none; behind a stub that which it uses."""
        path, behind = self._paths
        state = _state(path)
        if state != self._state:
            self._state, self._text = state, _read(path)
        if _is_stub(self._text):
            return _read(behind) or self._text
        return self._text

    def servers(self) -> list[str]:
        """Returns the nameservers that the machine itself asks."""
        self.text()
        return parse_resolution(self._text)[0]


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _is_stub(text: str) -> bool:
    servers = parse_resolution(text)[0]
    return bool(servers) and all(_is_loopback(server) for server in servers)


def _is_loopback(text: str) -> bool:
    try:
        return ip_address(text).is_loopback
    except ValueError:
        return False


async def serve_network(
    here: Place,
    services: IPv4Network,
    views: Views,
    node: View,
    rules: Rules,
    world: World,
    tasks: Tasks,
) -> Callable[[], None]:
    """Begins to keep the rules, and to answer for names once they are known; returns what ends
    the listening. Raises OSError where the bridge's ports are taken."""
    checks = Checks(str(here.gateway), world)
    proxy = Proxy(here, views, node, rules, checks, _forget)
    tasks.start(proxy.run(), name="proxy")
    server = _name_server(here, services, views, world, tasks)
    await views.synced()
    await server.listen(str(here.gateway))

    def close() -> None:
        server.close()
        checks.close()

    return close


async def _forget(behind: Behind, pods: IPv4Network) -> None:
    await forget_flows(lambda flows: plan_forgotten(flows, behind, pods))


async def forget_flows(plan: Plan) -> None:
    """Makes the kernel forget the exchanges of datagrams that a plan chooses; raises OSError."""
    await asyncio.to_thread(forget, plan)


def _name_server(
    here: Place, services: IPv4Network, views: Views, world: World, tasks: Tasks
) -> Server:
    address = IPv4Address(str(dns_address(services)))
    own = (str(here.gateway), str(address))
    host, names = HostResolution(), FollowedNames(views)

    def zone() -> Zone:
        serial = names.revision & 0xFFFFFFFF
        return Zone(DOMAIN, address, (here.pods, services), serial)

    def servers() -> list[Nameserver]:
        return plan_servers(host.servers(), own)

    forwarder = Forwarder(servers, Sockets(), world, tasks)
    return Server(Resolver(zone, names, forwarder, world), world, tasks)
