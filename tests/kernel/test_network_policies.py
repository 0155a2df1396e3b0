"""Who stays with which endpoint, and who may come from where, in a real kernel."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

import pytest
from msgspec.structs import replace
from network_machine import PODS, WAIT_SECONDS, Machine, Place, Pod, Run, exchanged

from steersman.network import choosing, conntrack, nft, rules
from steersman.network.health import Checks
from steersman.network.nft import Rules
from steersman.network.planning import Health, plan_health_port
from steersman.network.service_port import Endpoint, Protocol, ServicePort
from steersman.world.real import RealWorld

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(nft.find_program() is None, reason="nftables is not installed here"),
]
ADDRESS, BALANCED = IPv4Address("10.96.0.10"), IPv4Address("10.96.255.1")
NODE_PORT = 30080
GATEWAY = IPv4Address("10.244.7.1")
SILENT_SECONDS = 0.2  # what is dropped shows as silence alone


def service(pods: Sequence[Pod], protocol: Protocol = "tcp") -> ServicePort:
    endpoints = tuple(Endpoint(IPv4Address(pod.address), 8080) for pod in pods)
    return ServicePort(
        "default/web", protocol, 80, (ADDRESS,), endpoints, NODE_PORT, balanced=(BALANCED,)
    )


def apply(machine: Machine, *ports: ServicePort) -> None:
    """Applies rules as the proxy does: those who stay, stay."""
    remembered = machine.rules.read_sets_now(rules.table_name(machine.cluster))
    text = rules.render(machine.cluster, machine.bridge.name, PODS, ports, remembered)
    machine.rules.apply_now(text)


def reached(
    place: Place, address: object, port: int, listeners: list[socket.socket], times: int
) -> set[int]:
    """Which of some listeners are reached by connections, one after another."""
    found = set()
    for _ in range(times):
        with exchanged(place.dial(address, port), *listeners) as (which, _seen):
            found.add(which)
    return found


def is_silent(place: Place, address: object, port: int) -> bool:
    """Says whether a connection gets no answer at all."""
    made = place.open()
    made.settimeout(SILENT_SECONDS)
    try:
        made.connect((str(address), port))
    except TimeoutError:
        return True
    return False


def test_a_client_stays_with_its_endpoint_by_every_way_and_through_changes(run: Run) -> None:
    def test(machine: Machine) -> None:
        pods = [machine.pod(f"web-{number}") for number in range(4)]
        clients = [machine.pod(f"client-{number}") for number in range(6)]
        listeners = [pod.listen(8080) for pod in pods]
        loyal = replace(service(pods), affinity_seconds=600)
        apply(machine, loyal)
        first = [reached(client, ADDRESS, 80, listeners, 8) for client in clients]
        assert {len(found) for found in first} == {1}
        for client, found in zip(clients, first, strict=True):
            assert reached(client, BALANCED, 80, listeners, 2) == found
            assert reached(client, "10.244.7.1", NODE_PORT, listeners, 2) == found
        apply(machine, loyal, replace(service([]), key="default/other", addresses=()))
        assert [reached(client, ADDRESS, 80, listeners, 3) for client in clients] == first
        # One that is gone is left by its clients, and by nobody else
        (gone,) = first[0]
        fewer = [pod for number, pod in enumerate(pods) if number != gone]
        apply(machine, replace(loyal, endpoints=service(fewer).endpoints))
        for client, found in zip(clients, first, strict=True):
            now = reached(client, ADDRESS, 80, listeners, 4)
            assert len(now) == 1 and (now == found or found == {gone}) and now != {gone}

    run(test)


def test_datagrams_stay_too(run: Run) -> None:
    def test(machine: Machine) -> None:
        pods = [machine.pod(f"web-{number}") for number in range(4)]
        client = machine.pod("client")
        servers = [pod.receive(8080) for pod in pods]
        apply(machine, replace(service(pods, "udp"), affinity_seconds=600))
        reached = [sent(client, servers) for _ in range(12)]
        assert len(set(reached)) == 1

    run(test)


def sent(client: Place, servers: list[socket.socket]) -> int:
    """Which of some servers gets a datagram; the kernel may hand it on after it was sent."""
    sender = client.open(socket.SOCK_DGRAM)
    sender.connect((str(ADDRESS), 80))
    sender.send(b"x")
    (server,), _, _ = select.select(servers, [], [], WAIT_SECONDS)
    assert server.recv(10) == b"x"
    return servers.index(server)


def test_a_client_that_stays_away_for_too_long_is_forgotten(run: Run) -> None:
    def test(machine: Machine) -> None:
        pod = machine.pod("web")
        listeners = [pod.listen(8080)]
        loyal = replace(service([pod]), affinity_seconds=600)
        (endpoint,) = loyal.endpoints
        apply(machine, loyal)
        reached(machine, ADDRESS, 80, listeners, 1)
        name, table = choosing.set_name(loyal, endpoint), rules.table_name(machine.cluster)
        kept = machine.rules.read_sets_now(table)[name]
        assert list(kept) == [str(GATEWAY)] and 590 < kept[str(GATEWAY)] <= 600
        apply(machine, replace(loyal, affinity_seconds=60))
        assert 0 < machine.rules.read_sets_now(table)[name][str(GATEWAY)] <= 60

    run(test)


def test_sets_of_a_table_that_is_not_there_are_none(run: Run) -> None:
    def test(machine: Machine) -> None:
        assert machine.rules.read_sets_now("steer_nowhere") == {}
        with Rules(program=nft.find_program()) as program:
            assert program.read_sets_now("steer_nowhere") == {}
            apply(machine, replace(service([machine.pod("web")]), affinity_seconds=600))
            table = rules.table_name(machine.cluster)
            assert program.read_sets_now(table) == machine.rules.read_sets_now(table)

    run(test)


def test_a_local_policy_holds_for_those_outside_alone(run: Run) -> None:
    def test(machine: Machine) -> None:
        outside = machine.outside()
        here, elsewhere, client = (machine.pod(name) for name in ("here", "elsewhere", "client"))
        listeners = [here.listen(8080), elsewhere.listen(8080)]
        every = service([here, elsewhere])
        apply(machine, replace(every, outside=service([here]).endpoints))
        assert reached(outside, "192.0.2.1", NODE_PORT, listeners, 12) == {0}
        for place in (client, machine):
            assert reached(place, "192.0.2.1", NODE_PORT, listeners, 30) == {0, 1}
            assert reached(place, BALANCED, 80, listeners, 30) == {0, 1}
            assert reached(place, ADDRESS, 80, listeners, 30) == {0, 1}
        apply(machine, replace(every, outside=()))
        assert is_silent(outside, "192.0.2.1", NODE_PORT)
        for place in (client, machine):
            assert reached(place, "192.0.2.1", NODE_PORT, listeners, 1)
            assert reached(place, BALANCED, 80, listeners, 1)

    run(test)


def test_an_internal_policy_holds_for_the_cluster_address_alone(run: Run) -> None:
    def test(machine: Machine) -> None:
        here, elsewhere, client = (machine.pod(name) for name in ("here", "elsewhere", "client"))
        listeners = [here.listen(8080), elsewhere.listen(8080)]
        every = service([here, elsewhere])
        apply(machine, replace(every, inside=service([here]).endpoints))
        for place in (client, machine):
            assert reached(place, ADDRESS, 80, listeners, 12) == {0}
            assert reached(place, BALANCED, 80, listeners, 30) == {0, 1}
        apply(machine, replace(every, inside=()))
        assert is_silent(client, ADDRESS, 80)
        assert reached(client, BALANCED, 80, listeners, 1)

    run(test)


def test_source_ranges_let_only_theirs_to_balanced_addresses(run: Run) -> None:
    def test(machine: Machine) -> None:
        web, friend, stranger = (machine.pod(name) for name in ("web", "friend", "stranger"))
        listeners = [web.listen(8080)]
        allowed = (IPv4Network(f"{friend.address}/32"), IPv4Network("192.0.2.0/24"))
        apply(machine, replace(service([web]), sources=allowed))
        assert reached(friend, BALANCED, 80, listeners, 1) == {0}
        assert is_silent(stranger, BALANCED, 80)
        assert is_silent(machine, BALANCED, 80)
        for place in (stranger, machine):
            assert reached(place, ADDRESS, 80, listeners, 1) == {0}
            assert reached(place, "10.244.7.1", NODE_PORT, listeners, 1) == {0}

    run(test)


def test_a_balanced_address_without_endpoints_refuses(run: Run) -> None:
    def test(machine: Machine) -> None:
        apply(machine, service([]))
        for place in (machine, machine.pod("client")):
            assert place.refuses(BALANCED, 80)

    run(test)


def test_a_health_check_answers_on_the_addresses_of_the_node(run: Run) -> None:
    check = Health("default", "web", 31000, 2)

    async def serve(machine: Machine, place: Place) -> tuple[bytes, bytes, bool]:
        checks = Checks(str(GATEWAY), RealWorld())
        await checks.tell([check])
        some = await asyncio.to_thread(asked, place)
        await checks.tell([check._replace(endpoints=0)])
        none = await asyncio.to_thread(asked, place)
        await checks.tell([])
        gone = await asyncio.to_thread(machine.refuses, GATEWAY, 31000)
        checks.close()
        return some, none, gone

    def asked(place: Place) -> bytes:
        with place.dial("192.0.2.1", 31000) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            return b"".join(iter(lambda: client.recv(4096), b""))

    def test(machine: Machine) -> None:
        outside = machine.outside()
        apply(machine, plan_health_port(check, GATEWAY))
        some, none, gone = asyncio.run(serve(machine, outside))
        assert some.startswith(b"HTTP/1.1 200 OK\r\n") and b'"localEndpoints": 2' in some
        assert b"X-Load-Balancing-Endpoint-Weight: 2\r\n" in some
        assert none.startswith(b"HTTP/1.1 503 ") and b'"localEndpoints": 0' in none
        assert gone

    run(test)


def heard(server: socket.socket) -> bytes:
    return server.recv(100)


@pytest.mark.parametrize("way", ["service", "node port"])
def test_datagrams_of_a_client_go_on_to_another_endpoint_when_theirs_is_gone(
    run: Run, way: str
) -> None:
    def test(machine: Machine) -> None:
        first, second, client = (machine.pod(name) for name in ("first", "second", "client"))
        other = replace(service([first], "udp"), key="default/other", node_port=0)
        other = replace(other, addresses=(IPv4Address("10.96.0.11"),), balanced=())
        servers = [first.receive(8080), second.receive(8080)]
        place = (ADDRESS, 80) if way == "service" else (GATEWAY, NODE_PORT)
        senders = [client.open(socket.SOCK_DGRAM) for _ in range(2)]
        for sender, (address, port) in zip(senders, [place, ("10.96.0.11", 80)], strict=True):
            sender.connect((str(address), port))

        def change(pods: Sequence[Pod]) -> int:
            ports = [service(pods, "udp"), other]
            apply(machine, *ports)
            behind = conntrack.plan_behind(ports)
            return conntrack.forget(lambda flows: conntrack.plan_forgotten(flows, behind, PODS))

        change([first])
        for sender in senders:
            sender.send(b"1")
            assert heard(servers[0]) == b"1"
        assert change([second]) == 1
        assert change([second]) == 0
        senders[0].send(b"2")
        assert heard(servers[1]) == b"2"
        senders[1].send(b"3")
        assert heard(servers[0]) == b"3"

    run(test)
