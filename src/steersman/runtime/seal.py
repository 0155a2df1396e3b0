"""Makes this program's own executable unwritable for whoever may come to hold it.

A container that opens /proc/<pid>/exe of the runtime could overwrite the host's interpreter
(CVE-2019-5736). Rule: before anything else the runtime runs itself again from a copy that
cannot be written: a sealed memory file, which needs no mount and no newer kernel.
"""

from __future__ import annotations

import fcntl
import os
import sys

_EXECUTABLE = "/proc/self/exe"
# F_SEAL_SEAL, SHRINK, GROW, WRITE: see memfd_create(2) and fcntl(2).
_F_ADD_SEALS, _F_GET_SEALS, _ALL_SEALS = 1033, 1034, 0x1 | 0x2 | 0x4 | 0x8


def is_sealed() -> bool:
    """Whether this process runs from a sealed memory file."""
    descriptor = os.open(_EXECUTABLE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return fcntl.fcntl(descriptor, _F_GET_SEALS) & _ALL_SEALS == _ALL_SEALS
    except OSError:  # EINVAL: an ordinary file
        return False
    finally:
        os.close(descriptor)


def run_sealed() -> None:
    """Runs this command line again from a sealed copy, unless it does so already."""
    if is_sealed():
        return
    copy = os.memfd_create("steer-runtime", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    source = os.open(_EXECUTABLE, os.O_RDONLY | os.O_CLOEXEC)
    size = os.fstat(source).st_size
    while size > 0:
        size -= os.sendfile(copy, source, None, size)
    fcntl.fcntl(copy, _F_ADD_SEALS, _ALL_SEALS)
    os.execve(copy, sys.orig_argv, os.environ)


def require_sealed() -> None:
    """Refuses to go on from an executable that could be written."""
    if not is_sealed():
        raise PermissionError("the runtime must not run from a writable executable")
