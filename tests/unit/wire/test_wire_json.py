"""JSON as Go reads it: its words for what is broken, its leniency for what is not."""

from __future__ import annotations

import json as reference

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.wire import json

END = "unexpected end of JSON input"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", END),
        (b" \n", END),
        (b"{", END),
        (b'{"a', END),
        (b'{"a"', END),
        (b'{"a":', END),
        (b'{"a":1', END),
        (b'{"a":1,', END),
        (b"[1,", END),
        (b"tru", END),
        (b"-", END),
        (b"1.", END),
        (b"1e+", END),
        (b'"\\', END),
        (b'"\\u12', END),
        (b"x", "invalid character 'x' looking for beginning of value"),
        (b"apiVersion: v1", "invalid character 'a' looking for beginning of value"),
        (b"NaN", "invalid character 'N' looking for beginning of value"),
        (b"[1e400]", "json: cannot unmarshal number 1e400 into Go value of type float64"),
        (b"[-1e400]", "json: cannot unmarshal number -1e400 into Go value of type float64"),
        (
            b"9" * 5000,
            f"json: cannot unmarshal number {'9' * 5000} into Go value of type float64",
        ),
        (b"'a'", "invalid character '\\'' looking for beginning of value"),
        (b"\xef\xbb\xbf{}", "invalid character '\u00ef' looking for beginning of value"),
        (b"{x", "invalid character 'x' looking for beginning of object key string"),
        (b"{1:2}", "invalid character '1' looking for beginning of object key string"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b'{"a":1]', "invalid character ']' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"[1}", "invalid character '}' after array element"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b"{} x", "invalid character 'x' after top-level value"),
        (b"01", "invalid character '1' after top-level value"),
        (b"trux", "invalid character 'x' in literal true (expecting 'e')"),
        (b"nill", "invalid character 'i' in literal null (expecting 'u')"),
        (b"falze", "invalid character 'z' in literal false (expecting 's')"),
        (b"-x", "invalid character 'x' in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"1ex", "invalid character 'x' in exponent of numeric literal"),
        (b'"\n"', "invalid character '\\n' in string literal"),
        (b'"\\x"', "invalid character 'x' in string escape code"),
        (b'"\\u12x4"', "invalid character 'x' in \\u hexadecimal character escape"),
        (b"[" * 5000 + b"]" * 5000, "exceeded max depth"),
    ],
)
def test_what_is_broken_is_said_in_gos_words(text: bytes, message: str) -> None:
    with pytest.raises(json.BadJSON) as error:
        json.load(text)
    assert str(error.value) == message


def test_what_is_no_text_becomes_the_replacement_sign() -> None:
    assert json.load(b'{"a": "\xff"}') == {"a": "\ufffd"}
    assert json.load(b'"\\ud800"') in ("\ufffd", "?")


def test_what_is_right_is_read() -> None:
    assert json.load(b' {"a": [1, -2.5e3, true, null, "\\u00e9\\n"]} ') == {
        "a": [1, -2500.0, True, None, "\u00e9\n"]
    }


@given(st.binary(max_size=40) | st.text('{}[]:,"\\ truefalsn0123456789.-+eE', max_size=30))
def test_whatever_comes_is_read_or_refused_as_the_standard_says(given: bytes | str) -> None:
    data = given if isinstance(given, bytes) else given.encode()
    text = data.decode("utf-8", "replace")
    try:
        expected = reference.loads(text, parse_constant=_no_constant, parse_int=_int64_or_float)
    except (ValueError, RecursionError):
        with pytest.raises(json.BadJSON):
            json.load(data)
        return
    found = json.load(data)
    assert reference.dumps(found) == reference.dumps(expected) or found == expected


def _int64_or_float(digits: str) -> int | float:
    """A number that 64 bits do not hold is a float, as in apimachinery's util/json."""
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else float(digits)


def test_a_number_beyond_64_bits_is_a_float() -> None:
    assert json.load(b"20000000000000000001") == 2e19
    assert json.load(b"18446744073709551615") == 2**64 - 1


def _no_constant(name: str) -> None:
    raise ValueError(name)
