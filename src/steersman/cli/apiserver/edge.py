"""The options of what holds for every request from outside, by upstream's names."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from steersman.cli.failure import Failure
from steersman.model.duration import parse_go
from steersman.model.structural.patterns import BadPattern, compiled

if TYPE_CHECKING:  # loaded with the server
    from steersman.api.edge.settings import EdgeSettings

TIMEOUT: Final = "--request-timeout"
ORIGINS: Final = "--cors-allowed-origins"
SECURITY: Final = "--strict-transport-security-directives"
DEFAULT: Final = "1m0s"
_ALLOWED: Final = (
    "allowed values: max-age=expireTime, includeSubDomains, preload. see "
    "https://tools.ietf.org/html/rfc6797#section-6.1 for more information"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    text = f"how long a request may take, but for watches and streams (default: {DEFAULT})"
    parser.add_argument(TIMEOUT, metavar="DURATION", help=text)
    text = "regular expressions of origins whose pages may ask (CORS); each must pin to the start "
    text += "and the end of a host, as in //example\\.com(:|$)"
    parser.add_argument(ORIGINS, action="append", metavar="REGEX,...", help=text)
    text = "what the header Strict-Transport-Security of every answer says"
    parser.add_argument(SECURITY, action="append", metavar="DIRECTIVE,...", help=text)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the options as they are given on to the server's process."""
    lists = (
        (ORIGINS, arguments.cors_allowed_origins),
        (SECURITY, arguments.strict_transport_security_directives),
    )
    timeout = arguments.request_timeout
    return [
        *([] if timeout is None else [f"{TIMEOUT}={timeout}"]),
        *(f"{name}={text}" for name, given in lists for text in given or ()),
    ]


def check(arguments: argparse.Namespace) -> None:
    """Refuses options that cannot be."""
    if words(arguments):
        settings(arguments)


def settings(arguments: argparse.Namespace) -> EdgeSettings:
    """Returns what the options say; raises Failure with upstream's words."""
    from steersman.api.edge.settings import EdgeSettings

    return EdgeSettings(
        _seconds(DEFAULT if arguments.request_timeout is None else arguments.request_timeout),
        tuple(map(_origin, _listed(arguments.cors_allowed_origins))),
        tuple(map(_directive, _listed(arguments.strict_transport_security_directives))),
    )


def _listed(given: list[str] | None) -> list[str]:
    return [one for text in given or () for one in text.split(",")]


def _seconds(text: str) -> float:
    try:
        seconds = parse_go(text)
    except ValueError as error:
        raise Failure(f"{TIMEOUT}: {error}") from error
    if seconds < 0:
        raise Failure(f"{TIMEOUT} can not be negative value")
    return seconds


def _origin(text: str) -> str:
    if not text:
        raise Failure(f"empty value in {ORIGINS}")
    why = "regular expression does not pin to start/end of host in the origin header"
    try:
        compiled(text)
        fits = ("^" in text or "//" in text) and ("$" in text or ":" in text)
    except BadPattern as error:
        why, fits = str(error), False
    if not fits:
        raise Failure(f"{ORIGINS} has an invalid regular expression: {why}")
    return text


def _directive(text: str) -> str:
    if not text.strip():
        raise Failure("empty value in strict-transport-security-directives")
    name, sign, value = text.partition("=")
    fits = text in ("includeSubDomains", "preload")
    if not fits and (name != "max-age" or not sign or "=" in value):
        raise Failure(f"{SECURITY} invalid, {_ALLOWED}")
    return text
