"""Calls of the kernel without types: whole numbers and bytes arrive, failures come back."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from steersman.runtime.kernel import syscalls

NAMES = """
from steersman.runtime.kernel import syscalls
for name in ("short", "longer than fifteen"):
    syscalls.set_name(name)
    print(open("/proc/self/comm").read(), end="")
"""
CLONE_THREAD = 0x00010000  # which clone3(2) refuses without what a thread has to share


def test_a_process_has_the_first_fifteen_bytes_of_a_name() -> None:
    command = [sys.executable, "-P", "-c", NAMES]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["short", "longer than fif"]


def test_what_the_kernel_refuses_is_raised_as_it_tells_it() -> None:
    with pytest.raises(OSError, match="Invalid argument") as caught:
        syscalls.prctl(-1)
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        syscalls.setns(-1, syscalls.CLONE_NEWUTS)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError, match="clone3") as caught:
        syscalls.clone(CLONE_THREAD)
    assert caught.value.errno == errno.EINVAL
