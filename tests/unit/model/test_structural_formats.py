"""Formats of strings, and patterns on RE2."""

from __future__ import annotations

import subprocess
import sys

import pytest

from steersman.model.structural import formats, patterns

GOOD = {
    "bsonobjectid": ["507f1f77bcf86cd799439011"],
    "uri": ["https://example.com/a?b=c", "/path", "mailto:x@y.z"],
    "email": ["a@b.c", "Jane <jane@example.com>", '"odd name"@example.com'],
    "hostname": ["example", "a-b", "my-host.example.com", "a" * 63],
    "ipv4": ["10.0.0.1", "010.0.0.1"],
    "ipv6": ["::1", "fe80::1"],
    "cidr": ["10.0.0.0/8", "10.0.0.1/8", "fd00::/64"],
    "mac": [
        "01:23:45:67:89:ab",
        "01-23-45-67-89-AB",
        "0123.4567.89ab",
        "01:23:45:67:89:ab:cd:ef",
        "0123.4567.89ab.cdef",
    ],
    "uuid": ["0a1b2c3d-0a1b-4c3d-8a1b-0a1b2c3d4e5f", "0A1B2C3D0A1B4C3D8A1B0A1B2C3D4E5F"],
    "uuid3": ["0a1b2c3d-0a1b-3c3d-0a1b-0a1b2c3d4e5f"],
    "uuid4": ["0a1b2c3d-0a1b-4c3d-8a1b-0a1b2c3d4e5f"],
    "uuid5": ["0a1b2c3d-0a1b-5c3d-9a1b-0a1b2c3d4e5f"],
    "isbn": ["0321751043", "978-0321751041"],
    "isbn10": ["0-321-75104-3"],
    "isbn13": ["978-0321751041"],
    "creditcard": ["4111 1111 1111 1111"],
    "ssn": ["111-22-3333"],
    "hexcolor": ["#FFF", "a0b1c2", "#a0b1c2"],
    "rgbcolor": ["rgb(0, 255,19)", "rgb(249,100,9)"],
    "byte": ["aGk=", "aGkh"],
    "password": ["", "anything"],
    "date": ["2024-02-29"],
    "duration": ["1h30m", "22 ns", "3 weeks", "-1.5s", "0"],
    "date-time": ["2014-12-15T19:30:20.000Z", "2014-12-15t19:30:20+01:00", "2014-12-15T23:59:59z"],
    "k8s-short-name": ["a-1", "a" * 63, "9"],
    "k8s-long-name": ["a.b-c.d", ".".join(["a" * 49] * 5) + ".ab"],
}
BAD = {
    "bsonobjectid": ["507f"],
    "uri": ["", "example.com", "https://a b", "http://x/%zz"],
    "email": ["", "a", "@b", "a@", "a b@c.d", "Jane jane@example.com>"],
    "hostname": ["", "-a", "a--b", "a..b", "a" * 64, "my_host"],
    "ipv4": ["10.0.0", "::1", "10.0.0.256"],
    "ipv6": ["10.0.0.1", "fe80::1%eth0", ":::"],
    "cidr": ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/", "fd00::/129", "10.0.0.0/a"],
    "mac": ["01:23:45:67:89", "01:23-45:67:89:ab", "0123.4567", "01:23:45:67:89:ab:cd"],
    "uuid": ["x", "0a1b2c3d-0a1b-4c3d-8a1b-0a1b2c3d4e5"],
    "uuid3": ["0a1b2c3d-0a1b-4c3d-0a1b-0a1b2c3d4e5f"],
    "uuid4": ["0a1b2c3d-0a1b-4c3d-0a1b-0a1b2c3d4e5f"],
    "uuid5": ["0a1b2c3d-0a1b-4c3d-9a1b-0a1b2c3d4e5f"],
    "isbn": ["0321751044"],
    "isbn10": ["0321751044", "032175104"],
    "isbn13": ["9780321751042"],
    "creditcard": ["4111111111111112", "1234"],
    "ssn": ["111223333", "111-22-33333"],
    "hexcolor": ["#FFFF", "red"],
    "rgbcolor": ["rgb(0,256,0)", "rgb(0,1)"],
    "byte": ["", "a", "a===", "aGk"],
    "date": ["2023-02-29", "2023-1-1", "20230101"],
    "duration": ["", "h", "1 fortnight", "h1", "1", "1.5", "one day"],
    "date-time": [
        "2014-12-15",
        "2014-12-15T24:00:00Z",
        "2014-12-15T19:30:20",
        "2014-12-15T19:60:20Z",
        "2014-12-15T19:30:60Z",
        "2014-13-15T19:30:20Z",
        "2014-12-15 19:30:20Z",
    ],
    "k8s-short-name": ["A", "a-", "a" * 64, ""],
    "k8s-long-name": ["a..b", "A.b", ".".join(["a" * 50] * 5)],
}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, some in GOOD.items() for t in some])
def test_a_text_has_a_format(name: str, text: str) -> None:
    check = formats.checker(name)
    assert check is not None and check(text)


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, some in BAD.items() for t in some])
def test_a_text_has_not_a_format(name: str, text: str) -> None:
    check = formats.checker(name)
    assert check is not None and not check(text)


def test_formats_are_known_by_type() -> None:
    assert formats.is_known("string", "date-time") and formats.is_known("", "uuid")
    assert formats.is_known("integer", "int32") and formats.is_known("number", "double")
    assert not formats.is_known("integer", "double") and not formats.is_known("array", "uuid")


@pytest.mark.parametrize("name", sorted(GOOD))
def test_hostile_texts_are_read_in_linear_time(name: str) -> None:
    check = formats.checker(name)
    assert check is not None
    for text in ("1" * 200_000, "a" * 200_000, "a-" * 100_000, "a@" * 100_000, "\\" * 200_000):
        check(text)


def test_a_hostile_pattern_does_no_harm() -> None:
    matches = patterns.matcher("^(a+)+$")
    assert matches("a" * 100_000) and not matches("a" * 100_000 + "b")


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("a(", "missing closing ): `a(`"),
        ("[a", "missing closing ]: `[a`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("(?=x)", "invalid or unsupported Perl syntax: `(?=`"),
    ],
)
def test_a_bad_pattern_is_told_of_in_gos_words(pattern: str, told: str) -> None:
    with pytest.raises(patterns.BadPattern, match="error parsing regexp: ") as caught:
        patterns.matcher(pattern)
    assert str(caught.value) == f"error parsing regexp: {told}"


def test_a_pattern_means_what_it_means_in_go() -> None:
    assert not patterns.matcher("^a$")("a\n")
    assert patterns.matcher("é")("é") and not patterns.matcher(r"\d")("٣")
    assert patterns.matcher(".")("\ud800")  # a lone surrogate is U+FFFD


def test_re2_is_loaded_with_the_first_pattern_alone() -> None:
    code = (
        "import sys\n"
        "from steersman.api import assembly\n"
        "from steersman.model.structural import validation\n"
        "assert 're2' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
