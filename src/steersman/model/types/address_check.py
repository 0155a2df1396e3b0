"""Addresses and prefixes of IP: what may stand where (apimachinery util/validation/ip.go)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Final

from steersman.model.causes import invalid
from steersman.model.errors import Cause
from steersman.model.gotext import quote

_IP: Final = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_MAPPED: Final = bytes(10) + b"\xff\xff"  # what IPv4 addresses begin with inside IPv6
_INTERFACE: Final = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
_CIDR: Final = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def packed(address: str) -> bytes | None:
    """Returns an address as 4 or 16 bytes, None where it is none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.inet_pton(family, address)
    except (OSError, ValueError):  # ValueError: a null character inside
        return None


def is_ipv4(address: str) -> bool:
    """Tells whether an address is of IPv4."""
    found = packed(address)
    return found is not None and len(found) == 4


def is_ipv6(address: str) -> bool:
    """Tells whether an address is of IPv6."""
    found = packed(address)
    return found is not None and len(found) == 16


def check_ip(path: str, address: str) -> Iterator[Cause]:
    """Checks an address of either family (IsValidIP)."""
    if packed(address) is None:
        yield invalid(path, address, _IP)


def check_cidr(path: str, value: str) -> Iterator[Cause]:
    """Checks a prefix of either family (IsValidCIDR)."""
    address, slash, length = value.partition("/")
    found = packed(address)
    good = bool(slash) and found is not None and length.isascii() and length.isdigit()
    if not good or found is None or int(length) > len(found) * 8:
        yield invalid(path, value, _CIDR)


def check_interface_address(value: str, path: str) -> Iterator[Cause]:
    """Checks the address of an interface with the length of its network's prefix, which has one
    form only (IsValidInterfaceAddress)."""
    address, _, length = value.partition("/")
    digits = length.lstrip("0") or "0"
    plain = _without_zeros(address)
    if not length or list(check_cidr("", f"{plain}/{digits}")):
        yield invalid(path, value, _INTERFACE)
        return
    found, bits = packed(plain) or b"", int(digits)
    if len(found) == 16 and found[:12] == _MAPPED:
        found, bits = found[12:], bits - 96
    canonical = f"{ip_address(found).compressed}/{bits}"
    if value != canonical:
        yield invalid(path, value, f"must be in canonical form ({quote(canonical)})")


def strict_ip(address: str) -> list[str]:
    """Checks an address in a newer field, where it has one form only (IsValidIP)."""
    found = packed(address)
    if found is None:
        zeros = "." in address and packed(_without_zeros(address)) is not None
        return ["must not have leading 0s"] if zeros else [_IP]
    if len(found) == 16 and found[:12] == _MAPPED:
        return ["must not be an IPv4-mapped IPv6 address"]
    canonical = ip_address(found).compressed
    return [] if canonical == address else [f"must be in canonical form ({quote(canonical)})"]


def strict_cidr(value: str) -> list[str]:
    """Checks a prefix in a newer field, where it has one form only (IsValidCIDR)."""
    address, slash, length = value.partition("/")
    digits = length.lstrip("0") or "0"
    if not slash or list(check_cidr("", f"{_without_zeros(address)}/{digits}")):
        return [_CIDR]
    found = packed(address)
    if found is None or digits != length:
        return ["must not have leading 0s in IP or prefix length"]
    if len(found) == 16 and found[:12] == _MAPPED:
        return ["must not have an IPv4-mapped IPv6 address"]
    network = ip_network((found, int(length)), strict=False)
    if network.network_address.packed != found:
        return ["must not have bits set beyond the prefix length"]
    canonical = network.compressed
    return [] if canonical == value else [f"must be in canonical form ({quote(canonical)})"]


def _without_zeros(address: str) -> str:
    if ":" in address:
        return address
    return ".".join(part.lstrip("0") or part[:1] for part in address.split("."))


def check_not_special(path: str, address: str) -> Iterator[Cause]:
    """Checks that an address may stand for an endpoint (ValidateNonSpecialIP)."""
    found = packed(address)
    if found is None:
        yield invalid(path, address, "must be a valid IP address")
        return
    if not any(found):
        yield invalid(path, address, f"may not be unspecified ({address})")
    for wrong, text in (
        (_is_loopback(found), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (_is_link_local(found), "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (
            _is_link_local_multicast(found),
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
        ),
    ):
        if wrong:
            yield invalid(path, address, text)


def _is_loopback(found: bytes) -> bool:
    return found[0] == 127 if len(found) == 4 else found == bytes(15) + b"\x01"


def _is_link_local(found: bytes) -> bool:
    if len(found) == 4:
        return found[:2] == b"\xa9\xfe"
    return found[0] == 0xFE and found[1] & 0xC0 == 0x80


def _is_link_local_multicast(found: bytes) -> bool:
    if len(found) == 4:
        return found[:3] == b"\xe0\x00\x00"
    return found[0] == 0xFF and found[1] & 0x0F == 0x02
