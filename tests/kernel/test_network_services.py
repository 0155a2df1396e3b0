"""Service rules in a real kernel: who is reached through which address, and who is refused.

Each runs with bridged packets passing the rules (br_netfilter) and without: machines have either.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from network_machine import PODS, Machine, Place, Pod, Run, accepted, exchanged

from steersman.listen import certificates
from steersman.listen.serve import tls_context
from steersman.network import nft, rules
from steersman.network.bridge import Bridge
from steersman.network.nft import Rules, RulesRefused
from steersman.network.service_port import Endpoint, Protocol, ServicePort

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(nft.find_program() is None, reason="nftables is not installed here"),
]
ADDRESS = IPv4Address("10.96.0.10")
NODE_PORT = 30080


def service(
    pods: Sequence[Pod],
    *,
    protocol: Protocol = "tcp",
    addresses: tuple[IPv4Address, ...] = (ADDRESS,),
    key: str = "default/web",
    external: tuple[IPv4Address, ...] = (),
) -> ServicePort:
    endpoints = tuple(Endpoint(IPv4Address(pod.address), 8080) for pod in pods)
    return ServicePort(key, protocol, 80, addresses, endpoints, NODE_PORT, external)


def apply(machine: Machine, *ports: ServicePort) -> None:
    machine.rules.apply_now(rules.render(machine.cluster, machine.bridge.name, PODS, ports))


def asked(client: socket.socket) -> bytes:
    """Sends a datagram and returns the answer."""
    with client:
        client.send(b"question")
        return client.recv(100)


def test_connections_spread_over_all_endpoints_from_the_node_and_from_pods(run: Run) -> None:
    def test(machine: Machine) -> None:
        pods = [machine.pod(f"web-{number}") for number in range(3)]
        client = machine.pod("client")
        apply(machine, service(pods))
        listeners = [pod.listen(8080) for pod in pods]
        for place, address in ((machine, "10.244.7.1"), (client, client.address)):
            reached = set()
            for _ in range(50):
                with exchanged(place.dial(ADDRESS, 80), *listeners) as (which, seen):
                    reached.add(which)
                    assert seen == address
            assert reached == {0, 1, 2}

    run(test)


def test_a_pod_reaches_itself_through_its_own_service_and_sees_the_node(run: Run) -> None:
    def test(machine: Machine) -> None:
        pod = machine.pod("web")
        apply(machine, service([pod]))
        listener = pod.listen(8080)
        for _ in range(3):
            with exchanged(pod.dial(ADDRESS, 80), listener) as (_, seen):
                assert seen == "10.244.7.1"

    run(test)


@pytest.mark.parametrize("where", ["node", "pod", "itself"])
def test_datagrams_are_answered_from_the_address_that_was_asked(run: Run, where: str) -> None:
    def test(machine: Machine) -> None:
        pod = machine.pod("web")
        places: dict[str, Place] = {"node": machine, "pod": machine.pod("client"), "itself": pod}
        apply(machine, service([pod], protocol="udp"))
        server = pod.receive(8080)
        client = places[where].open(socket.SOCK_DGRAM)
        client.connect((str(ADDRESS), 80))
        client.send(b"question")
        question, peer = server.recvfrom(100)
        assert question == b"question"
        server.sendto(b"answer", peer)
        assert client.recv(100) == b"answer"

    run(test)


def test_a_port_of_one_protocol_is_none_of_the_other(run: Run) -> None:
    def test(machine: Machine) -> None:
        pod = machine.pod("web")
        apply(machine, service([], protocol="udp"), service([pod], key="default/other"))
        listener = pod.listen(8080)
        with exchanged(machine.dial(ADDRESS, 80), listener):
            pass

    run(test)


@pytest.mark.parametrize("where", ["node", "pod"])
def test_a_service_without_endpoints_refuses_at_once_however_often(run: Run, where: str) -> None:
    def test(machine: Machine) -> None:
        pod = machine.pod("client")
        place = machine if where == "node" else pod
        apply(machine, service([]), service([], protocol="udp", key="default/udp"))
        for _ in range(20):
            with pytest.raises(ConnectionRefusedError):
                place.dial(ADDRESS, 80)
        datagrams = place.open(socket.SOCK_DGRAM)
        datagrams.connect((str(ADDRESS), 80))
        # On the node itself the refusal meets the sender before the datagram is out
        with pytest.raises((ConnectionRefusedError, PermissionError)):
            asked(datagrams)

    run(test)


def test_an_external_address_is_reached_like_the_cluster_address(run: Run) -> None:
    def test(machine: Machine) -> None:
        machine.outside()
        pod, client = machine.pod("web"), machine.pod("client")
        external = IPv4Address("192.0.2.77")
        apply(machine, service([pod], external=(external,)))
        listener = pod.listen(8080)
        for place in (machine, client):
            with exchanged(place.dial(external, 80), listener):
                pass

    run(test)


def test_a_node_port_is_reached_on_the_addresses_of_the_node_but_not_on_loopback(run: Run) -> None:
    def test(machine: Machine) -> None:
        outside, pod = machine.outside(), machine.pod("web")
        apply(machine, service([pod]))
        listener = pod.listen(8080)
        for place, address, source in (
            (outside, "192.0.2.1", "192.0.2.2"),
            (machine, "192.0.2.1", "192.0.2.1"),
            (machine, "10.244.7.1", "10.244.7.1"),
            (pod, "192.0.2.1", "10.244.7.1"),
            (machine.pod("client"), "10.244.7.1", "10.244.7.3"),
        ):
            with exchanged(place.dial(address, NODE_PORT), listener) as (_, seen):
                assert seen == source
        with pytest.raises(ConnectionRefusedError):
            machine.dial("127.0.0.1", NODE_PORT)
        with pytest.raises(ConnectionRefusedError):
            outside.dial("192.0.2.1", 80)

    run(test)


def test_connections_stay_when_rules_change_and_even_when_no_endpoint_is_left(run: Run) -> None:
    def test(machine: Machine) -> None:
        pod, other = machine.pod("web"), machine.pod("other")
        listener = pod.listen(8080)
        apply(machine, service([pod]))
        clients = [machine.dial(ADDRESS, 80), other.dial(ADDRESS, 80)]
        connections = [accepted(listener)[1] for _ in clients]
        for ports in ([service([other])], [service([])]):
            apply(machine, *ports)
            for client, connection in zip(clients, connections, strict=True):
                client.sendall(b"still")
                assert connection.recv(5) == b"still"
                connection.sendall(b"here")
                assert client.recv(4) == b"here"
        for connection in connections:
            connection.close()

    run(test)


def test_two_services_that_claim_one_address_harm_nobody_else(run: Run) -> None:
    def test(machine: Machine) -> None:
        first, second = machine.pod("first"), machine.pod("second")
        thief = service(
            [second], key="a/thief", addresses=(IPv4Address("10.96.0.9"),), external=(ADDRESS,)
        )
        empty = service(
            [], key="z/empty", addresses=(IPv4Address("10.96.0.8"),), external=(ADDRESS,)
        )
        apply(machine, thief, empty, service([first]))
        listeners = [first.listen(8080), second.listen(8080)]
        with exchanged(machine.dial(ADDRESS, 80), *listeners) as (which, _):
            assert which == 0
        with exchanged(machine.dial("10.96.0.9", 80), *listeners) as (which, _):
            assert which == 1

    run(test)


def test_two_clusters_work_side_by_side(run: Run) -> None:
    def test(machine: Machine) -> None:
        pods, services = IPv4Network("10.9.0.0/24"), IPv4Network("10.97.0.0/16")
        second = Bridge("second", pods, services)
        machine.set_up(second)
        here, there = machine.pod("web"), machine.pod("web", second)
        apply(machine, service([here]))
        other = service([there], addresses=(IPv4Address("10.97.0.10"),))
        machine.rules.apply_now(rules.render("second", second.name, pods, [other]))
        listeners = [here.listen(8080), there.listen(8080)]
        for place in (machine, here):
            with exchanged(place.dial(ADDRESS, 80), *listeners) as (which, _):
                assert which == 0
        for place in (machine, there):
            with exchanged(place.dial("10.97.0.10", 80), *listeners) as (which, _):
                assert which == 1
        machine.rules.apply_now(rules.render_removal("second"))
        second.remove()
        with exchanged(here.dial(ADDRESS, 80), *listeners) as (which, _):
            assert which == 0

    run(test)


def test_a_pod_reaches_a_tls_server_of_the_node_through_the_kubernetes_service(
    run: Run, tmp_path: Path
) -> None:
    files = certificates.ensure(tmp_path, ["10.96.0.1"], time.time())
    serving = tls_context(files.certificate(), files.key(), files.ca)
    trusting = ssl.create_default_context(cafile=str(files.ca))

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with serving.wrap_socket(connection, server_side=True) as secured:
            secured.sendall(secured.recv(100))

    def test(machine: Machine) -> None:
        address = IPv4Address("10.96.0.1")
        behind = (Endpoint(IPv4Address("10.244.7.1"), 6443),)
        apply(machine, ServicePort("default/kubernetes", "tcp", 443, (address,), behind))
        listener = machine.listen(6443, "10.244.7.1")
        for place in (machine.pod("pod"), machine):
            with ThreadPoolExecutor(max_workers=1) as threads:
                served = threads.submit(serve, listener)
                with trusting.wrap_socket(
                    place.dial(address, 443), server_hostname="10.96.0.1"
                ) as secured:
                    secured.sendall(b"version")
                    assert secured.recv(100) == b"version"
                served.result(60)

    run(test)


def test_a_refused_text_leaves_the_rules_that_were_there(run: Run) -> None:
    def test(machine: Machine) -> None:
        pod = machine.pod("web")
        listener = pod.listen(8080)
        apply(machine, service([pod]))
        broken = rules.render(machine.cluster, machine.bridge.name, PODS, [])
        for mistake, message in (
            ("nonsense", "syntax error"),
            ("delete table ip not_there", "No such file or directory"),
            ("table ip", "syntax error"),
        ):
            with pytest.raises(RulesRefused, match=message):
                machine.rules.apply_now(f"{broken}{mistake}\n")
        with exchanged(machine.dial(ADDRESS, 80), listener):
            pass

    run(test)


def test_a_removed_table_is_gone_and_removing_it_again_is_fine(run: Run) -> None:
    def test(machine: Machine) -> None:
        apply(machine, service([machine.pod("web")]))
        for _ in range(2):
            asyncio.run(machine.rules.apply(rules.render_removal(machine.cluster)))
        with pytest.raises(RulesRefused):
            machine.rules.apply_now(f"delete table ip steer_{machine.cluster}\n")

    run(test)


def test_without_the_library_the_program_applies_the_same(run: Run) -> None:
    def test(machine: Machine) -> None:
        pod = machine.pod("web")
        listener = pod.listen(8080)
        with Rules(program=nft.find_program()) as applied:
            text = rules.render(machine.cluster, machine.bridge.name, PODS, [service([pod])])
            applied.apply_now(text)
            applied.apply_now(text)
            with pytest.raises(RulesRefused, match="nonsense"):
                applied.apply_now("nonsense\n")
        with exchanged(machine.dial(ADDRESS, 80), listener):
            pass

    run(test)


@pytest.mark.parametrize("where", ["node", "pod"])
def test_a_port_that_a_service_does_not_have_is_refused_at_once(run: Run, where: str) -> None:
    def test(machine: Machine) -> None:
        pod, client = machine.pod("web"), machine.pod("client")
        place = machine if where == "node" else client
        apply(machine, service([pod]))
        listener = pod.listen(8080)
        assert place.refuses(ADDRESS, 81)
        datagrams = place.open(socket.SOCK_DGRAM)
        datagrams.connect((str(ADDRESS), 80))
        with pytest.raises((ConnectionRefusedError, PermissionError)):
            asked(datagrams)
        with exchanged(place.dial(ADDRESS, 80), listener):
            pass

    run(test)
