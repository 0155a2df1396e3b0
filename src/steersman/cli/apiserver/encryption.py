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


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the option."""
    text = "an EncryptionConfiguration: which resources are encrypted at rest, and by which keys"
    parser.add_argument(_OPTION, type=Path, metavar="FILE", help=text)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the option as it is given on to the server's process."""
    path: Path | None = arguments.encryption_provider_config
    return [] if path is None else [_OPTION, str(path.resolve())]


def check(arguments: argparse.Namespace) -> None:
    """Refuses a configuration that cannot be."""
    settings(arguments)


def settings(arguments: argparse.Namespace) -> Encryption | None:
    """Returns what the file says, None where nothing is encrypted; raises Failure."""
    path: Path | None = arguments.encryption_provider_config
    if path is None:
        return None
    from steersman.api.encryption import configuration
    from steersman.wire import yaml

    try:
        return configuration.parse(yaml.load(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise Failure(f"{_OPTION} {path}: {why(error)}") from error
