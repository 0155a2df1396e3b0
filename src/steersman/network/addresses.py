"""Which address each pod of a node has: given in order, given back when the pod is gone."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network


class NoAddressLeft(Exception):
    """Every address of the node's range is in use."""


class Addresses:
    """The addresses of one range. The first is the gateway's; the last is the broadcast's."""

    def __init__(self, network: IPv4Network) -> None:
        self.network = network
        self.gateway = network[1]
        self._by_pod: dict[str, IPv4Address] = {}
        self._taken: set[int] = set()
        self._next = 2

    def take(self, pod: str) -> IPv4Address:
        """Returns the pod's address, the same one however often it asks."""
        if (found := self._by_pod.get(pod)) is not None:
            return found
        size = self.network.num_addresses - 1
        for step in range(size - 2):
            offset = 2 + (self._next - 2 + step) % (size - 2)
            if offset not in self._taken:
                self._next = offset + 1
                return self._keep(pod, offset)
        raise NoAddressLeft(f"all {size - 2} addresses of {self.network} are in use")

    def restore(self, pod: str, address: IPv4Address) -> None:
        """Notes an address that a pod already has."""
        self._keep(pod, int(address) - int(self.network.network_address))

    def _keep(self, pod: str, offset: int) -> IPv4Address:
        self._taken.add(offset)
        address = self._by_pod[pod] = self.network[offset]
        return address

    def give_back(self, pod: str) -> None:
        """Forgets a pod; one that has no address is fine."""
        address = self._by_pod.pop(pod, None)
        if address is not None:
            self._taken.discard(int(address) - int(self.network.network_address))
