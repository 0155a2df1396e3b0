"""Quantities against upstream's own tables (quantity_test.go)."""

from __future__ import annotations

import pytest

from steersman.model.quantity import Quantity, QuantityError, of_bytes, of_milli, parse

WRONG_FORMAT = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
WRONG_SUFFIX = "unable to parse quantity's suffix"

PRINTED = {
    "0": "0",
    "0Ki": "0",
    "00": "0",
    "-": "0",
    "1Ki": "1Ki",
    "1024Mi": "1Gi",
    "307200Ki": "300Mi",
    "1000M": "1G",
    "5000m": "5",
    "1000u": "1m",
    ".001Ki": "1024m",
    ".000001Ki": "1024u",
    ".000000001Ki": "1024n",
    ".000000000001Ki": "2n",
    "0.5": "500m",
    "0.1": "100m",
    "1.08": "1080m",
    "1080000000n": "1080m",
    "3.001n": "4n",
    "0.0000000001": "1n",
    "0.00000012354": "124n",
    "1.5Gi": "1536Mi",
    "100.035Ki": "102435840m",
    "1023Ki": "1023Ki",
    "512": "512",
    "9Ei": "9223372036854775807",
    "9223372036854775807Ki": "9223372036854775807",
    "1234567M": "1234567M",
    "1000000": "1M",
    ".001e12": "1e9",
    "1000e-12": "1e-9",
    "0.001e0": "1e-3",
    "5e0": "5e0",
    "80e-3": "80e-3",
    "10000E": "10000E",
}


@pytest.mark.parametrize(("text", "printed"), PRINTED.items())
def test_a_quantity_prints_as_upstream_prints_it(text: str, printed: str) -> None:
    assert str(parse(text)) == printed


@pytest.mark.parametrize(
    "text", ["12E", "1E-3", "12Mi", "+12Mi", "1025Ki", "1.500", "100m", "1E3", "1.G"]
)
def test_a_text_that_is_canonical_is_kept_as_it_came(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize("text", ["0.5Gi", "-1.5", "-512Mi", "-1024Mi", "-3k", "-0.000000001"])
def test_the_negative_of_a_quantity_prints_as_the_positive_with_a_sign(text: str) -> None:
    assert str(-parse(text)) == str(parse(text.removeprefix("-") if text[0] == "-" else "-" + text))


@pytest.mark.parametrize("text", ["", "1.1.M", "1+1.0M", "0.1am", "aoeu", " 1", "1 ", "1\n", "٣"])
def test_a_text_of_the_wrong_form_is_refused(text: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse(text)
    assert str(caught.value) == WRONG_FORMAT


@pytest.mark.parametrize("text", ["0.1mi", ".5i", "1i", "-3.01e-", "1e", "1-3", "1e1025", "1KiB"])
def test_an_unknown_suffix_is_refused(text: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse(text)
    assert str(caught.value) in (WRONG_SUFFIX, WRONG_FORMAT)
    assert (str(caught.value) == WRONG_FORMAT) == (text == "1KiB")


def test_an_exponent_or_text_that_would_take_gigabytes_is_refused() -> None:
    with pytest.raises(QuantityError, match="suffix"):
        parse("1e1000000000")
    with pytest.raises(QuantityError, match="numeric part"):
        parse("1" * 1025)
    assert parse("1" * 1024).value() == int("1" * 1024)
    assert parse("1e-1024") == parse("1n")


def test_numbers_of_json_are_quantities_too() -> None:
    assert parse(5) == parse("5")
    assert parse(0.5) == parse("500m")
    assert parse(1e21) == parse("1e21")


@pytest.mark.parametrize(
    ("text", "milli", "value"),
    [
        ("1.5", 1500, 2),
        ("-1.5", -1500, -2),
        ("1u", 1, 1),
        ("2500m", 2500, 3),
        ("1Gi", 2**30 * 1000, 2**30),
    ],
)
def test_milli_and_value_round_away_from_zero(text: str, milli: int, value: int) -> None:
    assert parse(text).milli() == milli
    assert parse(text).value() == value


def test_quantities_compare_and_hash_by_amount_whatever_their_format() -> None:
    assert parse("1024Mi") == parse("1Gi")
    assert hash(parse("1k")) == hash(parse("1000"))
    assert parse("10000T") > parse("100Gi")
    assert parse("50m") < parse("100m")
    assert not parse("0")
    assert parse("1n")


def test_adding_to_zero_takes_the_other_format() -> None:
    zero = parse("0")
    assert str(zero + parse("1Gi")) == "1Gi"
    assert str(parse("1Gi") + zero) == "1Gi"
    assert str(zero - parse("1Gi")) == "-1Gi"
    assert str(parse("100m") - zero) == "100m"
    assert str(parse("1Gi") + parse("1G")) == "2073741824"
    assert str(parse("1Gi") - parse("512Mi")) == "512Mi"


def test_amounts_from_numbers_print_in_their_format() -> None:
    assert str(of_milli(1500)) == "1500m"
    assert str(of_bytes(64 * 2**20)) == "64Mi"
    assert Quantity(10**9) == parse("1")
