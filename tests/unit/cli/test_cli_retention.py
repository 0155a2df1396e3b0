"""`--event-ttl`: read as a duration, given on as it was written, refused in one line."""

from __future__ import annotations

import argparse

import pytest

from steersman.cli.apiserver import options, retention
from steersman.cli.failure import Failure


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options.add_options(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(("given", "seconds"), [("90m", 5400), ("0s", 0), ("1h30m", 5400)])
def test_a_time_is_read_and_given_on(given: str, seconds: int) -> None:
    arguments = parsed(f"--event-ttl={given}")
    options.check(arguments)
    assert options.settings(arguments)["event_seconds"] == seconds
    assert f"--event-ttl={given}" in options.words(arguments)


def test_without_the_option_it_is_an_hour() -> None:
    assert retention.seconds(parsed()) == 3600
    assert retention.words(parsed()) == []


@pytest.mark.parametrize("given", ["90", "", "an hour", "-1h"])
def test_what_is_no_time_is_refused(given: str) -> None:
    with pytest.raises(Failure, match=r"^--event-ttl: .* is no duration"):
        options.check(parsed(f"--event-ttl={given}"))
