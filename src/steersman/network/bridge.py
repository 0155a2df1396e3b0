"""The network of a node: a bridge, and one address on it for each pod.

Pods know no neighbours: whatever they send goes to the node first, which routes it, so that service
rules see every packet both ways, with br_netfilter and without. Everything here bears the cluster's
id, so that clusters live side by side. Repeatable: adding what is there changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from steersman.network import forwarding, netlink
from steersman.network.addresses import Addresses
from steersman.network.netlink import Netlink, NetlinkError

POD_LINK = "eth0"
MTU = 1500
LONGEST_NAME = 15  # IFNAMSIZ - 1
LONGEST_ID = 6  # what the name of a link leaves
DIGEST = 7
_EVERYWHERE = IPv4Network("0.0.0.0/0")
_MAC_START = b"\x0a\x58"  # of an IPv4 address, as CNI's plugins have it; locally administered
_SETTINGS = Path("/proc/sys/net/ipv4")


def bridge_name(cluster: str) -> str:
    """Returns the name of a cluster's bridge; raises ValueError for an id that is too long."""
    return f"steer-{_checked(cluster)}"


def link_prefix(cluster: str) -> str:
    """Returns how the host's ends of the links of a cluster's pods begin."""
    return f"st{_checked(cluster)}"


def link_name(cluster: str, pod: str) -> str:
    """Returns the name of the host's end of a pod's link."""
    return f"{link_prefix(cluster)}{hashlib.sha256(pod.encode()).hexdigest()[:DIGEST]}"


def _checked(cluster: str) -> str:
    if not 0 < len(cluster) <= LONGEST_ID:
        raise ValueError(f"cluster id {cluster!r}: links need one of 1 to {LONGEST_ID} characters")
    return cluster


class Bridge:
    """See `Network` in the architecture."""

    def __init__(
        self, cluster: str, pods: IPv4Network, services: IPv4Network | None = None
    ) -> None:
        self.name = bridge_name(cluster)
        self.addresses = Addresses(pods)
        self._cluster = cluster
        self._services = services
        self._index = 0

    def set_up(self, place: Path) -> None:
        """Makes the bridge and the ways to it, and lets the machine forward, of which `place`
        keeps the record for all clusters; needs root. Raises OSError."""
        with forwarding.held(place) as record:
            forwarding.turn_on(record)
            self._make()

    def _make(self) -> None:
        with Netlink() as link:
            try:
                link.add_bridge(self.name)
            except NetlinkError as error:
                if error.errno != errno.EEXIST:
                    raise
            self._index = netlink.index_of(self.name)
            gateway = f"{self.addresses.gateway}/{self.addresses.network.prefixlen}"
            # Else it is that of a port, and pods do not find it where that pod goes (ARP)
            link.set_hardware_address(self._index, _MAC_START + self.addresses.gateway.packed)
            link.add_address(self._index, IPv4Interface(gateway))
            link.set_up(self._index)
            if self._services is not None:
                # Without a route of its own a Service's address would follow the default route
                link.add_route(self._services, self._index)
        _write(_SETTINGS / "conf" / self.name / "forwarding", "1")

    def let_loopback(self, *, out: bool) -> None:
        """Lets addresses of loopback out through the bridge, or not; whoever does keeps those that
        come in away by a rule. A bridge that is gone lets nothing out."""
        with contextlib.suppress(FileNotFoundError):
            _write(_SETTINGS / "conf" / self.name / "route_localnet", "1" if out else "0")

    def remove(self) -> None:
        """Removes the bridge; its addresses and routes go with it."""
        with Netlink() as link:
            link.delete_link(self.name)

    def restore(self, pod: str, addresses: Iterable[str]) -> None:
        """Notes the addresses that a running pod was given before the agent started.

        Raises ValueError for one outside of the range or of another pod.
        """
        for address in addresses:
            self.addresses.restore(pod, IPv4Address(address))

    async def add(self, pod: str, namespace: Path) -> list[str]:
        """Connects a pod's namespace; returns its addresses. Raises OSError, NoAddressLeft."""
        # Not in the thread: pods that begin at once would be given one address
        address = self.addresses.take(pod)
        await asyncio.to_thread(self._connect, pod, namespace, address)
        return [str(address)]

    def connect(self, pod: str, namespace: Path) -> str:
        """Connects a pod's namespace, waiting for the kernel; see `add`."""
        address = self.addresses.take(pod)
        self._connect(pod, namespace, address)
        return str(address)

    def _connect(self, pod: str, namespace: Path, address: IPv4Address) -> None:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._link(link_name(self._cluster, pod), descriptor)
            with netlink.entered(descriptor), Netlink() as inside:
                self._set_up_inside(inside, address)
        finally:
            os.close(descriptor)

    def _link(self, name: str, descriptor: int) -> None:
        """Makes the pair of a pod where it is not there."""
        with Netlink() as link:
            try:
                link.add_veth(name, self._index, POD_LINK, descriptor, MTU)
            except NetlinkError as error:
                if error.errno != errno.EEXIST:
                    raise
                if not _is_linked(descriptor):
                    # Of the pod's namespace before, which the kernel has not yet cleared away
                    link.delete_link(name)
                    link.add_veth(name, self._index, POD_LINK, descriptor, MTU)
            # With br_netfilter a pod that asks for its own Service is answered by the port itself
            link.let_through_itself(netlink.index_of(name))

    def _set_up_inside(self, inside: Netlink, address: IPv4Address) -> None:
        # The node routes from the bridge to the bridge and tells senders of the shorter way, which
        # would lead them past the service rules
        for name in ("all", POD_LINK):
            _write(_SETTINGS / "conf" / name / "accept_redirects", "0")
        index = netlink.index_of(POD_LINK)
        inside.set_up(netlink.index_of("lo"))
        inside.add_address(index, IPv4Interface(f"{address}/32"))
        inside.set_up(index)
        inside.add_route(IPv4Network(self.addresses.gateway), index)
        inside.add_route(_EVERYWHERE, index, self.addresses.gateway)

    async def delete(self, pod: str) -> None:
        """Disconnects a pod and frees its address; a pod that has none is fine."""
        await asyncio.to_thread(self._disconnect, pod)
        self.addresses.give_back(pod)

    def disconnect(self, pod: str) -> None:
        """Disconnects a pod, waiting for the kernel; see `delete`."""
        self._disconnect(pod)
        self.addresses.give_back(pod)

    def _disconnect(self, pod: str) -> None:
        with Netlink() as link:
            link.delete_link(link_name(self._cluster, pod))


def _is_linked(namespace: int) -> bool:
    with netlink.entered(namespace):
        try:
            netlink.index_of(POD_LINK)
        except OSError:
            return False
    return True


def _write(path: Path, text: str) -> None:
    if path.read_text().strip() != text:
        path.write_text(text)
