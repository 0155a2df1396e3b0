"""The cluster's DNS in a real kernel: asked at its Service's address, from pods and the node."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

import msgspec
import pytest
from network_machine import PODS, SERVICES, Machine, Place, Run

from steersman.model.kinds.service import Service
from steersman.model.service_range import DNS_LISTENS
from steersman.network import nft, rules
from steersman.network.dns.forward import Forwarder
from steersman.network.dns.forward import Server as Nameserver
from steersman.network.dns.resolver import Resolver
from steersman.network.dns.serve import Server
from steersman.network.dns.sockets import Sockets
from steersman.network.dns.zone import Zone
from steersman.network.service_port import Endpoint, ServicePort
from steersman.wire import dns
from steersman.wire.dns import Message, Question, Record
from steersman.world.real import RealWorld

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(nft.find_program() is None, reason="nftables is not installed here"),
]
ADDRESS, GATEWAY = IPv4Address("10.96.0.10"), IPv4Address("10.244.7.1")
WEB = "web.default.svc.cluster.local"
BEYOND = Nameserver("192.0.2.2")


@dataclass
class One:
    """A cluster with one Service."""

    found: Service

    def service(self, namespace: str, name: str) -> Service | None:
        return self.found if (namespace, name) == self.found.key else None

    def has_namespace(self, namespace: str) -> bool:
        return namespace == self.found.metadata.namespace

    def slices(self, namespace: str, name: str) -> list[object]:
        return []

    def services_at(self, address: str) -> list[Service]:
        return []

    def slices_with(self, address: str) -> list[object]:
        return []


NAMES = One(
    msgspec.convert(
        {
            "metadata": {"namespace": "default", "name": "web"},
            "spec": {"clusterIP": "10.96.0.20", "ports": [{"port": 80}]},
        },
        Service,
    )
)
ZONE = Zone("cluster.local", ADDRESS, (PODS, SERVICES))


def ask(place: Place, name: str) -> Message:
    """Asks at the Service's address by a datagram."""
    asked = Message(7, (Question(name, dns.A),), recursion_desired=True)
    with place.open(socket.SOCK_DGRAM) as client:
        client.connect((str(ADDRESS), 53))
        client.send(dns.encode(asked))
        return dns.parse(client.recv(4096))


def ask_long(place: Place, name: str) -> Message:
    """Asks at the Service's address over a connection."""
    data = dns.encode(Message(7, (Question(name, dns.A),)))
    with place.dial(ADDRESS, 53) as client:
        client.sendall(len(data).to_bytes(2, "big") + data)
        client.shutdown(socket.SHUT_WR)
        found = b"".join(iter(lambda: client.recv(4096), b""))
    return dns.parse(found[2:])


def answer_once(receiver: socket.socket) -> None:
    """Answers one query as a nameserver does."""
    data, peer = receiver.recvfrom(4096)
    asked = dns.parse(data)
    record = Record(asked.questions[0].name, dns.A, 60, IPv4Address("198.51.100.1"))
    receiver.sendto(dns.encode(dns.answering(asked, answers=(record,))), peer)


def serving(machine: Machine, test: Callable[[], Awaitable[None]]) -> None:
    """Serves names on the machine's bridge, and leads the Service there."""
    behind = (Endpoint(GATEWAY, DNS_LISTENS),)
    ports = [
        ServicePort("kube-system/kube-dns:dns:udp:53", "udp", 53, (ADDRESS,), behind),
        ServicePort("kube-system/kube-dns:dns-tcp:tcp:53", "tcp", 53, (ADDRESS,), behind),
    ]
    machine.rules.apply_now(rules.render(machine.cluster, machine.bridge.name, PODS, ports))

    async def main() -> None:
        world = RealWorld()
        async with world.tasks() as tasks:
            forwarder = Forwarder(lambda: [BEYOND], Sockets(), world, tasks)
            server = Server(
                Resolver(lambda: ZONE, NAMES, forwarder, world),  # type: ignore[arg-type]
                world,
                tasks,
            )
            await server.listen(str(GATEWAY))
            await test()
            server.close()
            tasks.stop()

    asyncio.run(main())


def test_names_are_answered_at_the_address_of_the_service(run: Run) -> None:
    def test(machine: Machine) -> None:
        pod = machine.pod("pod")

        async def asking() -> None:
            for place in (pod, machine):
                for asks in (ask, ask_long):
                    found = await asyncio.to_thread(asks, place, WEB)
                    assert [str(it.data) for it in found.answers] == ["10.96.0.20"]

        serving(machine, asking)

    run(test)


def test_other_names_are_asked_of_the_machines_nameserver(run: Run) -> None:
    def test(machine: Machine) -> None:
        outside, pod = machine.outside(), machine.pod("pod")
        receiver = outside.receive(53)

        async def asking() -> None:
            answering = asyncio.ensure_future(asyncio.to_thread(answer_once, receiver))
            found = await asyncio.to_thread(ask, pod, "example.org")
            await answering
            assert [str(it.data) for it in found.answers] == ["198.51.100.1"]
            # What is known is not asked again: nobody answers any more
            again = await asyncio.to_thread(ask, pod, "example.org")
            assert again.answers and again.id == 7

        serving(machine, asking)

    run(test)


def test_a_nameserver_that_refuses_is_told_at_once(run: Run) -> None:
    def test(machine: Machine) -> None:
        machine.outside()  # nobody listens there: the kernel says so
        pod = machine.pod("pod")

        async def asking() -> None:
            found = await asyncio.to_thread(ask, pod, "example.org")
            assert found.code == dns.SERVFAIL

        serving(machine, asking)

    run(test)
