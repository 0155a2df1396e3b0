"""`--kubernetes-version`: which are taken, how they are written, what is said of others."""

from __future__ import annotations

import argparse

import pytest

from steersman.cli.apiserver import kubernetes_version
from steersman.cli.failure import Failure


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    kubernetes_version.add_options(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("given", "minor"),
    [("1.30", 30), ("v1.31", 31), ("1.36.2", 36), ("v1.37.0", 37)],
)
def test_a_minor_is_taken_however_it_is_written(given: str, minor: int) -> None:
    arguments = parsed(f"--kubernetes-version={given}")
    kubernetes_version.check(arguments)
    assert kubernetes_version.minor(arguments) == minor
    assert kubernetes_version.words(arguments) == [f"--kubernetes-version={given}"]


def test_without_the_option_it_is_1_37() -> None:
    assert kubernetes_version.minor(parsed()) == 37
    assert kubernetes_version.words(parsed()) == []


@pytest.mark.parametrize(
    "given", ["1.29", "1.38", "2.30", "30", "1.30.x", "", "1.3\u0663", "latest"]
)
def test_any_other_is_refused_in_one_line(given: str) -> None:
    with pytest.raises(Failure) as told:
        kubernetes_version.check(parsed(f"--kubernetes-version={given}"))
    assert str(told.value) == (
        f"--kubernetes-version takes a version from 1.30 to 1.37, not {given!r}: others are not "
        "known here"
    )
