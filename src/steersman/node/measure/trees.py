"""How much of its disk a tree of files has, without following links (du(1)).

A file with several names in a tree counts once. What is gone while we look is not there.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

import msgspec

_BLOCK_BYTES: Final = 512  # inode(7): st_blocks counts these, whatever the file system has


class Tree(msgspec.Struct, frozen=True):
    """What is in a directory, itself not counted."""

    bytes: int = 0
    inodes: int = 0


class Walk:
    """Walks that may see so many files together, all of them where no number is given."""

    def __init__(self, most: int | None = None) -> None:
        self.left = most

    def tree(self, directory: Path) -> Tree | None:
        """Returns what is in a directory, None where that is more than may be seen."""
        size = count = 0
        named: set[tuple[int, int]] = set()
        pending = [str(directory)]
        while pending:
            entries = _entries(pending.pop())
            if self.left is not None:
                self.left -= len(entries)
                if self.left < 0:
                    return None
            for path, status in entries:
                if stat.S_ISDIR(status.st_mode):
                    pending.append(path)
                elif status.st_nlink > 1:
                    inode = (status.st_dev, status.st_ino)
                    if inode in named:
                        continue
                    named.add(inode)
                size += status.st_blocks * _BLOCK_BYTES
                count += 1
        return Tree(size, count)


def size_of(directory: Path) -> int:
    """Returns the bytes that a tree has on its disk; 0 for none."""
    found = Walk().tree(directory)
    assert found is not None
    return found.bytes


def _entries(directory: str) -> list[tuple[str, os.stat_result]]:
    """Returns what is in a directory; nothing where it went while we looked."""
    try:
        with os.scandir(directory) as entries:
            return [(it.path, it.stat(follow_symlinks=False)) for it in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
