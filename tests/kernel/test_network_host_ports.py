"""Ports of the node in a real kernel: who reaches a pod through them, and what may not come in."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest
from network_machine import PODS, Machine, Place, Pod, Run, exchanged

from steersman.network import conntrack, host_ports, netlink, nft, rules
from steersman.network.host_ports import HostPort, plan_forgotten
from steersman.network.service_port import Endpoint, Protocol, ServicePort

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(nft.find_program() is None, reason="nftables is not installed here"),
]
ETH_P_IP = 0x0800
GATEWAY = IPv4Address("10.244.7.1")
GATEWAY_HARDWARE = b"\x0a\x58" + GATEWAY.packed
LOOPBACK = IPv4Address("127.0.0.1")


def lead(
    pod: Pod, number: int = 8000, address: IPv4Address | None = None, protocol: Protocol = "tcp"
) -> HostPort:
    return HostPort(protocol, number, Endpoint(IPv4Address(pod.address), 8080), address)


def apply(machine: Machine, *ports: HostPort) -> None:
    machine.rules.apply_now(host_ports.render(machine.cluster, machine.bridge.name, ports))
    machine.bridge.let_loopback(out=bool(ports))


def test_a_port_is_reached_from_everywhere_and_who_asks_is_seen(run: Run) -> None:
    def test(machine: Machine) -> None:
        outside = machine.outside()
        pod, other = machine.pod("web"), machine.pod("other")
        apply(machine, lead(pod))
        listener = pod.listen(8080)
        asked: Sequence[tuple[Place, str, str]] = (
            (outside, "192.0.2.1", "192.0.2.2"),
            (other, "10.244.7.1", other.address),
            (other, "192.0.2.1", other.address),
            (pod, "10.244.7.1", "10.244.7.1"),  # it would answer itself
            (machine, "10.244.7.1", "10.244.7.1"),
            (machine, "192.0.2.1", "192.0.2.1"),
            (machine, "127.0.0.1", "10.244.7.1"),
            (machine, "127.0.0.53", "10.244.7.1"),
        )
        for place, address, seen in asked:
            with exchanged(place.dial(address, 8000), listener) as (_, peer):
                assert (address, peer) == (address, seen)

    run(test)


def test_datagrams_are_answered_on_loopback_and_from_the_pod_itself(run: Run) -> None:
    def test(machine: Machine) -> None:
        pod = machine.pod("web")
        apply(machine, lead(pod, protocol="udp"))
        server = pod.receive(8080)
        for place, address in ((machine, "127.0.0.1"), (pod, "10.244.7.1")):
            client = place.open(socket.SOCK_DGRAM)
            client.connect((address, 8000))
            client.send(b"question")
            question, peer = server.recvfrom(100)
            server.sendto(question, peer)
            assert client.recv(100) == b"question"

    run(test)


def test_one_number_leads_elsewhere_by_address_and_by_protocol(run: Run) -> None:
    def test(machine: Machine) -> None:
        machine.outside()
        pods = [machine.pod(name) for name in ("loopback", "gateway", "all", "datagrams")]
        apply(
            machine,
            lead(pods[2]),
            lead(pods[0], address=LOOPBACK),
            lead(pods[1], address=GATEWAY),
            lead(pods[3], protocol="udp"),
            lead(pods[3], protocol="sctp"),
        )
        listeners = [pod.listen(8080) for pod in pods]
        for address, wanted in (("127.0.0.1", 0), ("10.244.7.1", 1), ("192.0.2.1", 2)):
            with exchanged(machine.dial(address, 8000), *listeners) as (which, _):
                assert which == wanted

    run(test)


def test_what_the_machine_listens_to_is_hidden_until_the_pod_is_gone(run: Run) -> None:
    def test(machine: Machine) -> None:
        pod = machine.pod("web")
        listeners = [machine.listen(8000), pod.listen(8080)]
        apply(machine, lead(pod))
        for address in ("127.0.0.1", "10.244.7.1"):
            with exchanged(machine.dial(address, 8000), *listeners) as (which, _):
                assert which == 1
        apply(machine)
        for address in ("127.0.0.1", "10.244.7.1"):
            with exchanged(machine.dial(address, 8000), *listeners) as (which, _):
                assert which == 0

    run(test)


def test_a_node_port_of_a_service_goes_before(run: Run) -> None:
    def test(machine: Machine) -> None:
        served, pod = machine.pod("served"), machine.pod("web")
        behind = (Endpoint(IPv4Address(served.address), 8080),)
        service = ServicePort("a/b", "tcp", 80, (IPv4Address("10.96.0.9"),), behind, 8000)
        apply(machine, lead(pod))
        machine.rules.apply_now(rules.render(machine.cluster, machine.bridge.name, PODS, [service]))
        listeners = [served.listen(8080), pod.listen(8080)]
        with exchanged(machine.dial("10.244.7.1", 8000), *listeners) as (which, _):
            assert which == 0

    run(test)


def test_a_pod_does_not_reach_what_listens_to_the_loopback_of_the_machine(run: Run) -> None:
    """CVE-2020-8558: with addresses of loopback let out through the bridge, a pod could send to
    them by way of the node."""

    def test(machine: Machine) -> None:
        pod, forger = machine.pod("web"), machine.pod("forger")
        apply(machine, lead(pod))
        hidden, open_to_pods = (machine.open(socket.SOCK_DGRAM) for _ in range(2))
        hidden.bind(("127.0.0.1", 9999))
        open_to_pods.bind(("10.244.7.1", 9999))
        forge(forger, forger.address, "127.0.0.1")
        forge(forger, "127.0.0.1", "10.244.7.1")
        forge(forger, forger.address, "10.244.7.1")
        assert open_to_pods.recvfrom(100)[1][0] == forger.address  # after the others
        hidden.setblocking(False)
        with pytest.raises(BlockingIOError):
            hidden.recv(100)

    run(test)


def forge(pod: Pod, source: str, target: str) -> None:
    """Sends a datagram that no socket would let out to the node."""
    body = struct.pack("!HHHH", 9999, 9999, 8 + 4, 0) + b"evil"
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, socket.IPPROTO_UDP, 0)
    head += socket.inet_aton(source) + socket.inet_aton(target)
    total = sum(struct.unpack("!10H", head))
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    packet = head[:10] + struct.pack("!H", checksum) + head[12:] + body
    with netlink.entered(pod.descriptor):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, ETH_P_IP)
    with raw:
        raw.sendto(packet, ("eth0", ETH_P_IP, 0, 0, GATEWAY_HARDWARE))


def test_a_client_that_began_before_the_pod_is_led_to_it_once_it_is_forgotten(run: Run) -> None:
    def test(machine: Machine) -> None:
        outside = machine.outside()
        pod = machine.pod("web")
        apply(machine, lead(pod, 9000))  # connections are remembered where a rule asks for it
        client, before = outside.open(socket.SOCK_DGRAM), machine.receive(8000)
        client.sendto(b"before", ("192.0.2.1", 8000))
        assert before.recv(100) == b"before"
        led = lead(pod, protocol="udp")
        apply(machine, led)
        assert conntrack.forget(lambda flows: plan_forgotten(flows, [led], [led])) == 1
        server = pod.receive(8080)
        client.sendto(b"question", ("192.0.2.1", 8000))
        assert server.recvfrom(100)[0] == b"question"

    run(test)
