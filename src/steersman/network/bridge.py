"""The network of a node: a bridge, and one address on it for each pod.

Everything it makes bears the cluster's id, so that several clusters live side by side and what is
removed is only its own. Repeatable: adding what is there changes nothing.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from steersman.network import netlink
from steersman.network.addresses import Addresses
from steersman.network.netlink import Netlink, NetlinkError

POD_LINK = "eth0"
MTU = 1500
_EVERYWHERE = IPv4Network("0.0.0.0/0")


def bridge_name(cluster: str) -> str:
    """Returns the name of a cluster's bridge; Linux allows 15 characters."""
    return f"steer-{cluster}"


def link_name(cluster: str, pod: str) -> str:
    """Returns the name of the host's end of a pod's link."""
    return f"{link_prefix(cluster)}{hashlib.sha256(pod.encode()).hexdigest()[:7]}"


def link_prefix(cluster: str) -> str:
    """Returns how the names of all links of a cluster begin."""
    return f"st{cluster[:6]}"


class Bridge:
    """See `Network` in the architecture."""

    def __init__(self, cluster: str, pods: IPv4Network, services: IPv4Network) -> None:
        self.name = bridge_name(cluster)
        self.addresses = Addresses(pods)
        self._cluster = cluster
        self._services = services
        self._index = 0

    def set_up(self) -> None:
        """Makes the bridge and the ways to it; needs root. Raises OSError."""
        with Netlink() as link:
            try:
                link.add_bridge(self.name)
            except NetlinkError as error:
                if error.errno != errno.EEXIST:
                    raise
            self._index = netlink.index_of(self.name)
            gateway = f"{self.addresses.gateway}/{self.addresses.network.prefixlen}"
            link.add_address(self._index, IPv4Interface(gateway))
            link.set_up(self._index)
            # Without a route of its own a Service's address would follow the default route, if any
            link.add_route(self._services, self._index)
        _write(Path(f"/proc/sys/net/ipv4/conf/{self.name}/forwarding"), "1")
        _write(Path("/proc/sys/net/ipv4/ip_forward"), "1")
        # An answer from pod to pod must pass the rules that rewrote the question
        _write(Path(f"/sys/class/net/{self.name}/bridge/nf_call_iptables"), "1")

    def remove(self) -> None:
        """Removes the bridge; its addresses and routes go with it."""
        with Netlink() as link:
            link.delete_link(self.name)

    async def add(self, pod: str, namespace: Path) -> list[str]:
        """Connects a pod's namespace; returns its addresses. Raises OSError, NoAddressLeft."""
        address = self.addresses.take(pod)
        await asyncio.to_thread(self._connect, pod, namespace, address)
        return [str(address)]

    def _connect(self, pod: str, namespace: Path, address: object) -> None:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            name = link_name(self._cluster, pod)
            with Netlink() as link:
                try:
                    link.add_veth(name, self._index, POD_LINK, descriptor, MTU)
                except NetlinkError as error:
                    if error.errno != errno.EEXIST:
                        raise
            # A pod that asks for its own Service is answered through the same port
            _write(Path(f"/sys/class/net/{name}/brport/hairpin_mode"), "1")
            with netlink.entered(descriptor), Netlink() as inside:
                index = netlink.index_of(POD_LINK)
                prefix = self.addresses.network.prefixlen
                inside.add_address(index, IPv4Interface(f"{address}/{prefix}"))
                inside.set_up(index)
                inside.add_route(_EVERYWHERE, index, self.addresses.gateway)
        finally:
            os.close(descriptor)

    def restore(self, pod: str, addresses: Sequence[str]) -> None:
        """Notes the addresses that a pod has from before this process began."""
        for address in addresses:
            self.addresses.restore(pod, IPv4Address(address))

    async def delete(self, pod: str) -> None:
        """Disconnects a pod and frees its address; a pod that has none is fine."""
        await asyncio.to_thread(self._disconnect, pod)
        self.addresses.give_back(pod)

    def _disconnect(self, pod: str) -> None:
        with Netlink() as link:
            link.delete_link(link_name(self._cluster, pod))


def _write(path: Path, text: str) -> None:
    if path.read_text().strip() != text:
        path.write_text(text)
