"""Forwarding on a machine of its own: the kernel's switch, and others' firewalls that drop."""

from __future__ import annotations

import os
import socket
from ipaddress import IPv4Network

import pytest
from network_machine import PODS, Machine, exchanged, on_a_machine

from steersman.network import firewall, nft, rules
from steersman.network.bridge import Bridge
from steersman.network.clean import clean
from steersman.network.forwarding import SWITCH
from steersman.network.netlink import Netlink
from steersman.network.nft import Rules

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(nft.find_program() is None, reason="nftables is not installed here"),
]
# What Docker has made when it has started, as far as it concerns others
DOCKER = """
table ip filter {
  chain DOCKER-USER { return; }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    jump DOCKER-USER
    iifname "docker0" accept
  }
}
"""
DROPPING = """
table ip filter {
  chain FORWARD { type filter hook forward priority filter; policy drop; }
}
"""


def switched() -> str:
    return SWITCH.read_text().strip()


def second_bridge() -> Bridge:
    return Bridge("second", IPv4Network("10.9.0.0/24"), IPv4Network("10.97.0.0/16"))


def test_forwarding_is_off_again_when_the_last_cluster_is_gone() -> None:
    def test(machine: Machine) -> None:
        assert switched() == "0"
        machine.set_up()
        machine.set_up()
        machine.set_up(second_bridge())
        machine.pod("pod")
        clean(machine.cluster, machine.records)
        assert switched() == "1", "another cluster needs it"
        clean("second", machine.records)
        assert switched() == "0"
        clean("second", machine.records)
        machine.set_up()
        assert switched() == "1"
        clean(machine.cluster, machine.records)
        assert switched() == "0"

    on_a_machine(test)


def test_forwarding_that_was_on_before_stays_on() -> None:
    def test(machine: Machine) -> None:
        SWITCH.write_text("1")
        machine.set_up()
        clean(machine.cluster, machine.records)
        assert switched() == "1"

    on_a_machine(test)


def test_forwarding_stays_on_for_who_has_come_since() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        with Netlink() as link:
            link.add_bridge("docker0")
        clean(machine.cluster, machine.records)
        assert switched() == "1"
        with Netlink() as link:
            link.delete_link("docker0")
        # from here on it counts as found on
        machine.set_up()
        clean(machine.cluster, machine.records)
        assert switched() == "1"

    on_a_machine(test)


@pytest.mark.parametrize("others", [DOCKER, DROPPING], ids=["docker", "a policy alone"])
@pytest.mark.parametrize("program", [False, True], ids=["library", "program"])
def test_pods_pass_a_firewall_that_drops_and_nothing_is_left_in_it(
    others: str, program: bool
) -> None:
    def test(machine: Machine) -> None:
        chosen = Rules(program=nft.find_program()) if program else Rules()
        with chosen as applied:
            machine.set_up()
            outside = machine.outside()
            applied.apply_now(rules.render(machine.cluster, machine.bridge.name, PODS, []))
            applied.apply_now(others)
            before = applied.ask("list table ip filter")
            one, two = machine.pod("one"), machine.pod("two")
            listener, beyond = two.listen(80), outside.listen(80)
            assert not reaches(one.open(), two.address)
            for _ in range(2):  # as an agent that is started again
                assert firewall.open_for(applied, machine.bridge.name) == ""
            with exchanged(one.dial(two.address, 80), listener):
                pass
            with exchanged(one.dial("192.0.2.2", 80), beyond):
                pass
            listed = applied.ask("list table ip filter")
            assert listed.count(machine.bridge.name) == 2
            clean(machine.cluster, machine.records)
            assert applied.ask("list table ip filter") == before

    on_a_machine(test)


def reaches(client: socket.socket, address: str) -> bool:
    """Says whether a connection is made at once: a packet that is dropped is not answered."""
    client.settimeout(0.5)
    with client:  # else it would go on to try, and be who is accepted once it is let through
        try:
            client.connect((address, 80))
        except TimeoutError:
            return False
        return True


def test_a_firewall_that_drops_nothing_is_left_alone() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        machine.rules.apply_now(DOCKER.replace("policy drop", "policy accept"))
        before = machine.rules.ask("list ruleset")
        assert firewall.open_for(machine.rules, machine.bridge.name) == ""
        assert machine.rules.ask("list ruleset") == before

    on_a_machine(test)


def test_a_table_that_cannot_be_joined_in_is_named() -> None:
    def test(machine: Machine) -> None:
        machine.set_up()
        machine.rules.apply_now(DROPPING.replace("ip filter", "inet site"))
        before = machine.rules.ask("list ruleset")
        said = firewall.open_for(machine.rules, machine.bridge.name)
        assert said.startswith("The table 'inet site' drops forwarded packets")
        assert machine.bridge.name in said
        assert machine.rules.ask("list ruleset") == before

    on_a_machine(test)
