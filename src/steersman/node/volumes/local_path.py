"""Directories of this node that are volumes: made with the first pod, removed with the volume.

The one rule: what is made or removed is one entry of the node's own directory, reached through its
descriptor, and no link on the way is followed (see `model.local_path`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

# As local-path-provisioner makes them: whoever a container runs as may write
_MODE = 0o777
_OWN_MODE = 0o711
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make(directory: Path, name: str) -> Path:
    """Makes a volume's directory; one that is there stays as it is. Raises OSError for what is
    there and is none."""
    directory.mkdir(mode=_OWN_MODE, parents=True, exist_ok=True)
    place = os.open(directory, _OPEN)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=place)
            os.chmod(name, _MODE, dir_fd=place)  # whatever the umask
        os.close(os.open(name, _OPEN, dir_fd=place))
    finally:
        os.close(place)
    return directory / name


def remove(directory: Path, name: str) -> None:
    """Removes a volume's directory with all that is in it; gone already is fine."""
    try:
        place = os.open(directory, _OPEN)
    except FileNotFoundError:
        return
    try:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(name, dir_fd=place)
    finally:
        os.close(place)
