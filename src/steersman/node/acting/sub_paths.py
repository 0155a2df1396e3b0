"""What a subPath names in a volume: made where nothing is, never outside of the volume."""

from __future__ import annotations

import os
from pathlib import Path

from steersman.node.objects import BadConfiguration
from steersman.runtime.kernel import mounts


def make_subpath(volume: Path, subpath: str) -> None:
    """Makes what a subPath names where nothing is; links in it cannot lead out of the volume."""
    root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(mounts.open_in_root(root, subpath, os.O_PATH))
    except FileNotFoundError:
        os.close(mounts.open_or_make(root, subpath, directory=True))
    except OSError as error:
        text = f'failed to prepare subPath "{subpath}": {error.strerror}'
        raise BadConfiguration(text) from error
    finally:
        os.close(root)
