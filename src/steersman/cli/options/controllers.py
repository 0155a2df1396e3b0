"""The options of the controllers, by upstream's names: read and checked before anything starts."""

from __future__ import annotations

import argparse
from typing import Final

from steersman.cli.failure import Failure
from steersman.controllers import choice
from steersman.controllers.choice import Choice

_CONTROLLERS: Final = "--controllers"
_DURATION: Final = "--cluster-signing-duration"
_NANOS: Final = 1_000_000_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    text = (
        "which controllers run: '*' all that are on by default, NAME, -NAME; a list that begins "
        f"with - is written {_CONTROLLERS}=-NAME (default: {choice.DEFAULT})"
    )
    parser.add_argument(_CONTROLLERS, metavar="LIST", default=choice.DEFAULT, help=text)
    text = "the longest life of a certificate that is signed on request (default: 8760h0m0s)"
    parser.add_argument(_DURATION, metavar="DURATION", default="8760h0m0s", help=text)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the options as they are given on to the process with the controllers."""
    return [
        f"{_CONTROLLERS}={arguments.controllers}",
        f"{_DURATION}={arguments.cluster_signing_duration}",
    ]


def read(arguments: argparse.Namespace) -> Choice:
    """Returns what was chosen; raises Failure with one line."""
    given = arguments.controllers
    try:
        selection = choice.parse(given)
    except ValueError as error:
        known = ", ".join(choice.KNOWN)
        raise Failure(f"{_CONTROLLERS} {given}: {error}; there are {known}") from None
    return Choice(selection, _seconds(arguments.cluster_signing_duration))


def _seconds(text: str) -> int:
    from steersman.cel.errors import EvaluationError
    from steersman.cel.library.times import parse_duration

    try:
        found = parse_duration(text).nanos // _NANOS
    except EvaluationError:
        raise Failure(f"{_DURATION} {text}: it is no duration, as 8760h or 90m is") from None
    if found <= 0:
        raise Failure(f"{_DURATION} {text}: it must be greater than zero")
    return found
