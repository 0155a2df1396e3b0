"""The option that says which minor of Kubernetes clients see."""

from __future__ import annotations

import argparse
import re
from typing import Final

from steersman.cli.failure import Failure
from steersman.model.pack import FIRST_NUMBER, MINOR, NUMBER

VERSION: Final = "--kubernetes-version"
# With or without v, and with whatever patch release: all of a minor look the same
_WRITTEN: Final = re.compile(r"v?1\.(\d{1,3})(\.\d{1,3})?", re.ASCII)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the option."""
    text = f"version that clients see: 1.{FIRST_NUMBER} to {MINOR} (default: {MINOR})"
    parser.add_argument(VERSION, metavar="VERSION", help=text)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the option as it is given on to the server's process."""
    given = arguments.kubernetes_version
    return [] if given is None else [f"{VERSION}={given}"]


def check(arguments: argparse.Namespace) -> None:
    """Refuses a version that cannot be served."""
    minor(arguments)


def minor(arguments: argparse.Namespace) -> int:
    """Returns the minor of Kubernetes 1; raises Failure."""
    given = arguments.kubernetes_version
    if given is None:
        return NUMBER
    found = _WRITTEN.fullmatch(given)
    number = int(found[1]) if found else 0
    if not FIRST_NUMBER <= number <= NUMBER:
        raise Failure(
            f"{VERSION} takes a version from 1.{FIRST_NUMBER} to {MINOR}, not {given!r}: others "
            "are not known here"
        )
    return number
