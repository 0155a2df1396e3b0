"""Volumes that are used as devices: what is behind a path as a block device of the machine, with a
loop device for a file (loop(4)), which stays as long as a pod has it.

A loop device belongs to its file: it is found by it, and all pods that have the file share it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from steersman.node.objects import BadConfiguration

_LOOP_CTL_GET_FREE: Final = 0x4C82  # linux/loop.h
_LOOP_SET_FD: Final = 0x4C00
_LOOP_CLR_FD: Final = 0x4C01
_LOOP_MAJOR: Final = 7
_BLOCK: Final = Path("/sys/block")
_DEVICES: Final = Path("/dev")
MOST_TRIES: Final = 16  # others of the machine take free devices too


def attach(path: Path) -> Path:
    """Returns the block device that is at a path, or that stands for the file there; raises
    BadConfiguration for what is neither."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise BadConfiguration(f'path "{path}" does not exist') from None
    if stat.S_ISBLK(mode):
        return path
    if not stat.S_ISREG(mode):
        raise BadConfiguration(f'path "{path}" is neither a block device nor a file')
    return find(path) or _attach(path)


def find(path: Path) -> Path | None:
    """Returns the loop device of a file, None where it has none."""
    for place in sorted(_BLOCK.glob("loop*")):
        if backing(_DEVICES / place.name) == str(path.resolve()):
            return _DEVICES / place.name
    return None


def backing(device: Path) -> str:
    """Returns the file behind a loop device, empty where there is none."""
    try:
        return (_BLOCK / device.name / "loop" / "backing_file").read_text().rstrip("\n")
    except OSError:
        return ""


def is_loop(path: Path) -> bool:
    """Says whether a path is that of a loop device."""
    return path.parent == _DEVICES and path.name.startswith("loop")


def detach(device: Path) -> None:
    """Takes the file from a loop device; one that has none is fine."""
    number = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(number, _LOOP_CLR_FD, 0)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
    finally:
        os.close(number)


def release(place: Path, others: Iterable[Path]) -> None:
    """Removes the link to a pod's loop device, and detaches that where no other link needs it."""
    device = place.readlink()
    place.unlink()
    if not any(it.is_symlink() and it.readlink() == device for it in others):
        detach(device)


def _attach(path: Path) -> Path:
    control = os.open(_DEVICES / "loop-control", os.O_RDWR | os.O_CLOEXEC)
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(MOST_TRIES):
            minor = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            device = _DEVICES / f"loop{minor}"
            if not device.exists():  # without udev nobody else makes it
                os.mknod(device, stat.S_IFBLK | 0o660, os.makedev(_LOOP_MAJOR, minor))
            if _take(device, file):
                return device
    finally:
        os.close(file)
        os.close(control)
    raise BadConfiguration(f"no loop device is free for {path}")


def _take(device: Path, file: int) -> bool:
    number = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(number, _LOOP_SET_FD, file)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    finally:
        os.close(number)
    return True
