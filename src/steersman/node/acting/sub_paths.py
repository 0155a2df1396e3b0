"""What a subPath names in a volume: made where nothing is, never outside of the volume."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from steersman.model.types.container import VolumeMount
from steersman.node.objects import BadConfiguration
from steersman.runtime.kernel import mounts

log = logging.getLogger(__name__)


def make_subpath(volume: Path, subpath: str, mount: VolumeMount, container: str) -> None:
    """Makes what a subPath names where nothing is, open to whom the volume is open to; links in it
    cannot lead out of the volume. Raises BadConfiguration, in words that name the mount alone; the
    node's log says more, as the kubelet's."""
    of = f'for volumeMount "{mount.name}" of container "{container}"'
    root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(mounts.open_in_root(root, subpath, os.O_PATH))
    except FileNotFoundError:
        try:
            _make(root, subpath)
        except OSError as error:
            raise _failed(f"failed to create subPath directory {of}", subpath, error) from error
    except OSError as error:
        raise _failed(f"failed to prepare subPath {of}", subpath, error) from error
    finally:
        os.close(root)


def _make(root: int, subpath: str) -> None:
    made = mounts.open_or_make(root, subpath, directory=True)
    try:
        mode = stat.S_IMODE(os.stat(root).st_mode)
        # A descriptor that only names a directory takes no fchmod; the umask has no say in it
        os.chmod(f"/proc/self/fd/{made}", mode)
    finally:
        os.close(made)


def _failed(text: str, subpath: str, error: OSError) -> BadConfiguration:
    log.warning("%s: %s: %s", text, subpath, error.strerror)
    return BadConfiguration(text)
