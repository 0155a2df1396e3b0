"""Addresses and prefixes of IP: what may stand where, and what is told of what may not stand there
any more (apimachinery util/validation/ip.go, with StrictIPCIDRValidation)."""

from __future__ import annotations

import socket
from collections.abc import Container, Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network
from typing import Final

from steersman.model.causes import invalid
from steersman.model.errors import Cause
from steersman.model.gotext import quote

_IP: Final = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_MAPPED: Final = bytes(10) + b"\xff\xff"  # what IPv4 addresses begin with inside IPv6
_INTERFACE: Final = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
_LEADING_ZEROS: Final = "must not have leading 0s"
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


def check_ip(path: str, address: str, known: Container[str] = ()) -> Iterator[Cause]:
    """Checks an address in a field that is older than the one form: any form whose meaning is
    clear will do, and those `known` from before (IsValidIPForLegacyField)."""
    if address not in known and (problem := _ip_problem(address)):
        yield invalid(path, address, problem)


def check_cidr(path: str, value: str, known: Container[str] = ()) -> Iterator[Cause]:
    """Checks a prefix in such an older field (IsValidCIDRForLegacyField)."""
    if value not in known and (problem := _cidr_problem(value)):
        yield invalid(path, value, problem)


def _ip_problem(address: str) -> str:
    found = packed(address)
    if found is None:
        return _LEADING_ZEROS if packed(_without_zeros(address)) is not None else _IP
    return "must not be an IPv4-mapped IPv6 address" if _is_mapped(found) else ""


def _cidr_problem(value: str) -> str:
    if (network := sloppy_interface(value)) is None:
        return _CIDR
    address, _, length = value.partition("/")
    if packed(address) is None or length != str(int(length)):
        return f"{_LEADING_ZEROS} in IP or prefix length"
    if _is_mapped(network.packed):
        return "must not have an IPv4-mapped IPv6 address"
    if network.network.network_address != network.ip:
        return "must not have bits set beyond the prefix length"
    return ""


def sloppy_interface(value: str) -> IPv4Interface | IPv6Interface | None:
    """Returns an address and its prefix as Go once read them, with zeros in front of any number
    (ParseCIDRSloppy); None where it is none."""
    address, slash, length = value.partition("/")
    found = packed(_without_zeros(address))
    if not slash or found is None or not (length.isascii() and length.isdigit()):
        return None
    if int(length) > len(found) * 8:
        return None
    return ip_interface((found, int(length)))


def _is_mapped(found: bytes) -> bool:
    return len(found) == 16 and found[:12] == _MAPPED


def check_interface_address(value: str, path: str) -> Iterator[Cause]:
    """Checks the address of an interface with the length of its network's prefix, which has one
    form only (IsValidInterfaceAddress)."""
    if (interface := sloppy_interface(value)) is None:
        yield invalid(path, value, _INTERFACE)
        return
    found, bits = interface.packed, interface.network.prefixlen
    if _is_mapped(found):
        found, bits = found[12:], bits - 96
    canonical = f"{ip_address(found).compressed}/{bits}"
    if value != canonical:
        yield invalid(path, value, f"must be in canonical form ({quote(canonical)})")


def strict_ip(address: str) -> list[str]:
    """Checks an address in a newer field, where it has one form only (IsValidIP)."""
    if problem := _ip_problem(address):
        return [problem]
    canonical = ip_address(packed(address) or b"").compressed
    return [] if canonical == address else [f"must be in canonical form ({quote(canonical)})"]


def strict_cidr(value: str) -> list[str]:
    """Checks a prefix in a newer field, where it has one form only (IsValidCIDR)."""
    if problem := _cidr_problem(value):
        return [problem]
    canonical = ip_network(value).compressed
    return [] if canonical == value else [f"must be in canonical form ({quote(canonical)})"]


def ip_warnings(path: str, address: str) -> Iterator[str]:
    """Yields what is told of an address that was accepted in another form (GetWarningsForIP)."""
    found = packed(_without_zeros(address))
    if found is None:
        return
    if packed(address) is None or _is_mapped(found):
        said = f"non-standard IP address {quote(address)} is invalid"
        yield f"{path}: {said}: use {quote(_plain(found))}"
    elif len(found) == 16 and (plain := _plain(found)) != address:
        said = f"IPv6 address {quote(address)} should be in RFC 5952 canonical format"
        yield f"{path}: {said} ({quote(plain)})"


def _plain(found: bytes) -> str:
    """Returns an address as Go prints it, which shows an IPv4 address inside IPv6 without that."""
    return ip_address(found[12:] if _is_mapped(found) else found).compressed


def cidr_warnings(path: str, value: str) -> Iterator[str]:
    """Yields what is told of a prefix that was accepted in another form (GetWarningsForCIDR)."""
    if (interface := sloppy_interface(value)) is None:
        return
    said, plain = f"{path}: CIDR value {quote(value)}", interface.network.compressed
    ambiguous = interface.ip != interface.network.network_address
    if ambiguous:
        alone = f"{interface.ip.compressed}/{interface.max_prefixlen}"
        yield f"{said} is ambiguous in this context (should be {quote(plain)} or {quote(alone)}?)"
    address, _, length = value.partition("/")
    if packed(address) is None or length != str(int(length)) or _is_mapped(interface.packed):
        yield f"{path}: non-standard CIDR value {quote(value)} is invalid: use {quote(plain)}"
    elif not ambiguous and ":" in value and plain != value:
        said = f"IPv6 CIDR value {quote(value)} should be in RFC 5952 canonical format"
        yield f"{path}: {said} ({quote(plain)})"


def _without_zeros(address: str) -> str:
    if ":" in address:
        return address
    return ".".join(part.lstrip("0") or part[:1] for part in address.split("."))


def check_endpoint_ip(path: str, address: str, known: Container[str] = ()) -> Iterator[Cause]:
    """Checks an address in an older field where it may stand for an endpoint."""
    problems = list(check_ip(path, address, known))
    yield from problems or check_not_special(path, address)


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
