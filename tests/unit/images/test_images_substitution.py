"""Variables, quotes and escapes in a Containerfile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.images.building.substitution import SubstitutionError, expand, words

VALUES = {"A": "x", "EMPTY": "", "PATH": "/bin", "A_1": "long"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$A", "x"),
        ("${A}b", "xb"),
        ("$A_1/$A.b", "long/x.b"),
        ("$UNKNOWN-", "-"),
        ("${A:-d}", "x"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${UNKNOWN-d}", "d"),
        ("${UNKNOWN:-d}", "d"),
        ("${A:+d}", "d"),
        ("${EMPTY:+d}", ""),
        ("${EMPTY+d}", "d"),
        ("${UNKNOWN+d}", ""),
        ("${A:?no}", "x"),
        ("${UNKNOWN:-${A}$PATH}", "x/bin"),
        ("${UNKNOWN:-'a}b'}", "a}b"),
        ("'$A'", "$A"),
        ('"$A b"', "x b"),
        ('"a\\"b\\$A\\n"', 'a"b$A\\n'),
        ("\\$A", "$A"),
        ("a\\ b", "a b"),
        ("a\\", "a\\"),
        ("$", "$"),
        ("$.x", "$.x"),
        ("$1$@", ""),
        ("$é", "$é"),
    ],
)
def test_variables_quotes_and_escapes_are_replaced(text: str, expected: str) -> None:
    assert expand(text, VALUES) == expected


def test_another_escape_character_leaves_backslashes_alone() -> None:
    assert expand("c:\\$A`$A", VALUES, "`") == "c:\\x$A"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${A", "unsupported modifier"),
        ("${A:-x", "missing '}'"),
        ("${}", "bad substitution"),
        ("${A:", "unsupported modifier"),
        ("${A:=x}", "unsupported modifier"),
        ("${A%x}", "unsupported modifier"),
        ("${UNKNOWN:?no such}", "UNKNOWN: no such"),
        ("${EMPTY:?}", "EMPTY: is not set"),
        ("'a", "looking for matching '"),
        ('"a', 'looking for matching "'),
        ("${a:-" * 17 + "}" * 17, "nested over 16 deep"),
    ],
)
def test_a_malformed_word_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SubstitutionError, match=reason):
        expand(text, VALUES)


def test_sixteen_nested_substitutions_are_taken() -> None:
    assert expand("${a:-" * 16 + "z" + "}" * 16, {}) == "z"


def test_words_are_split_outside_quotes_and_stay_as_written() -> None:
    assert words("a  'b c'd \"e f\" g\\ h\ti") == ["a", "'b c'd", '"e f"', "g\\ h", "i"]
    with pytest.raises(SubstitutionError):
        words("a 'b")


@given(st.text(max_size=60), st.sampled_from(["\\", "`"]))
def test_any_text_is_expanded_or_refused(text: str, escape: str) -> None:
    try:
        expand(text, VALUES, escape)
        words(text, escape)
    except SubstitutionError:
        pass


@given(st.text(st.characters(exclude_characters="$'\"\\"), max_size=40))
def test_text_without_special_characters_is_itself(text: str) -> None:
    assert expand(text, VALUES) == text
