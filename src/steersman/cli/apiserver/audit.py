"""The options of the audit log: read and checked before anything starts.

Options go by upstream's names and have its defaults; errors name option, file and reason.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from steersman.cli.apiserver import audit_sinks as sinks
from steersman.cli.failure import Failure, why

if TYPE_CHECKING:  # loaded with the server
    from steersman.api.audit.policy import Policy
    from steersman.api.audit.settings import AuditSettings, WebhookSettings

MODES = (sinks.BATCH, sinks.BLOCKING, sinks.STRICT)
_HOOK = "--audit-webhook-config-file"
_BACKOFF = "10s"
# Upstream's (NewAuditOptions)
LIMITS = (
    ("maxsize", 100, "megabytes after which the file is put aside; 0: never"),
    ("maxbackup", 100, "files put aside that are kept; 0: all"),
    ("maxage", 366, "days for which they are kept; 0: for ever"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    text = "an audit Policy: which requests are noted, and how much of each"
    parser.add_argument("--audit-policy-file", type=Path, metavar="FILE", help=text)
    text = "where they are noted; - is standard output"
    parser.add_argument("--audit-log-path", metavar="FILE", help=text)
    for name, default, what in LIMITS:
        text = f"{what} (default: {default})"
        parser.add_argument(
            f"--audit-log-{name}", type=int, default=default, metavar="N", help=text
        )
    text = "whether requests wait until they are noted, and are refused where they cannot be"
    text += f" (default: {sinks.BLOCKING})"
    parser.add_argument("--audit-log-mode", choices=MODES, default=sinks.BLOCKING, help=text)
    sinks.add_options(parser, "log")
    text = "a kubeconfig: the webhook to which events are sent"
    parser.add_argument(_HOOK, type=Path, metavar="FILE", help=text)
    text = "how they are sent: requests do not wait for it"
    choices = (sinks.BATCH,)
    parser.add_argument("--audit-webhook-mode", choices=choices, default=sinks.BATCH, help=text)
    text = f"how long a first attempt that fails is waited after (default: {_BACKOFF})"
    option = "--audit-webhook-initial-backoff"
    parser.add_argument(option, default=_BACKOFF, metavar="DURATION", help=text)
    sinks.add_options(parser, "webhook")


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the options as they are given on to the server's process."""
    found = []
    if (policy := arguments.audit_policy_file) is not None:
        found += ["--audit-policy-file", str(policy.resolve())]
    if (path := arguments.audit_log_path) is not None:
        found += ["--audit-log-path", path if path == "-" else str(Path(path).resolve())]
    for name, default, _what in LIMITS:
        if (given := _limit(arguments, name)) != default:
            found += [f"--audit-log-{name}={given}"]
    if arguments.audit_log_mode != sinks.BLOCKING:
        found += ["--audit-log-mode", arguments.audit_log_mode]
    if (hook := arguments.audit_webhook_config_file) is not None:
        found += [_HOOK, str(hook.resolve())]
    if (backoff := arguments.audit_webhook_initial_backoff) != _BACKOFF:
        found += [f"--audit-webhook-initial-backoff={backoff}"]
    return [*found, *sinks.words(arguments, "log"), *sinks.words(arguments, "webhook")]


def check(arguments: argparse.Namespace) -> None:
    """Refuses options that cannot be; what none is given of costs no time."""
    if words(arguments):
        settings(arguments)


def settings(arguments: argparse.Namespace) -> AuditSettings | None:
    """Returns what the options and their file say, None for no audit log; raises Failure."""
    policy, path = arguments.audit_policy_file, arguments.audit_log_path
    for name, _default, _what in LIMITS:
        if (given := _limit(arguments, name)) < 0:
            raise Failure(f"--audit-log-{name} {given} can't be a negative number")
    batching, truncation = sinks.batching(arguments, "log"), sinks.truncation(arguments, "log")
    hook = _webhook(arguments)
    if policy is None and path is None and hook is None:
        return None
    if policy is None:
        option = "--audit-log-path" if path is not None else _HOOK
        raise Failure(f"{option}: nothing is noted without --audit-policy-file")
    read = _policy(policy)
    if path is None and hook is None:
        raise Failure(f"--audit-policy-file: nothing is noted without --audit-log-path or {_HOOK}")
    from steersman.api.audit.settings import AuditSettings

    if path is not None:
        _check_writable(path)
    size, backups, days = (_limit(arguments, name) for name, _default, _what in LIMITS)
    strict = arguments.audit_log_mode == sinks.STRICT
    where = path or ""
    return AuditSettings(read, where, size, backups, days, strict, batching, truncation, hook)


def _webhook(arguments: argparse.Namespace) -> WebhookSettings | None:
    if (path := arguments.audit_webhook_config_file) is None:
        return None
    from steersman.api.audit.settings import WebhookSettings
    from steersman.client import kubeconfig

    try:
        target = kubeconfig.read(path)
    except kubeconfig.BadKubeconfig as error:
        raise Failure(f"{_HOOK}: {error}") from error
    batching = sinks.batching(arguments, "webhook")
    assert batching is not None, "the webhook's only mode"
    truncation = sinks.truncation(arguments, "webhook")
    backoff = sinks.seconds(arguments, "webhook", "initial-backoff")
    return WebhookSettings(target, batching, truncation, backoff)


def _limit(arguments: argparse.Namespace, name: str) -> int:
    given: int = getattr(arguments, f"audit_log_{name}")
    return given


def _policy(path: Path) -> Policy:
    from steersman.api.audit import policy
    from steersman.wire import yaml

    try:
        return policy.parse(yaml.load(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise Failure(f"--audit-policy-file {path}: {why(error)}") from error


def _check_writable(path: str) -> None:
    if path == "-":
        return
    try:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    except OSError as error:
        raise Failure(f"--audit-log-path {path}: {why(error)}") from error
