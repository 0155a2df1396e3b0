"""Puts the cluster's DNS server of a node together, and reads how the machine resolves names."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address
from pathlib import Path

from steersman.client.interface import Views
from steersman.network.bridge import Bridge
from steersman.network.dns.followed import FollowedNames
from steersman.network.dns.forward import Forwarder, plan_servers
from steersman.network.dns.forward import Server as Nameserver
from steersman.network.dns.resolver import Resolver
from steersman.network.dns.serve import Server
from steersman.network.dns.sockets import Sockets
from steersman.network.dns.zone import Zone
from steersman.node.render.files import parse_resolution
from steersman.world.interface import Tasks, World

DOMAIN = "cluster.local"
PLACE = 10  # in the range of services, as everybody's cluster has it
RESOLUTION = Path("/etc/resolv.conf")
# What systemd-resolved itself asks, where the machine's file names only its stub (kubeadm looks
# for the same file): pods cannot reach the machine's loopback
BEHIND_STUB = Path("/run/systemd/resolve/resolv.conf")


def dns_address(services: IPv4Network) -> str:
    """Returns the address of the cluster's DNS service."""
    return str(services[PLACE])


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


async def serve_names(
    bridge: Bridge, services: IPv4Network, views: Views, world: World, tasks: Tasks
) -> Server:
    """Begins to answer for names on the bridge, once they are known; raises OSError where that
    cannot be."""
    pods, gateway = bridge.addresses.network, str(bridge.addresses.gateway)
    own = (gateway, dns_address(services))
    host, names = HostResolution(), FollowedNames(views)
    await views.synced()

    def zone() -> Zone:
        serial = names.revision & 0xFFFFFFFF
        return Zone(DOMAIN, services[PLACE], (pods, services), serial)

    def servers() -> list[Nameserver]:
        return plan_servers(host.servers(), own)

    forwarder = Forwarder(servers, Sockets(), world, tasks)
    server = Server(Resolver(zone, names, forwarder, world), world, tasks)
    await server.listen(gateway)
    return server
