"""The options that say who is asked who may: read and checked before anything starts.

Options go by upstream's names; errors name option, file and reason.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from steersman.cli.failure import Failure, why

if TYPE_CHECKING:  # loaded with the server
    from steersman.api.access.abac import Policy
    from steersman.api.access.webhook.settings import WebhookSettings
    from steersman.client.http import Target

MODES: Final = ("ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook")
DEFAULT_MODES: Final = "Node,RBAC"
WEBHOOK: Final = "Webhook"
ABAC: Final = "ABAC"
_MODE: Final = "--authorization-mode"
_CONFIG: Final = "--authorization-config"
_POLICIES: Final = "--authorization-policy-file"
_FILE: Final = "--authorization-webhook-config-file"
_VERSION: Final = "--authorization-webhook-version"
_VERSIONS: Final = ("v1beta1", "v1")
_ALLOWED: Final = "--authorization-webhook-cache-authorized-ttl"
_REFUSED: Final = "--authorization-webhook-cache-unauthorized-ttl"

_NO_POLICIES: Final = "authorization-mode ABAC's authorization policy file not passed"

Chosen = tuple[tuple[str, ...], tuple["WebhookSettings", ...]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    text = f"authorizers in the order in which they are asked (default: {DEFAULT_MODES})"
    parser.add_argument(_MODE, metavar="MODES", help=text)
    text = "an AuthorizationConfiguration: the same, with webhooks and their conditions"
    parser.add_argument(_CONFIG, type=Path, metavar="FILE", help=text)
    text = "the policies of the mode ABAC, one in each line, in JSON"
    parser.add_argument(_POLICIES, type=Path, metavar="FILE", help=text)
    text = "a kubeconfig: the webhook of the mode Webhook"
    parser.add_argument(_FILE, type=Path, metavar="FILE", help=text)
    text = "the version of the SubjectAccessReviews that it takes (default: v1beta1)"
    parser.add_argument(_VERSION, choices=_VERSIONS, help=text)
    text = "how long it is believed that somebody may (default: 5m)"
    parser.add_argument(_ALLOWED, metavar="DURATION", help=text)
    text = "how long it is believed that somebody may not (default: 30s)"
    parser.add_argument(_REFUSED, metavar="DURATION", help=text)


def _given(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """Returns the options that were given beside the file of all."""
    pairs = (
        (_MODE, arguments.authorization_mode),
        (_POLICIES, _resolved(arguments.authorization_policy_file)),
        (_FILE, _resolved(arguments.authorization_webhook_config_file)),
        (_VERSION, arguments.authorization_webhook_version),
        (_ALLOWED, arguments.authorization_webhook_cache_authorized_ttl),
        (_REFUSED, arguments.authorization_webhook_cache_unauthorized_ttl),
    )
    return [(name, value) for name, value in pairs if value is not None]


def _resolved(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the options as they are given on to the server's process."""
    found = [word for pair in _given(arguments) for word in pair]
    if (path := arguments.authorization_config) is not None:
        found += [_CONFIG, str(path.resolve())]
    return found


def settings(arguments: argparse.Namespace) -> Chosen:
    """Returns the modes in their order and the webhooks among them; raises Failure."""
    if (path := arguments.authorization_config) is not None:
        if any(name != _POLICIES for name, _ in _given(arguments)):
            raise Failure(
                f"{_CONFIG} can not be specified when {_MODE} or --authorization-webhook-* flags "
                "are defined"
            )
        return _file(path, arguments.authorization_policy_file is not None)
    text, file = arguments.authorization_mode, arguments.authorization_webhook_config_file
    modes = tuple((DEFAULT_MODES if text is None else text).split(","))
    for problem in _problems(modes):
        raise Failure(f"{_MODE} {text}: {problem}")
    if (ABAC in modes) is (arguments.authorization_policy_file is None):
        if ABAC in modes:
            raise Failure(_NO_POLICIES)
        raise Failure(f"cannot specify {_POLICIES} without mode ABAC")
    if (WEBHOOK in modes) is (file is None):
        if file is None:
            raise Failure("authorization-mode Webhook's authorization config file not passed")
        raise Failure(f"cannot specify {_FILE} without mode Webhook")
    return modes, () if file is None else (_webhook(arguments),)


def policies(arguments: argparse.Namespace) -> Sequence[Policy]:
    """Returns the policies of the mode ABAC; raises Failure."""
    if (path := arguments.authorization_policy_file) is None:
        return ()
    from steersman.api.access import abac

    try:
        return abac.parse(path.read_text())
    except (OSError, ValueError) as error:
        raise Failure(f"{_POLICIES} {path}: {why(error)}") from error


def _webhook(arguments: argparse.Namespace) -> WebhookSettings:
    from steersman.api.access.webhook.settings import WebhookSettings

    return WebhookSettings(
        _target(arguments.authorization_webhook_config_file, _FILE),
        arguments.authorization_webhook_version or _VERSIONS[0],
        authorized_seconds=_seconds(
            _ALLOWED, arguments.authorization_webhook_cache_authorized_ttl or "5m"
        ),
        unauthorized_seconds=_seconds(
            _REFUSED, arguments.authorization_webhook_cache_unauthorized_ttl or "30s"
        ),
    )


def _seconds(option: str, text: str) -> float:
    from steersman.api.access.webhook.settings import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise Failure(f"{option} {text}: {error}") from error


def _target(path: Path, option: str) -> Target:
    from steersman.client import kubeconfig

    try:
        return kubeconfig.read(path)
    except kubeconfig.BadKubeconfig as error:
        raise Failure(f"{option}: {error}") from error


def _file(path: Path, has_policies: bool) -> Chosen:
    from steersman.api.access.webhook import settings as configuration
    from steersman.wire import yaml

    try:
        found = configuration.parse(yaml.load(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise Failure(f"{_CONFIG} {path}: {why(error)}") from error
    hooks = [(one.webhook, one.name) for one in found.authorizers if one.webhook is not None]
    modes = tuple(one.type for one in found.authorizers)
    option = f"{_CONFIG} {path}"
    if ABAC in modes and not has_policies:
        raise Failure(f"{option}: {_NO_POLICIES}")
    return modes, tuple(
        configuration.ready(one, lambda file: _target(file, option), name) for one, name in hooks
    )


def _problems(modes: tuple[str, ...]) -> Iterator[str]:
    """Says what is wrong with modes (BuiltInAuthorizationOptions.Validate)."""
    for mode in modes:
        if mode not in MODES:
            yield f'"{mode}" is not a valid mode: use {", ".join(MODES)}'
        if modes.count(mode) > 1:
            yield f'"{mode}" is there more than once'
