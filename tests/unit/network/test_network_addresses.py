"""Addresses of pods: who gets which, when it is free again, and when none is left."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from steersman.network.addresses import Addresses, NoAddressLeft

SMALL = IPv4Network("10.0.0.8/29")


def taken(addresses: Addresses, *pods: str) -> list[str]:
    return [str(addresses.take(pod)) for pod in pods]


def test_addresses_are_given_in_order_after_the_gateway() -> None:
    addresses = Addresses(SMALL)
    assert str(addresses.gateway) == "10.0.0.9"
    assert taken(addresses, "a", "b", "c") == ["10.0.0.10", "10.0.0.11", "10.0.0.12"]


def test_a_pod_that_asks_again_has_the_address_it_had() -> None:
    addresses = Addresses(SMALL)
    assert taken(addresses, "a", "b", "a") == ["10.0.0.10", "10.0.0.11", "10.0.0.10"]


def test_the_network_the_gateway_and_the_broadcast_address_are_no_pods() -> None:
    addresses = Addresses(SMALL)
    given = taken(addresses, "a", "b", "c", "d", "e")
    assert given == [f"10.0.0.{number}" for number in range(10, 15)]
    with pytest.raises(NoAddressLeft, match=r"^all 5 addresses of 10\.0\.0\.8/29 are in use$"):
        addresses.take("f")


def test_an_address_given_back_comes_again_after_all_others() -> None:
    addresses = Addresses(SMALL)
    taken(addresses, "a", "b")
    addresses.give_back("a")
    assert taken(addresses, "c", "d", "e", "f") == [
        "10.0.0.12", "10.0.0.13", "10.0.0.14", "10.0.0.10",
    ]  # fmt: skip


def test_a_full_range_has_room_again_when_a_pod_is_gone() -> None:
    addresses = Addresses(SMALL)
    taken(addresses, "a", "b", "c", "d", "e")
    addresses.give_back("d")
    assert taken(addresses, "f") == ["10.0.0.13"]
    with pytest.raises(NoAddressLeft):
        addresses.take("g")


def test_a_pod_that_asks_again_in_a_full_range_is_answered() -> None:
    addresses = Addresses(SMALL)
    taken(addresses, "a", "b", "c", "d", "e")
    assert taken(addresses, "c") == ["10.0.0.12"]


def test_giving_back_twice_or_for_a_stranger_is_fine() -> None:
    addresses = Addresses(SMALL)
    taken(addresses, "a")
    for pod in ("a", "a", "stranger"):
        addresses.give_back(pod)
    assert taken(addresses, "a") == ["10.0.0.11"]


def test_restored_addresses_are_not_given_to_others() -> None:
    addresses = Addresses(SMALL)
    addresses.restore("b", IPv4Address("10.0.0.12"))
    addresses.restore("a", IPv4Address("10.0.0.10"))
    assert taken(addresses, "a", "b") == ["10.0.0.10", "10.0.0.12"]
    assert taken(addresses, "c", "d", "e") == ["10.0.0.13", "10.0.0.14", "10.0.0.11"]
    addresses.give_back("b")
    assert taken(addresses, "f") == ["10.0.0.12"]


def test_restoring_the_same_twice_is_fine() -> None:
    addresses = Addresses(SMALL)
    for _ in range(2):
        addresses.restore("a", IPv4Address("10.0.0.12"))
    assert taken(addresses, "a") == ["10.0.0.12"]


@pytest.mark.parametrize("address", ["10.0.0.7", "10.0.0.8", "10.0.0.9", "10.0.0.15", "10.0.0.16"])
def test_what_no_pod_of_the_range_can_have_is_not_restored(address: str) -> None:
    addresses = Addresses(SMALL)
    with pytest.raises(ValueError, match="is no pod's address of"):
        addresses.restore("a", IPv4Address(address))
    assert taken(addresses, "a") == ["10.0.0.10"]


def test_an_address_of_another_pod_is_not_restored() -> None:
    addresses = Addresses(SMALL)
    taken(addresses, "a")
    with pytest.raises(ValueError, match=r"10\.0\.0\.10 belongs to a, not to b"):
        addresses.restore("b", IPv4Address("10.0.0.10"))
    with pytest.raises(ValueError, match=r"a has 10\.0\.0\.10, not 10\.0\.0\.11"):
        addresses.restore("a", IPv4Address("10.0.0.11"))


def test_of_two_that_are_free_the_one_whose_turn_is_next_is_given() -> None:
    addresses = Addresses(SMALL)
    taken(addresses, "a", "b", "c", "d", "e")
    for pod in ("b", "d"):
        addresses.give_back(pod)
    assert taken(addresses, "f", "g") == ["10.0.0.11", "10.0.0.13"]


def test_after_a_restored_address_comes_the_one_behind_it() -> None:
    addresses = Addresses(IPv4Network("10.0.0.0/28"))
    addresses.restore("a", IPv4Address("10.0.0.5"))
    assert taken(addresses, "b") == ["10.0.0.6"]
