"""`.dockerignore` leaves out what docker leaves out."""

import pytest

from steersman.images.building.ignore import parse
from steersman.images.errors import Refused


@pytest.mark.parametrize(
    ("patterns", "ignored", "kept"),
    [
        ("a", ["a", "a/b"], ["ab", "b/a"]),
        ("/a/", ["a", "a/b"], ["b"]),
        ("*.o", ["x.o"], ["d/x.o", "x.c"]),
        ("**/*.o", ["x.o", "d/x.o", "d/e/x.o"], ["x.c"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "ab"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["az", "z"]),
        ("?b", ["ab"], ["b", "/b", "aab"]),
        ("[ab]c", ["ac", "bc"], ["cc"]),
        ("[^ab]c", ["cc"], ["ac"]),
        ("[a-c]", ["b"], ["d", "-"]),
        ("a.b", ["a.b"], ["axb"]),
        ("\\*", ["*"], ["x"]),
        ("*\n!keep", ["x"], ["keep", "keep/x"]),
        ("a\n!a/b\na/b/c", ["a/x", "a/b/c"], ["a/b", "a/b/d"]),
        ("# a comment\n\n  b  ", ["b"], ["# a comment"]),
        (".\n./c/../d", ["d"], ["x"]),
    ],
)
def test_patterns_ignore_what_they_match_and_what_is_inside(
    patterns: str, ignored: list[str], kept: list[str]
) -> None:
    ignore = parse(patterns)
    assert [path for path in ignored if not ignore.ignores(path)] == []
    assert [path for path in kept if ignore.ignores(path)] == []


def test_a_malformed_or_overlong_pattern_is_refused() -> None:
    for text in ("[a", "[b-a]", "x" * 1025):
        with pytest.raises(Refused):
            parse(text)


def test_only_an_exception_takes_something_back() -> None:
    assert parse("a\n!b").takes_back and not parse("a\nb").takes_back
