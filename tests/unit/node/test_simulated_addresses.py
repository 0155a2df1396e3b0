"""A ring of addresses: each is one's at a time, and what is held is not given out."""

from __future__ import annotations

from steersman.node.simulated.addresses import Addresses


def test_each_address_is_given_once_and_one_that_is_given_back_again() -> None:
    addresses = Addresses("10.0.0.0/29")
    assert str(addresses) == "10.0.0.0/29"
    given = [addresses.take() for _ in range(7)]
    assert given == [*(f"10.0.0.{number}" for number in (2, 3, 4, 5, 6, 1)), ""]
    addresses.give_back("10.0.0.4")
    assert [addresses.take(), addresses.take()] == ["10.0.0.4", ""]


def test_an_address_that_is_free_again_comes_after_the_others() -> None:
    addresses = Addresses("10.0.0.0/29")
    addresses.give_back(addresses.take())
    assert addresses.take() == "10.0.0.3"


def test_who_has_an_address_keeps_it_and_those_of_other_ranges_use_nothing_up() -> None:
    addresses = Addresses("10.0.0.0/30")
    addresses.hold(("10.0.0.2", "192.168.0.1", "fd00::1"))
    assert [addresses.take(), addresses.take()] == ["10.0.0.1", ""]


def test_a_range_is_what_its_mask_leaves_and_where_that_is_too_little_nobody_gets_one() -> None:
    addresses = Addresses("10.0.0.5/30")
    assert [addresses.take(), addresses.take(), addresses.take()] == ["10.0.0.6", "10.0.0.5", ""]
    assert [Addresses(f"10.0.0.1/{bits}").take() for bits in (31, 32)] == ["", ""]
