"""The options that say who asks and who may: read and checked before anything starts.

Options go by upstream's names; errors name option, file, line and reason, never what is secret.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from steersman.cli.apiserver import authorizing, oidc
from steersman.cli.failure import Failure, why

if TYPE_CHECKING:  # loaded with the server
    from steersman.api.access.settings import AccessSettings
    from steersman.api.tokens.jwt_settings import Authentication
    from steersman.client.http import Target

_WEBHOOK = "--authentication-token-webhook-config-file"
_WEBHOOK_VERSION = "--authentication-token-webhook-version"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    text = 'static tokens: lines of token,user,uid,"group1,group2"'
    parser.add_argument("--token-auth-file", type=Path, metavar="FILE", help=text)
    text = "an AuthenticationConfiguration: issuers of tokens (OIDC), anonymous requests"
    parser.add_argument("--authentication-config", type=Path, metavar="FILE", help=text)
    text = "a kubeconfig: the webhook that knows tokens"
    parser.add_argument(_WEBHOOK, type=Path, metavar="FILE", help=text)
    text = "the version of the TokenReviews that it takes (default: v1beta1)"
    choices = ("v1beta1", "v1")
    parser.add_argument(_WEBHOOK_VERSION, choices=choices, default=choices[0], help=text)
    oidc.add_options(parser)
    authorizing.add_options(parser)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the options as they are given on to the server's process."""
    found = []
    if (path := arguments.token_auth_file) is not None:
        found += ["--token-auth-file", str(path.resolve())]
    if (path := arguments.authentication_config) is not None:
        found += ["--authentication-config", str(path.resolve())]
    if (path := arguments.authentication_token_webhook_config_file) is not None:
        found += [_WEBHOOK, str(path.resolve())]
        found += [_WEBHOOK_VERSION, arguments.authentication_token_webhook_version]
    return found + oidc.words(arguments) + authorizing.words(arguments)


def check(arguments: argparse.Namespace) -> None:
    """Refuses options that cannot be; what none is given of costs no time."""
    if words(arguments):
        settings(arguments)


def settings(arguments: argparse.Namespace) -> AccessSettings:
    """Returns what the options and their files say; raises Failure with one line."""
    from steersman.api.access.settings import AccessSettings
    from steersman.api.tokens import token_file

    modes, webhooks = authorizing.settings(arguments)
    tokens = {}
    if (path := arguments.token_auth_file) is not None:
        try:
            tokens = token_file.parse(path.read_text())
        except (OSError, ValueError) as error:
            raise Failure(f"--token-auth-file {path}: {why(error)}") from error
    authentication = oidc.settings(arguments, _authentication(arguments.authentication_config))
    policies = authorizing.policies(arguments)
    webhook = _webhook(arguments)
    return AccessSettings(tokens, modes, authentication, webhook, webhooks, policies)


def _webhook(arguments: argparse.Namespace) -> tuple[Target, str] | None:
    if (path := arguments.authentication_token_webhook_config_file) is None:
        return None
    from steersman.client import kubeconfig

    try:
        target = kubeconfig.read(path)
    except kubeconfig.BadKubeconfig as error:
        raise Failure(f"{_WEBHOOK}: {error}") from error
    if target.tls is None:
        raise Failure(f"{_WEBHOOK}: {path}: tokens are sent over https alone")
    return target, arguments.authentication_token_webhook_version


def _authentication(path: Path | None) -> Authentication | None:
    if path is None:
        return None
    from steersman.api.access.tokens import ISSUER
    from steersman.api.tokens import jwt_settings
    from steersman.wire import yaml

    try:
        return jwt_settings.parse(yaml.load(path.read_bytes()), disallowed=ISSUER)
    except (OSError, ValueError) as error:
        raise Failure(f"--authentication-config {path}: {why(error)}") from error
