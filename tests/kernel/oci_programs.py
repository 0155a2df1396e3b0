"""The OCI runtimes that kernel tests call by their path: those of others, ours as a program."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import steersman.runtime

OTHERS = ("runc", "crun")
PROGRAMS = (*OTHERS, "steer-runtime")
_HYBRID = Path("/sys/fs/cgroup/unified/cgroup.controllers")
# crun 1.8 refuses version 2 with controllers beside version 1
_CRUN = """#!/bin/sh
exec unshare --mount --propagation slave \
    sh -c 'umount /sys/fs/cgroup/unified; exec {path} "$@"' crun "$@"
"""
_MAIN = Path(steersman.runtime.__file__).parent / "__main__.py"
_OURS = f'#!/bin/sh\nexec {sys.executable} -I -S {_MAIN} "$@"\n'


def find_program(name: str, directory: Path) -> Path:
    """Returns the path of a runtime, of a script in a directory where it needs one; skips the
    test where it is not installed."""
    if name == "steer-runtime":
        return write_program(directory / name, _OURS)
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed here")
    if name != "crun" or not _HYBRID.exists() or not _HYBRID.read_text().strip():
        return Path(path)
    return write_program(directory / name, _CRUN.format(path=path))


def write_program(path: Path, text: str) -> Path:
    """Writes a script that can be run."""
    path.write_text(text)
    path.chmod(0o755)
    return path
