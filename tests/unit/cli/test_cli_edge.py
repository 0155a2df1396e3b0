"""`--request-timeout`, `--cors-allowed-origins`, `--strict-transport-security-directives`."""

from __future__ import annotations

import argparse

import pytest

from steersman.api.edge.settings import EdgeSettings
from steersman.cli.apiserver import edge, options
from steersman.cli.failure import Failure


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options.add_options(parser)
    return parser.parse_args(words)


def test_options_are_read_and_given_on() -> None:
    words = [
        "--request-timeout=1m30s",
        "--cors-allowed-origins=//a.example$,//b.example(:|$)",
        "--cors-allowed-origins=^http://c",
        "--strict-transport-security-directives=max-age=1,preload",
    ]
    arguments = parsed(*words)
    options.check(arguments)
    origins = ("//a.example$", "//b.example(:|$)", "^http://c")
    assert options.settings(arguments)["edge"] == EdgeSettings(
        90, origins, ("max-age=1", "preload")
    )
    assert edge.words(arguments) == words


def test_without_options_a_request_has_a_minute() -> None:
    assert edge.settings(parsed()) == EdgeSettings(60.0, (), ())
    assert edge.words(parsed()) == []


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("--request-timeout=-1s", "--request-timeout can not be negative value"),
        ("--request-timeout=9", '--request-timeout: time: missing unit in duration "9"'),
        ("--cors-allowed-origins=", "empty value in --cors-allowed-origins"),
        (
            "--cors-allowed-origins=^http://a$,b",
            "--cors-allowed-origins has an invalid regular expression: regular expression does "
            "not pin to start/end of host in the origin header",
        ),
        (
            "--cors-allowed-origins=//(",
            "--cors-allowed-origins has an invalid regular expression: error parsing regexp: "
            "missing closing ): `//(`",
        ),
        (
            "--strict-transport-security-directives=preload,",
            "empty value in strict-transport-security-directives",
        ),
        (
            "--strict-transport-security-directives=age=1",
            "--strict-transport-security-directives invalid, allowed values: "
            "max-age=expireTime, includeSubDomains, preload. see "
            "https://tools.ietf.org/html/rfc6797#section-6.1 for more information",
        ),
    ],
)
def test_what_cannot_be_is_refused(word: str, told: str) -> None:
    with pytest.raises(Failure) as failure:
        options.check(parsed(word))
    assert str(failure.value) == told
