"""Fills a new file system with what the directory it will cover holds ("tmpcopyup").

Rule: every step goes from an open directory to an entry of it that is no symlink, so a tree of
an image cannot lead out; what the new file system does not hold is its own bound (ENOSPC).
"""

from __future__ import annotations

import os
import stat

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Each level holds two descriptors; beyond this an image is not meant to be copied.
_MAX_DEPTH = 100


def copy(source: int, target: int, depth: int = 0) -> None:
    """Copies files, directories and symlinks from one open directory to another, with owners."""
    if depth > _MAX_DEPTH:
        raise OSError(f"tmpcopyup: more than {_MAX_DEPTH} directories deep")
    for name in os.listdir(source):
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        elif stat.S_ISDIR(status.st_mode):
            os.mkdir(name, dir_fd=target)
            _copy_directory(source, target, name, depth)
        elif stat.S_ISREG(status.st_mode):
            _copy_file(source, target, name)


def _copy_directory(source: int, target: int, name: str, depth: int) -> None:
    below = os.open(name, _DIRECTORY, dir_fd=source)
    made = os.open(name, _DIRECTORY, dir_fd=target)
    try:
        copy(below, made, depth + 1)
        _copy_owner(below, made)
    finally:
        os.close(below)
        os.close(made)


def _copy_file(source: int, target: int, name: str) -> None:
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    reader = os.open(name, os.O_RDONLY | flags, dir_fd=source)
    writer = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, 0o600, dir_fd=target)
    try:
        while os.sendfile(writer, reader, None, 1 << 20):
            pass
        _copy_owner(reader, writer)
    finally:
        os.close(reader)
        os.close(writer)


def _copy_owner(source: int, target: int) -> None:
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
