"""The option that says how long Events are kept, by upstream's name."""

from __future__ import annotations

import argparse
from typing import Final

from steersman.cli.failure import Failure
from steersman.model.duration import parse_duration

TTL: Final = "--event-ttl"
DEFAULT: Final = "1h"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the option."""
    text = f"how long Events are kept, 0s: for ever (default: {DEFAULT})"
    parser.add_argument(TTL, metavar="DURATION", help=text)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the option as it is given on to the server's process."""
    return [] if arguments.event_ttl is None else [f"{TTL}={arguments.event_ttl}"]


def check(arguments: argparse.Namespace) -> None:
    """Refuses a time that is none."""
    seconds(arguments)


def seconds(arguments: argparse.Namespace) -> float:
    """Returns how long Events are kept, in seconds; raises Failure."""
    given = arguments.event_ttl
    try:
        return parse_duration(DEFAULT if given is None else given)
    except ValueError as error:
        raise Failure(f"{TTL}: {error}") from error
