"""Pseudo-terminals: opened inside a container, used outside.

Rule: the slave is got from the master by ioctl, never by a path that the container controls.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct

from . import syscalls
from .mounts import open_in_root, open_or_make

_TIOCSCTTY, _TIOCSWINSZ, _TIOCSPTLCK, _TIOCGPTPEER = 0x540E, 0x5414, 0x40045431, 0x5441
_PTMX_DEVICE = os.makedev(5, 2)


def open_pair(root: int) -> tuple[int, int]:
    """Master and slave of a new pseudo-terminal of the devpts mounted below `root`."""
    master = open_in_root(root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY, symlinks=False)
    status = os.fstat(master)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _PTMX_DEVICE:
        os.close(master)
        raise OSError("/dev/pts/ptmx in the container is not the terminal multiplexer")
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("=i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    return master, slave


def resize(terminal: int, width: int, height: int) -> None:
    """Tells a terminal its size in characters."""
    fcntl.ioctl(terminal, _TIOCSWINSZ, struct.pack("=4H", height, width, 0, 0))


def adopt(slave: int, owner: int) -> None:
    """Makes the slave the controlling terminal and the three standard streams."""
    os.fchown(slave, owner, -1)
    fcntl.ioctl(slave, _TIOCSCTTY, 0)
    for descriptor in (0, 1, 2):
        os.dup2(slave, descriptor)


def mount_console(root: int, slave: int) -> None:
    """Shows the slave as /dev/console of the container."""
    os.close(open_or_make(root, "/dev/console", directory=False))
    flags = syscalls.OPEN_TREE_CLONE | syscalls.AT_EMPTY_PATH
    tree = syscalls.open_tree(slave, "", flags)
    target = open_in_root(root, "/dev/console", os.O_PATH, symlinks=False)
    try:
        syscalls.move_mount(tree, target)
    finally:
        os.close(tree)
        os.close(target)
