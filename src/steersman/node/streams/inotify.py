"""Hears from the kernel that something in a directory has changed; see inotify(7).

One instance serves the whole process, as a user may have 128 of them. It exists only while
something is watched.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LIBC = ctypes.CDLL(None, use_errno=True)
IN_MODIFY, IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE = 0x2, 0x8, 0x40, 0x80, 0x100
IN_DELETE, IN_DELETE_SELF, IN_MOVE_SELF = 0x200, 0x400, 0x800
IN_ONLYDIR = 0x01000000
# A file grows, is made or is moved
GROWTH = IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE
# A file has been written, moved or removed, or the directory itself
CONTENT = IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF
_EVENT = struct.Struct("iIII")
_READ_BYTES = 64 * 1024


def _called(result: int, path: str = "") -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path or None)
    return result


class DirectoryChanges:
    """Tells who watches a directory each time that one of some events (GROWTH, CONTENT) happens."""

    def __init__(self, events: int = GROWTH) -> None:
        self._mask = events | IN_ONLYDIR
        self._descriptor = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heard: dict[int, list[Callable[[], None]]] = {}

    @contextmanager
    def watch(self, directory: str, hear: Callable[[], None]) -> Iterator[None]:
        """Calls `hear` for changes from now on; raises OSError where there is no directory."""
        number = self._add(directory)
        self._heard.setdefault(number, []).append(hear)
        try:
            yield
        finally:
            self._remove(number, hear)

    def _add(self, directory: str) -> int:
        if self._descriptor < 0:
            self._descriptor = _called(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._descriptor, self._read)
        try:
            name = os.fsencode(directory)
            return _called(_LIBC.inotify_add_watch(self._descriptor, name, self._mask), directory)
        except OSError:
            self._close_unused()
            raise

    def _remove(self, number: int, hear: Callable[[], None]) -> None:
        listeners = self._heard.get(number, [])
        if hear in listeners:
            listeners.remove(hear)
        if not listeners and self._heard.pop(number, None) is not None:
            _LIBC.inotify_rm_watch(self._descriptor, number)  # EINVAL: the directory went first
        self._close_unused()

    def _close_unused(self) -> None:
        if not self._heard and self._descriptor >= 0:
            assert self._loop is not None
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        numbers = set()
        at = 0
        while at < len(data):
            number, _, _, length = _EVENT.unpack_from(data, at)
            numbers.add(number)
            at += _EVENT.size + length
        if -1 in numbers:  # the queue ran over: anything may have changed
            numbers = set(self._heard)
        for number in numbers:
            for hear in list(self._heard.get(number, ())):
                hear()
