"""What a subPath names in a volume: made where nothing is, never outside of the volume."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from steersman.node.objects import BadConfiguration
from steersman.runtime.kernel import mounts


def make_subpath(volume: Path, subpath: str) -> None:
    """Makes what a subPath names where nothing is, open to whom the volume is open to; links in it
    cannot lead out of the volume."""
    root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(mounts.open_in_root(root, subpath, os.O_PATH))
    except FileNotFoundError:
        _make(root, subpath)
    except OSError as error:
        text = f'failed to prepare subPath "{subpath}": {error.strerror}'
        raise BadConfiguration(text) from error
    finally:
        os.close(root)


def _make(root: int, subpath: str) -> None:
    try:
        made = mounts.open_or_make(root, subpath, directory=True)
    except OSError as error:  # as in an image
        text = f'failed to create subPath directory "{subpath}": {error.strerror}'
        raise BadConfiguration(text) from error
    try:
        mode = stat.S_IMODE(os.stat(root).st_mode)
        # A descriptor that only names a directory takes no fchmod; the umask has no say in it
        os.chmod(f"/proc/self/fd/{made}", mode)
    finally:
        os.close(made)
