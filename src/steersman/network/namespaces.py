"""setns(2) for network namespaces, which Python has only from 3.12 on."""

from __future__ import annotations

import ctypes
import os

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def setns(descriptor: int) -> None:
    """Moves the calling thread into a network namespace; raises OSError."""
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
