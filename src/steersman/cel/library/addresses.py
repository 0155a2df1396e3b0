"""IP addresses and ranges (k8s.io/apiserver/pkg/cel/library/ip.go and cidr.go)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
)
from typing import Any, ClassVar, Final

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload
from steersman.cel.types import BOOL, INT, STRING, opaque

IP_TYPE: Final = opaque("net.IP")
CIDR_TYPE: Final = opaque("net.CIDR")
_LIMITED: Final = IPv4Address("255.255.255.255")
_LINK_LOCAL: Final = (IPv4Network("224.0.0.0/24"), IPv6Network("ff02::/16"))


@dataclass(frozen=True, slots=True)
class IP:
    """An address."""

    type_name: ClassVar[str] = IP_TYPE.name
    address: IPv4Address | IPv6Address

    def equal(self, other: Any) -> bool:
        """Says whether another address is the same."""
        return isinstance(other, IP) and self.address == other.address


@dataclass(frozen=True, slots=True)
class CIDR:
    """An address with the length of its prefix."""

    type_name: ClassVar[str] = CIDR_TYPE.name
    interface: IPv4Interface | IPv6Interface

    def equal(self, other: Any) -> bool:
        """Says whether another range has the same address and length."""
        return isinstance(other, CIDR) and self.interface == other.interface

    def holds(self, other: IPv4Address | IPv6Address) -> bool:
        """Says whether an address is in the range."""
        return other.version == self.interface.version and other in self.interface.network


def parse_ip(text: str) -> IP:
    """Reads an address; raises EvaluationError for a zone or a mapped one too."""
    try:
        address = ip_address(text)
    except ValueError:
        raise EvaluationError(
            f'IP Address "{text}" parse error during conversion from string:'
            f' ParseAddr("{text}"): unable to parse IP'
        ) from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise EvaluationError(f'IP address "{text}" with zone value is not allowed')
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise EvaluationError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return IP(address)


def parse_cidr(text: str) -> CIDR:
    """Reads an address with a length; raises EvaluationError."""
    head, slash, length = text.partition("/")
    problem = ""
    if not slash:
        problem = "no '/'"
    elif not length.isdecimal() or not length.isascii() or (length[0] == "0" and length != "0"):
        problem = f'bad bits after slash: "{length}"'
    try:
        interface = ip_interface(text) if not problem else None
    except ValueError:
        problem = "unable to parse IP"
    if problem or interface is None or "%" in head:
        raise EvaluationError(
            "network address parse error during conversion from string:"
            f' netip.ParsePrefix("{text}"): {problem or "IPv6 zones cannot be present in a prefix"}'
        )
    if isinstance(interface.ip, IPv6Address) and interface.ip.ipv4_mapped is not None:
        raise EvaluationError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return CIDR(interface)


def _is_ip(text: str) -> bool:
    try:
        parse_ip(text)
    except EvaluationError:
        return False
    return True


def _is_cidr(text: str) -> bool:
    try:
        parse_cidr(text)
    except EvaluationError:
        return False
    return True


def _is_canonical(text: str) -> bool:
    return str(parse_ip(text).address) == text


def _is_link_local_multicast(ip: IP) -> bool:
    return any(ip.address in network for network in _LINK_LOCAL)


def _is_global_unicast(ip: IP) -> bool:
    """Says what Go's IsGlobalUnicast says: private addresses too."""
    address = ip.address
    return not (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_link_local
        or address == _LIMITED
    )


def _contains_cidr(outer: CIDR, inner: CIDR) -> bool:
    if outer.interface.version != inner.interface.version:
        return False
    length = outer.interface.network.prefixlen
    return length <= inner.interface.network.prefixlen and outer.holds(inner.interface.ip)


def _masked(cidr: CIDR) -> CIDR:
    network = cidr.interface.network
    return CIDR(ip_interface(f"{network.network_address}/{network.prefixlen}"))


FUNCTIONS: Final[Functions] = {
    "ip": (
        Overload((STRING,), IP_TYPE, parse_ip, scans=(0,)),
        Overload((CIDR_TYPE,), IP_TYPE, lambda cidr: IP(cidr.interface.ip), member=True),
    ),
    "isIP": (Overload((STRING,), BOOL, _is_ip, scans=(0,)),),
    "ip.isCanonical": (Overload((STRING,), BOOL, _is_canonical, scans=(0,)),),
    "family": (Overload((IP_TYPE,), INT, lambda ip: ip.address.version, member=True),),
    "isUnspecified": (
        Overload((IP_TYPE,), BOOL, lambda ip: ip.address.is_unspecified, member=True),
    ),
    "isLoopback": (Overload((IP_TYPE,), BOOL, lambda ip: ip.address.is_loopback, member=True),),
    "isLinkLocalMulticast": (Overload((IP_TYPE,), BOOL, _is_link_local_multicast, member=True),),
    "isLinkLocalUnicast": (
        Overload((IP_TYPE,), BOOL, lambda ip: ip.address.is_link_local, member=True),
    ),
    "isGlobalUnicast": (Overload((IP_TYPE,), BOOL, _is_global_unicast, member=True),),
    "cidr": (Overload((STRING,), CIDR_TYPE, parse_cidr, scans=(0,)),),
    "isCIDR": (Overload((STRING,), BOOL, _is_cidr, scans=(0,)),),
    "containsIP": (
        Overload((CIDR_TYPE, IP_TYPE), BOOL, lambda c, ip: c.holds(ip.address), member=True),
        Overload(
            (CIDR_TYPE, STRING), BOOL, lambda c, text: c.holds(parse_ip(text).address), member=True
        ),
    ),
    "containsCIDR": (
        Overload((CIDR_TYPE, CIDR_TYPE), BOOL, _contains_cidr, member=True),
        Overload(
            (CIDR_TYPE, STRING), BOOL, lambda c, text: _contains_cidr(c, parse_cidr(text)), True
        ),
    ),
    "prefixLength": (
        Overload((CIDR_TYPE,), INT, lambda c: c.interface.network.prefixlen, member=True),
    ),
    "masked": (Overload((CIDR_TYPE,), CIDR_TYPE, _masked, member=True),),
    "string": (
        Overload((IP_TYPE,), STRING, lambda ip: str(ip.address)),
        Overload((CIDR_TYPE,), STRING, lambda cidr: str(cidr.interface)),
    ),
}
