"""Which address each pod of a node has: given in order, given back when the pod is gone."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

# Offsets that no pod gets: the network's own and the gateway's; the last is the broadcast's
FIRST = 2


class NoAddressLeft(Exception):
    """Every address of the node's range is in use."""


class Addresses:
    """The addresses of one range.

    An address that was given back is given again only after all others have had their turn, so that
    who still remembers it does not find somebody else there at once.
    """

    def __init__(self, network: IPv4Network) -> None:
        self.network = network
        self.gateway = network[1]
        self._by_pod: dict[str, IPv4Address] = {}
        self._taken: dict[int, str] = {}
        self._next = 0

    def take(self, pod: str) -> IPv4Address:
        """Returns the pod's address, the same one however often it asks; raises NoAddressLeft."""
        if (found := self._by_pod.get(pod)) is not None:
            return found
        count = self.network.num_addresses - FIRST - 1
        for step in range(count):
            turn = (self._next + step) % count
            if FIRST + turn not in self._taken:
                self._next = turn + 1
                return self._keep(pod, FIRST + turn)
        raise NoAddressLeft(f"all {count} addresses of {self.network} are in use")

    def restore(self, pod: str, address: IPv4Address) -> None:
        """Notes an address that a pod already has; raises ValueError where it cannot have it."""
        offset = int(address) - int(self.network.network_address)
        if not FIRST <= offset < self.network.num_addresses - 1:
            raise ValueError(f"{address} is no pod's address of {self.network}")
        if (owner := self._taken.get(offset, pod)) != pod:
            raise ValueError(f"{address} belongs to {owner}, not to {pod}")
        if self._by_pod.get(pod, address) != address:
            raise ValueError(f"{pod} has {self._by_pod[pod]}, not {address}")
        self._keep(pod, offset)
        # The newest are the likeliest to be remembered
        self._next = max(self._next, offset - FIRST + 1)

    def _keep(self, pod: str, offset: int) -> IPv4Address:
        self._taken[offset] = pod
        address = self._by_pod[pod] = self.network[offset]
        return address

    def give_back(self, pod: str) -> None:
        """Forgets a pod; one that has no address is fine."""
        address = self._by_pod.pop(pod, None)
        if address is not None:
            del self._taken[int(address) - int(self.network.network_address)]
