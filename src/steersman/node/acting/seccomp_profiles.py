"""Local seccomp profiles: read from the node's folder when a container begins (KEP-135).

A profile has the form of linux.seccomp of the OCI runtime specification; the runtime checks it.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

import msgspec

from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container
from steersman.node.render.bundle import profile_of
from steersman.runtime.kernel import mounts

MAX_BYTES: Final = 1 << 20  # the usual default profile has 20 kB


class BadProfile(Exception):
    """A profile cannot be had; the text names its file."""


def local_profile(pod: Pod, container: Container) -> str:
    """Returns the name of the local profile of a container, empty for none; one that is
    privileged has none."""
    profile = profile_of(pod, container)
    if profile is None or profile.type != "Localhost":
        return ""
    return profile.localhost_profile


def load_profile(folder: Path, name: str) -> Document:
    """Returns a profile of the node's folder, out of which no name and no link leads; raises
    BadProfile."""
    path = folder / name
    start = f'cannot load seccomp profile "{path}": '
    try:
        data = _read(folder, name)
    except OSError as error:
        why = "no such file or directory" if error.errno == errno.ENOENT else error.strerror
        raise BadProfile(f"{start}open {path}: {why}") from None
    if len(data) > MAX_BYTES:
        raise BadProfile(f"{start}it has more than {MAX_BYTES} bytes")
    try:
        return msgspec.json.decode(data, type=dict)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadProfile(f"{start}decoding seccomp profile failed: {error}") from None


def _read(folder: Path, name: str) -> bytes:
    root = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        opened = mounts.open_in_root(root, name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(root)
    with open(opened, "rb") as file:
        return file.read(MAX_BYTES + 1)
