"""Which addresses of the range of Services are for what: DNS, load balancers, and all others.

The server leaves out of its choice what a controller gives to load balancers.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DNS_PLACE = 10  # of the cluster's DNS server, as kubeadm has it
# Where that server listens on a node's bridge; its Service leads port 53 there. Not 53 itself,
# which a nameserver of the machine's may have taken on every address.
DNS_LISTENS = 10053
# Load balancers get the end of the range: as many as a class C, of a small range a sixteenth
MOST_BALANCED, BALANCED_SHARE = 256, 16


def dns_address(services: Network) -> Address:
    """Returns the address of the cluster's DNS server."""
    return services[DNS_PLACE]


def balanced_count(services: Network) -> int:
    """Returns how many addresses at the end of the range are for load balancers."""
    return min(MOST_BALANCED, services.num_addresses // BALANCED_SHARE)


def is_balanced(address: Address, services: Network) -> bool:
    """Says whether an address is one for load balancers; a range's last one is nobody's."""
    first = services.num_addresses - balanced_count(services)
    return address in services and first <= int(address) - int(services[0]) < _end(services)


def balanced_addresses(services: Network) -> list[Address]:
    """Returns the addresses for load balancers, in the order in which they are given."""
    first = services.num_addresses - balanced_count(services)
    return [services[place] for place in range(first + 1, _end(services))]


def _end(services: Network) -> int:
    return services.num_addresses - 1
