"""Connections that the kernel remembers, by hand (nfnetlink, nf_conntrack_netlink): read and ended.

Datagrams have no end that the kernel sees: as long as a client keeps sending, it stays with the
endpoint it began with, also when that is gone. So what leads nowhere any more is forgotten
(pkg/proxy/conntrack).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from steersman.network.service_port import Endpoint, ServicePort

_NETFILTER = 12
_GET, _DELETE = 0x0101, 0x0102  # of the subsystem of conntrack
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_ORIGINAL, _REPLY = 1, 2
_ADDRESSES, _PROTOCOL = 1, 2
_SOURCE, _DESTINATION = 1, 2
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_KIND = 0x3FFF  # without the bits that say nested and byte order
_HEADER = struct.Struct("=IHHII")
_FAMILY = struct.Struct("=BBH")
_ANSWER_BYTES = 65536
# What a kernel without connection tracking over netlink says
_UNSUPPORTED = (errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOENT)


class Flow(NamedTuple):
    """A remembered exchange of datagrams: whom the client asked, and who answers.

    original: the kernel's own words for it, by which it is forgotten
    """

    asked: Endpoint
    answers: Endpoint
    original: bytes


# Which of the exchanges that there are lead nowhere any more
Plan = Callable[[Iterable[Flow]], Iterable[Flow]]
# Whose endpoints stand behind an address and port; address None: any of the node's (node ports)
Behind = Mapping[tuple[IPv4Address | None, int], frozenset[Endpoint]]


def plan_behind(ports: Iterable[ServicePort]) -> Behind:
    """Returns where datagrams to Services may go; those without endpoints are refused anyway."""
    behind: dict[tuple[IPv4Address | None, int], frozenset[Endpoint]] = {}
    for port in ports:
        if port.protocol != "udp" or not port.endpoints:
            continue
        every = frozenset(port.reached)
        for address in (*port.addresses, *port.balanced, *port.external):
            behind.setdefault((address, port.port), every)
        if port.node_port:
            behind.setdefault((None, port.node_port), every)
    return behind


def plan_forgotten(flows: Iterable[Flow], behind: Behind, pods: IPv4Network) -> Iterator[Flow]:
    """Yields the flows to a Service whose endpoint is none of the Service's any more.

    A node port is one on this machine alone: of the flows to its number only those that were led
    to a pod are the Service's.
    """
    for flow in flows:
        there = behind.get((flow.asked.address, flow.asked.port))
        if there is None and flow.answers.address in pods:
            there = behind.get((None, flow.asked.port))
        if there is not None and flow.answers not in there:
            yield flow


def forget(plan: Plan) -> int:
    """Forgets the flows that a plan chooses; returns how many, waiting for the kernel.

    A kernel that does not tell its connections remembers them to their end. Raises OSError.
    """
    with Connections() as connections:
        try:
            flows = list(connections.flows())
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return 0
            raise
        stale = list(plan(flows))
        for flow in stale:
            connections.delete(flow)
        return len(stale)


class Connections:
    """A netlink socket in the network namespace of the thread that made it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Connections:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def flows(self) -> Iterator[Flow]:
        """Yields the exchanges of datagrams over IPv4."""
        self._send(_GET, _DUMP, b"")
        while True:
            for kind, body in _messages(self._socket.recv(_ANSWER_BYTES)):
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    raise _refusal(body)
                if (flow := parse_flow(body[_FAMILY.size :])) is not None:
                    yield flow

    def delete(self, flow: Flow) -> None:
        """Forgets a flow; one that is gone is fine."""
        self._send(_DELETE, _ACK, _attribute(_ORIGINAL | 0x8000, flow.original))
        for kind, body in _messages(self._socket.recv(_ANSWER_BYTES)):
            if kind == _ERROR and struct.unpack_from("=i", body)[0] not in (0, -errno.ENOENT):
                raise _refusal(body)

    def _send(self, kind: int, flags: int, attributes: bytes) -> None:
        self._sequence += 1
        body = _FAMILY.pack(socket.AF_INET, 0, 0) + attributes
        length = _HEADER.size + len(body)
        head = _HEADER.pack(length, kind, _REQUEST | flags, self._sequence, 0)
        self._socket.send(head + body)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        yield kind, data[at + _HEADER.size : at + length]
        at += max(_HEADER.size, length + -length % 4)


def _refusal(body: bytes) -> OSError:
    number = -struct.unpack_from("=i", body)[0]
    return OSError(number, f"conntrack: {os.strerror(number)}")


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def _attributes(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind & _KIND] = data[at + 4 : at + length]
        at += max(4, length + -length % 4)
    return found


def parse_flow(data: bytes) -> Flow | None:
    """Returns an exchange of datagrams out of the attributes of a connection, None for others."""
    found = _attributes(data)
    original, reply = found.get(_ORIGINAL, b""), found.get(_REPLY, b"")
    asked = _end(original, _DESTINATION, _DESTINATION_PORT)
    answers = _end(reply, _SOURCE, _SOURCE_PORT)
    if asked is None or answers is None:
        return None
    return Flow(asked, answers, original)


def _end(data: bytes, address: int, port: int) -> Endpoint | None:
    """Returns one end of an exchange of datagrams."""
    found = _attributes(data)
    addresses = _attributes(found.get(_ADDRESSES, b""))
    protocol = _attributes(found.get(_PROTOCOL, b""))
    if protocol.get(_NUMBER) != bytes((socket.IPPROTO_UDP,)):
        return None
    if len(addresses.get(address, b"")) != 4 or len(protocol.get(port, b"")) != 2:
        return None
    return Endpoint(IPv4Address(addresses[address]), int.from_bytes(protocol[port], "big"))
