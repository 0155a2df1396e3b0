"""rtnetlink by hand: the few messages that a bridge and its pods need (rtnetlink(7)).

One socket, one request at a time, no waiting beyond the kernel's own answer. Names and addresses
only; deciding what should exist is elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from steersman.network import namespaces

_RTM_NEWLINK, _RTM_DELLINK, _RTM_SETLINK, _RTM_NEWADDR, _RTM_NEWROUTE = 16, 17, 19, 20, 24
_REQUEST, _ACK, _EXCL, _CREATE, _REPLACE = 0x1, 0x4, 0x200, 0x400, 0x100
_ERROR = 2
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = (
    1, 3, 4, 10, 18, 28,
)  # fmt: skip
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_AF_BRIDGE, _IFLA_PROTINFO, _NESTED, _IFLA_BRPORT_MODE = 7, 12, 0x8000, 4
_IFF_UP = 1
_TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_UNIVERSE, _SCOPE_LINK, _UNICAST = 254, 4, 0, 253, 1
_LINK = struct.Struct("=BxHiII")
_HEADER = struct.Struct("=IHHII")
_ANSWER_BYTES = 65536


class NetlinkError(OSError):
    """The kernel refused a request; errno says why."""


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


class Netlink:
    """A route socket in the network namespace of the thread that made it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _ask(self, kind: int, flags: int, body: bytes, what: str) -> None:
        self._sequence += 1
        length = _HEADER.size + len(body)
        head = _HEADER.pack(length, kind, _REQUEST | _ACK | flags, self._sequence, 0)
        self._socket.send(head + body)
        answer = self._socket.recv(_ANSWER_BYTES)
        _, answered, _, _, _ = _HEADER.unpack_from(answer)
        if answered != _ERROR:
            raise NetlinkError(errno.EPROTO, f"{what}: unexpected answer {answered}")
        code = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        if code:
            raise NetlinkError(code, f"{what}: {os.strerror(code)}")

    def add_bridge(self, name: str) -> None:
        """Makes a bridge."""
        info = _attribute(_IFLA_LINKINFO, _text(_INFO_KIND, "bridge"))
        body = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name) + info
        self._ask(_RTM_NEWLINK, _CREATE | _EXCL, body, f"add bridge {name}")

    def add_veth(self, name: str, master: int, peer: str, namespace: int, mtu: int) -> None:
        """Makes a pair, up, `name` here on a bridge (by index; 0: on none), `peer` in the namespace
        that a file descriptor stands for."""
        inner = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, peer)
        inner += _number(_IFLA_NET_NS_FD, namespace) + _number(_IFLA_MTU, mtu)
        data = _attribute(_INFO_DATA, _attribute(_VETH_INFO_PEER, inner))
        info = _attribute(_IFLA_LINKINFO, _text(_INFO_KIND, "veth") + data)
        body = _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP) + _text(_IFLA_IFNAME, name)
        body += (_number(_IFLA_MASTER, master) if master else b"") + _number(_IFLA_MTU, mtu) + info
        self._ask(_RTM_NEWLINK, _CREATE | _EXCL, body, f"add veth {name}")

    def set_up(self, index: int) -> None:
        """Brings a link up."""
        self._ask(_RTM_NEWLINK, 0, _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP), f"link {index} up")

    def set_hardware_address(self, index: int, address: bytes) -> None:
        """Gives a link a MAC address; a bridge keeps it then, whatever its ports are."""
        body = _LINK.pack(0, 0, index, 0, 0) + _attribute(_IFLA_ADDRESS, address)
        self._ask(_RTM_SETLINK, 0, body, f"hardware address of link {index}")

    def let_through_itself(self, index: int) -> None:
        """Lets a bridge send what came from a port back out of the same port (hairpin mode)."""
        mode = _attribute(_IFLA_PROTINFO | _NESTED, _attribute(_IFLA_BRPORT_MODE, b"\1"))
        body = _LINK.pack(_AF_BRIDGE, 0, index, 0, 0) + mode
        self._ask(_RTM_SETLINK, 0, body, f"hairpin of link {index}")

    def delete_link(self, name: str) -> None:
        """Removes a link; one that is not there is fine."""
        body = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name)
        try:
            self._ask(_RTM_DELLINK, 0, body, f"delete link {name}")
        except NetlinkError as error:
            if error.errno != errno.ENODEV:
                raise

    def add_address(self, index: int, address: IPv4Interface) -> None:
        """Gives a link an address; having it already is fine."""
        packed = address.ip.packed
        body = struct.pack("=BBBBI", socket.AF_INET, address.network.prefixlen, 0, 0, index)
        body += _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
        self._ask(_RTM_NEWADDR, _CREATE | _REPLACE, body, f"add address {address}")

    def add_route(
        self, network: IPv4Network, index: int, gateway: IPv4Address | None = None
    ) -> None:
        """Routes a network through a link, over a gateway where one is given."""
        scope = _SCOPE_UNIVERSE if gateway else _SCOPE_LINK
        body = struct.pack(
            "=BBBBBBBBI", socket.AF_INET, network.prefixlen, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC,
            scope, _UNICAST, 0,
        )  # fmt: skip
        if network.prefixlen:
            body += _attribute(_RTA_DST, network.network_address.packed)
        if gateway is not None:
            body += _attribute(_RTA_GATEWAY, gateway.packed)
        body += _number(_RTA_OIF, index)
        self._ask(_RTM_NEWROUTE, _CREATE | _REPLACE, body, f"add route {network}")


def index_of(name: str) -> int:
    """Returns a link's index in this thread's namespace; raises OSError where there is none."""
    return socket.if_nametoindex(name)


@contextlib.contextmanager
def entered(namespace: int) -> Iterator[None]:
    """Runs in another network namespace (by descriptor); only this thread goes there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        namespaces.setns(namespace)
        yield
    finally:
        namespaces.setns(home)
        os.close(home)
