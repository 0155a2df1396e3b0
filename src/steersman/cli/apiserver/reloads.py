"""Which files of the options are read again when they change: the structured configurations, as
upstream reads them again, and the encryption's where that is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steersman.cli.apiserver import access, encryption
from steersman.cli.failure import Failure

if TYPE_CHECKING:  # loaded with the server
    from steersman.cluster.reloading import Reload


def settings(arguments: argparse.Namespace) -> tuple[Reload, ...]:
    """Returns the files and how each is read."""
    from steersman.api.published import reloads

    sealed = arguments.encryption_provider_config
    files: tuple[tuple[str, Path | None, Callable[[argparse.Namespace], Any]], ...] = (
        (reloads.AUTHENTICATION, arguments.authentication_config, access.settings),
        (reloads.AUTHORIZATION, arguments.authorization_config, access.settings),
        (
            reloads.ENCRYPTION,
            sealed if encryption.is_read_again(arguments) else None,
            encryption.settings,
        ),
    )
    if not any(path for _, path, _ in files):
        return ()
    from steersman.cluster.reloading import Reload

    return tuple(Reload(what, path, _reader(read, arguments)) for what, path, read in files if path)


def _reader(
    read: Callable[[argparse.Namespace], Any], arguments: argparse.Namespace
) -> Callable[[], Any]:
    def again() -> Any:
        try:
            return read(arguments)
        except Failure as error:
            raise ValueError(str(error)) from error

    return again
