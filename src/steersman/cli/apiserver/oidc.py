"""The older options of one issuer of tokens (`--oidc-*`), and whether requests may be anonymous:
what they say is what an AuthenticationConfiguration would say, and one excludes the other.

Follows pkg/kubeapiserver/options/authentication.go with its messages.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from steersman.cli.failure import Failure, why

if TYPE_CHECKING:  # loaded with the server
    from steersman.api.tokens.jwt_settings import Authentication

# option -> how it is given, and what it is
_OPTIONS: Final = {
    "oidc-issuer-url": ("URL", "who signs tokens (OIDC); https"),
    "oidc-client-id": ("NAME", "for whom tokens are: all of them must name it"),
    "oidc-ca-file": ("FILE", "authorities of the issuer (default: the machine's)"),
    "oidc-username-claim": ("CLAIM", "which claim is the user's name (default: sub)"),
    "oidc-username-prefix": ("TEXT", "what stands before it; - is nothing (default: the issuer's)"),
    "oidc-groups-claim": ("CLAIM", "which claim holds the user's groups"),
    "oidc-groups-prefix": ("TEXT", "what stands before each"),
}
_SIGNING: Final = "oidc-signing-algs"
_REQUIRED: Final = "oidc-required-claim"
_ANONYMOUS: Final = "anonymous-auth"
_EXCLUSIVE: Final = "authentication-config file and oidc-* flags are mutually exclusive"
_TOGETHER: Final = (
    "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"
)
_BOTH: Final = (
    "--anonymous-auth flag cannot be set when anonymous field is configured in authentication "
    "configuration file"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    for name, (shown, text) in _OPTIONS.items():
        parser.add_argument(f"--{name}", default="", metavar=shown, help=text)
    text = "how tokens may be signed: RS, ES or PS with 256, 384 or 512 (default: RS256)"
    parser.add_argument(f"--{_SIGNING}", action="append", metavar="ALGORITHM,...", help=text)
    text = "a claim that tokens must have, and its value; several times"
    parser.add_argument(f"--{_REQUIRED}", action="append", metavar="CLAIM=VALUE", help=text)
    text = "false: who does not say who they are is refused (default: true)"
    choices = ("true", "false")
    parser.add_argument(f"--{_ANONYMOUS}", choices=choices, nargs="?", const="true", help=text)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the options as they are given on to the server's process."""
    found = []
    for name in _OPTIONS:
        if given := _given(arguments, name):
            text = str(Path(given).resolve()) if name == "oidc-ca-file" else given
            found.append(f"--{name}={text}")
    found += [f"--{_SIGNING}={one}" for one in arguments.oidc_signing_algs or ()]
    found += [f"--{_REQUIRED}={one}" for one in arguments.oidc_required_claim or ()]
    if arguments.anonymous_auth is not None:
        found.append(f"--{_ANONYMOUS}={arguments.anonymous_auth}")
    return found


def settings(arguments: argparse.Namespace, file: Authentication | None) -> Authentication | None:
    """Returns what the options say, or the file where they say nothing; raises Failure."""
    document = dict(_document(arguments))
    if file is not None:
        if "jwt" in document:
            raise Failure(_EXCLUSIVE)
        if document and file.anonymous is not None:
            raise Failure(_BOTH)
    if not document:
        return file
    from msgspec.structs import replace

    from steersman.api.access.tokens import ISSUER
    from steersman.api.tokens import jwt_settings

    head = {"kind": "AuthenticationConfiguration", "apiVersion": jwt_settings.VERSIONS[0]}
    try:
        found = jwt_settings.parse({**head, **document}, disallowed=ISSUER)
    except ValueError as error:
        raise Failure(f"--oidc-issuer-url: {why(error)}") from error
    if file is not None:
        return replace(file, anonymous=found.anonymous)
    by = tuple(_algorithms(arguments, jwt_settings.ALGORITHMS))
    fields = (found.kind, found.apiVersion, found.jwt, found.anonymous)
    return jwt_settings.OfOptions(*fields, by) if by else found


def _algorithms(arguments: argparse.Namespace, known: tuple[str, ...]) -> Iterator[str]:
    """Returns how the one issuer may sign, nothing where there is none; raises Failure."""
    if not _given(arguments, "oidc-issuer-url"):
        return
    given = arguments.oidc_signing_algs or known[:1]
    for one in ",".join(given).split(","):
        if one not in known:
            raise Failure(f'oidc: unsupported signing alg: "{one}"')
        yield one


def _document(arguments: argparse.Namespace) -> Iterator[tuple[str, object]]:
    several = arguments.oidc_required_claim or arguments.oidc_signing_algs
    if several or any(_given(arguments, name) for name in _OPTIONS):
        yield "jwt", [_issuer(arguments)]
    if arguments.anonymous_auth is not None:
        yield "anonymous", {"enabled": arguments.anonymous_auth == "true"}


def _issuer(arguments: argparse.Namespace) -> dict[str, object]:
    url, client = _given(arguments, "oidc-issuer-url"), _given(arguments, "oidc-client-id")
    if not (url and client):
        raise Failure(_TOGETHER)
    issuer = {"url": url, "audiences": [client]}
    if path := _given(arguments, "oidc-ca-file"):
        try:
            issuer["certificateAuthority"] = Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"--oidc-ca-file {path}: {why(error)}") from error
    claim = _given(arguments, "oidc-username-claim") or "sub"
    prefix = _given(arguments, "oidc-username-prefix")
    if not prefix and claim != "email":  # without one, names of two issuers could be the same
        prefix = f"{url}#"
    mappings = {"username": {"claim": claim, "prefix": "" if prefix == "-" else prefix}}
    if groups := _given(arguments, "oidc-groups-claim"):
        mappings["groups"] = {"claim": groups, "prefix": _given(arguments, "oidc-groups-prefix")}
    rules = [_rule(one) for one in arguments.oidc_required_claim or ()]
    return {"issuer": issuer, "claimMappings": mappings, "claimValidationRules": rules}


def _rule(text: str) -> dict[str, str]:
    claim, sign, value = text.partition("=")
    if not claim or not sign:
        raise Failure(f"--{_REQUIRED}: {text} must be formatted as key=value")
    return {"claim": claim, "requiredValue": value}


def _given(arguments: argparse.Namespace, name: str) -> str:
    found: str = getattr(arguments, name.replace("-", "_"))
    return found
