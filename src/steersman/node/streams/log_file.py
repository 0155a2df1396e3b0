"""Reads a container's log file: from the end backwards for its last entries, onwards for the rest,
and over a rotation into the file that takes its place. Never holds more than a piece.
"""

from __future__ import annotations

import os
from typing import Self

PIECE_BYTES = 64 * 1024


class LogFile:
    """An open log, at some place in it; raises OSError as the file system does."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._at = 0
        self._descriptor = -1
        self._descriptor = self._open()

    def _open(self) -> int:
        return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()  # a reader who went away before the first piece never enters

    def close(self) -> None:
        """Closes the file; repeatable."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read(self) -> bytes:
        """Returns the next piece, b"" at the end of what is there now."""
        data = os.pread(self._descriptor, PIECE_BYTES, self._at)
        if not data and os.fstat(self._descriptor).st_size < self._at:
            self._at = 0  # emptied in place, as some people's log rotation does
            data = os.pread(self._descriptor, PIECE_BYTES, 0)
        self._at += len(data)
        return data

    def seek_tail(self, entries: int) -> None:
        """Goes to where the last so many entries begin; an unfinished one counts."""
        end = start = os.fstat(self._descriptor).st_size
        left = entries
        if left == 0:
            self._at = end
            return
        while start > 0:
            size = min(PIECE_BYTES, start)
            start -= size
            piece = os.pread(self._descriptor, size, start)
            at = len(piece)
            while (at := piece.rfind(b"\n", 0, at)) >= 0:
                if start + at + 1 == end:
                    continue  # the end of the last entry begins nothing
                left -= 1
                if left <= 0:
                    self._at = start + at + 1
                    return
        self._at = 0

    def replaced(self) -> bool:
        """Says whether another file has taken the path: the shim writes to that one alone."""
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False  # moved away; the writer has not opened the new one yet
        here = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def follow_path(self) -> None:
        """Goes to the beginning of the file that is at the path now, if there is one still."""
        try:
            opened = self._open()
        except FileNotFoundError:
            return  # moved away again; the next one will be told of
        os.close(self._descriptor)
        self._descriptor = opened
        self._at = 0
