"""The option that says what is encrypted at rest: read and checked before anything starts.

It goes by upstream's name; errors name option, file and field, and never hold a key.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from steersman.cli.failure import Failure, why

if TYPE_CHECKING:  # loaded with the server
    from steersman.api.encryption.configuration import Encryption

_OPTION = "--encryption-provider-config"
_RELOAD = "--encryption-provider-config-automatic-reload"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the option."""
    text = "an EncryptionConfiguration: which resources are encrypted at rest, and by which keys"
    parser.add_argument(_OPTION, type=Path, metavar="FILE", help=text)
    text = "whether that file is read again when it changes (default: false)"
    flags = ("true", "false")
    parser.add_argument(_RELOAD, choices=flags, nargs="?", const="true", default="false", help=text)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the option as it is given on to the server's process."""
    path: Path | None = arguments.encryption_provider_config
    again = [f"{_RELOAD}=true"] if is_read_again(arguments) else []
    return [*([] if path is None else [_OPTION, str(path.resolve())]), *again]


def is_read_again(arguments: argparse.Namespace) -> bool:
    """Says whether the file is read again when it changes."""
    return bool(arguments.encryption_provider_config_automatic_reload == "true")


def check(arguments: argparse.Namespace) -> None:
    """Refuses a configuration that cannot be."""
    settings(arguments)


def settings(arguments: argparse.Namespace) -> Encryption | None:
    """Returns what the file says, None where nothing is encrypted; raises Failure."""
    path: Path | None = arguments.encryption_provider_config
    if path is None:
        if is_read_again(arguments):
            raise Failure(f"{_OPTION} must be set when {_RELOAD} is set")
        return None
    from steersman.api.encryption import configuration
    from steersman.wire import yaml

    try:
        return configuration.parse(yaml.load(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise Failure(f"{_OPTION} {path}: {why(error)}") from error
