"""What is observed of a pod, on disk: written whole with each change, read when the agent starts.

One rule: a record that cannot be read is as good as none; its sandbox is then an orphan.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from steersman.node.observed import Observed
from steersman.node.paths import RECORD, Paths

RETRY_SECONDS = 10.0  # between tries on a full disk, which is freed in minutes
log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Observed).decode


class Record:
    """The record of one pod. What cannot be written, as on a full disk, is written later and ends
    nothing: an agent that finds an older one makes good what has happened since."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self.is_behind = False

    def save(self, seen: Observed) -> None:
        """Replaces it, or notes that it is behind."""
        try:
            save(self._paths, seen)
            self.is_behind = False
        except OSError as error:
            if not self.is_behind:
                log.warning("what is observed of pod %s is not noted: %s", seen.uid, error)
            self.is_behind = True


def save(paths: Paths, seen: Observed) -> None:
    """Replaces the record of a pod; makes its directory."""
    replace_file(paths.pod(seen.uid) / RECORD, _encode(seen))


def replace_file(path: Path, data: bytes) -> None:
    """Writes a file of a pod whole or not at all; makes its directory."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.new")
    partial.write_bytes(data)
    partial.rename(path)


def load_all(paths: Paths) -> Iterator[Observed]:
    """Yields what is known of every pod that has a record."""
    if not paths.pods.is_dir():
        return
    for directory in sorted(paths.pods.iterdir()):
        found = _load(directory / RECORD)
        if found is not None:
            yield found


def _load(path: Path) -> Observed | None:
    try:
        return _decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


def remove_tree(path: Path) -> None:
    """Removes what one pod has on disk, without following links; gone already is fine.

    A file system mounted inside would be emptied too: volumes are released first.
    """
    if not path.is_dir() or path.is_symlink():
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            remove_tree(Path(entry.path))
        else:
            os.unlink(entry.path)
    path.rmdir()
