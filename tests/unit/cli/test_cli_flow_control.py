"""The options of how many requests are served at once: read, checked, given on."""

from __future__ import annotations

import argparse

import pytest

from steersman.api.fairness.settings import FlowSettings
from steersman.cli.apiserver import flow_control
from steersman.cli.failure import Failure


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    flow_control.add_options(parser)
    return parser.parse_args(words)


def test_without_options_upstreams_defaults_hold() -> None:
    assert flow_control.settings(parsed()) == FlowSettings(400, 200, True)
    assert flow_control.words(parsed()) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--max-requests-inflight=3"], FlowSettings(3, 200, True)),
        (["--max-mutating-requests-inflight", "0"], FlowSettings(400, 0, True)),
        (["--enable-priority-and-fairness=false"], FlowSettings(400, 200, False)),
        (["--enable-priority-and-fairness"], FlowSettings(400, 200, True)),
        (
            [
                "--enable-priority-and-fairness=false",
                "--max-requests-inflight=0",
                "--max-mutating-requests-inflight=0",
            ],
            FlowSettings(0, 0, False),
        ),
    ],
)
def test_options_are_read_and_given_on(words: list[str], expected: FlowSettings) -> None:
    given = parsed(*words)
    flow_control.check(given)
    assert flow_control.settings(given) == expected
    assert flow_control.settings(parsed(*flow_control.words(given))) == expected


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--max-requests-inflight=-1"], "--max-requests-inflight can not be negative value"),
        (
            ["--max-mutating-requests-inflight=-1"],
            "--max-mutating-requests-inflight can not be negative value",
        ),
        (
            ["--max-requests-inflight=0", "--max-mutating-requests-inflight=0"],
            "invalid configuration: MaxRequestsInFlight=0 and MaxMutatingRequestsInFlight=0; they "
            "must add up to something positive",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_upstreams_words(words: list[str], problem: str) -> None:
    with pytest.raises(Failure) as raised:
        flow_control.check(parsed(*words))
    assert str(raised.value) == problem
