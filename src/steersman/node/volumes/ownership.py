"""To whom the files of a volume belong: the fsGroup of a pod, given to all that is there.

Follows pkg/volume/volume_linux.go. No link is followed: what a container left may be changed by
another one while this goes on.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_READ_WRITE = 0o660
_ENTER = 0o110
_SETGID = 0o2000
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def give(directory: Path, group: int, policy: str) -> None:
    """Gives a volume to a group; with the policy OnRootMismatch only where its root is not."""
    root = os.open(directory, _OPEN)
    try:
        if policy == "OnRootMismatch" and is_given(os.fstat(root), group):
            return
        for _, _, names, place in os.fwalk(".", topdown=False, dir_fd=root):
            for name in names:
                _give_file(name, place, group)
            _give(place, group, _READ_WRITE | _ENTER | _SETGID)
    finally:
        os.close(root)


def is_given(root: os.stat_result, group: int) -> bool:
    """Says whether a volume whose root is so was given to a group before."""
    wanted = _READ_WRITE | _ENTER | _SETGID
    return root.st_gid == group and stat.S_IMODE(root.st_mode) & wanted == wanted


def _give_file(name: str, place: int, group: int) -> None:
    try:
        file = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
    except FileNotFoundError:  # somebody removed it meanwhile
        return
    try:
        if not stat.S_ISLNK(os.fstat(file).st_mode):
            _give(file, group, _READ_WRITE)
    finally:
        os.close(file)


def _give(file: int, group: int, mode: int) -> None:
    path = f"/proc/self/fd/{file}"  # a descriptor that only names a file takes no fchmod
    os.chown(path, -1, group)
    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | mode)
