"""The bridge on a machine of its own: set up, pods come and go, the outside, and that it goes."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from network_machine import PODS, SERVICES, Machine, exchanged, namespace, on_a_machine

from steersman.network import host_ports, netlink, nft, rules
from steersman.network.addresses import NoAddressLeft
from steersman.network.bridge import Bridge, bridge_name, link_name
from steersman.network.clean import clean
from steersman.network.host_ports import HostPort
from steersman.network.nft import RulesRefused
from steersman.network.service_port import Endpoint

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(nft.find_program() is None, reason="nftables is not installed here"),
]
SIOCGIFHWADDR = 0x8927


def links() -> list[str]:
    return sorted(name for _, name in socket.if_nameindex() if name != "lo")


def routes() -> str:
    return Path("/proc/thread-self/net/route").read_text()


def test_setting_up_a_bridge_twice_changes_nothing() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        before = links(), routes()
        machine.set_up()
        assert (links(), routes()) == before
        assert links() == [bridge_name(machine.cluster)]
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"
        assert machine.refuses(machine.bridge.addresses.gateway, 80)

    on_a_machine(test)


def test_pods_reach_one_another_and_the_node_and_are_seen_with_their_own_address() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        one, two = machine.pod("one"), machine.pod("two")
        assert one.address == "10.244.7.2"
        listener, node = two.listen(80), machine.listen(80)
        with exchanged(one.dial(two.address, 80), listener) as (_, seen):
            assert seen == one.address
        with exchanged(machine.dial(two.address, 80), listener) as (_, seen):
            assert seen == "10.244.7.1"
        with exchanged(one.dial("10.244.7.1", 80), node) as (_, seen):
            assert seen == one.address
        with exchanged(two.dial("127.0.0.1", 80), listener) as (_, seen):
            assert seen == "127.0.0.1"

    on_a_machine(test)


def hardware_address(name: str) -> bytes:
    request = struct.pack("16s16x", name.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        return fcntl.ioctl(any_socket, SIOCGIFHWADDR, request)[18:24]


def test_the_bridge_keeps_its_hardware_address_while_pods_come_and_go() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        name = bridge_name(machine.cluster)
        before = hardware_address(name)
        assert before == bytes((0x0A, 0x58, 10, 244, 7, 1))
        for number in range(4):
            machine.pod(f"pod-{number}")
            assert hardware_address(name) == before
        for number in range(4):
            asyncio.run(machine.bridge.delete(f"pod-{number}"))
            assert hardware_address(name) == before
        machine.set_up()
        assert hardware_address(name) == before

    on_a_machine(test)


def test_connecting_a_pod_twice_keeps_its_address_its_link_and_its_connections() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        pod = machine.pod("pod")
        listener = machine.listen(80)
        client = pod.dial("10.244.7.1", 80)
        before = links()
        assert asyncio.run(machine.bridge.add("pod", pod.path)) == [pod.address]
        assert links() == before
        with exchanged(client, listener):
            pass

    on_a_machine(test)


def test_a_deleted_pod_leaves_no_link_and_deleting_it_again_is_fine() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        machine.pod("pod")
        assert link_name(machine.cluster, "pod") in links()
        asyncio.run(machine.bridge.delete("pod"))
        asyncio.run(machine.bridge.delete("pod"))
        assert links() == [machine.bridge.name]

    on_a_machine(test)


def test_a_pod_in_a_new_namespace_takes_over_the_link_of_the_old_one() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        old = machine.pod("pod")
        new = machine.pod("pod")
        assert new.address == old.address
        listener = new.listen(80)
        with exchanged(machine.dial(new.address, 80), listener):
            pass

    on_a_machine(test)


def test_a_restarted_agent_goes_on_with_the_addresses_that_running_pods_have() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        pod = machine.pod("pod")
        again = Bridge(machine.cluster, PODS, SERVICES)
        again.restore("pod", [pod.address])
        machine.set_up(again)
        other = machine.pod("other", again)
        assert other.address == "10.244.7.3"
        assert again.connect("pod", pod.path) == pod.address
        listener = pod.listen(80)
        with exchanged(other.dial(pod.address, 80), listener):
            pass

    on_a_machine(test)


def test_a_full_range_refuses_the_next_pod_until_one_is_gone() -> None:
    def test(machine: Machine) -> None:
        bridge = Bridge("tiny", IPv4Network("10.9.0.0/30"), SERVICES)
        machine.set_up(bridge)
        assert machine.pod("one", bridge).address == "10.9.0.2"
        with pytest.raises(NoAddressLeft, match=r"all 1 addresses of 10\.9\.0\.0/30 are in use"):
            machine.pod("two", bridge)
        bridge.disconnect("one")
        assert machine.pod("two", bridge).address == "10.9.0.2"

    on_a_machine(test)


def test_a_pod_whose_namespace_is_not_there_is_refused() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        with pytest.raises(FileNotFoundError):
            asyncio.run(machine.bridge.add("pod", Path("/proc/self/fd/9999")))
        assert links() == [machine.bridge.name]

    on_a_machine(test)


def test_pods_reach_the_outside_under_the_address_of_the_node() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        outside = machine.outside()
        machine.rules.apply_now(rules.render(machine.cluster, machine.bridge.name, PODS, []))
        listener = outside.listen(80)
        with exchanged(machine.pod("pod").dial("192.0.2.2", 80), listener) as (_, seen):
            assert seen == "192.0.2.1"

    on_a_machine(test)


def test_pods_believe_no_redirects_which_would_lead_them_past_the_service_rules() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        pod = machine.pod("pod")
        with netlink.entered(pod.descriptor):
            for name in ("all", "eth0"):
                setting = Path(f"/proc/sys/net/ipv4/conf/{name}/accept_redirects")
                assert setting.read_text() == "0\n"

    on_a_machine(test)


def test_cleaning_removes_one_cluster_alone_and_may_be_repeated() -> None:
    def test(machine: Machine) -> None:
        kept = Bridge("kept", IPv4Network("10.9.0.0/24"), IPv4Network("10.97.0.0/16"))
        pods = []
        for bridge, cluster in ((machine.bridge, machine.cluster), (kept, "kept")):
            machine.set_up(bridge)
            pods.append(machine.pod("pod", bridge))
            network = bridge.addresses.network
            machine.rules.apply_now(rules.render(cluster, bridge.name, network, []))
            led = HostPort("tcp", 8000, Endpoint(network[2], 80))
            machine.rules.apply_now(host_ports.render(cluster, bridge.name, [led]))
        for _ in range(2):
            clean(machine.cluster, machine.records)
            assert links() == sorted([kept.name, link_name("kept", "pod")])
        for table in ("", "_ports"):
            with pytest.raises(RulesRefused):
                machine.rules.apply_now(f"delete table ip steer_{machine.cluster}{table}\n")
            machine.rules.apply_now(f"delete table ip steer_kept{table}\n")
        listener = pods[1].listen(80)
        with exchanged(machine.dial(pods[1].address, 80), listener):
            pass

    on_a_machine(test)


def test_cleaning_removes_links_whose_bridge_is_gone() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        machine.pod("pod")
        machine.bridge.remove()
        machine.bridge.remove()
        assert links() == [link_name(machine.cluster, "pod")]
        clean(machine.cluster, machine.records)
        assert links() == []

    on_a_machine(test)


def test_a_thread_comes_back_from_a_namespace_even_when_its_work_fails() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        descriptor = namespace()
        with pytest.raises(OSError), netlink.entered(descriptor):
            netlink.index_of(machine.bridge.name)
        assert netlink.index_of(machine.bridge.name)
        os.close(descriptor)

    on_a_machine(test)
