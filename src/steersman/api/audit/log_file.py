"""The audit log as a file that is put aside when it is full, or as standard output.

Each event is written before its request goes on, as upstream's `blocking` mode does: nothing waits
in a queue, and a line is there whole or not at all. Files that were put aside are named and removed
as upstream's (lumberjack) are.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

MEGABYTE: Final = 1024 * 1024
DAY_SECONDS: Final = 86400
STANDARD_OUTPUT: Final = "-"
_STAMP: Final = "%Y-%m-%dT%H-%M-%S"
_is_stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}").fullmatch

log = logging.getLogger(__name__)


class Limits:
    """When a file is full, and how many of those put aside are kept; 0 is no limit."""

    __slots__ = ("age_days", "backups", "size_bytes")

    def __init__(self, size_bytes: int = 0, backups: int = 0, age_days: int = 0) -> None:
        self.size_bytes = size_bytes
        self.backups = backups
        self.age_days = age_days


class LogFile:
    """See the module and `auditor.Log`."""

    name = "log"

    def __init__(
        self, path: str, limits: Limits, now: Callable[[], float], *, strict: bool = False
    ) -> None:
        self.strict = strict
        self._path = Path(path)
        self._limits = limits
        self._now = now
        self._failed = False
        self._bounded = path != STANDARD_OUTPUT
        self._descriptor = self._open() if self._bounded else 1
        self._size = os.fstat(self._descriptor).st_size if self._bounded else 0

    def write(self, line: bytes) -> bool:
        """Writes a line; says whether it is kept."""
        limit = self._limits.size_bytes
        try:
            if self._bounded and limit and self._size + len(line) > limit:
                if len(line) > limit:
                    raise OSError(f"write length {len(line)} exceeds maximum file size {limit}")
                self._put_aside()
            self._write_whole(line)
        except OSError as error:
            self._tell(error)
            return False
        self._failed = False
        return True

    def close(self) -> None:
        """Closes the file."""
        if self._bounded and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.open(self._path, flags, 0o600)

    def _write_whole(self, line: bytes) -> None:
        """Writes a line whole, or takes back what of it went out."""
        if self._descriptor < 0:
            self._descriptor = self._open()
            self._size = os.fstat(self._descriptor).st_size
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            if self._bounded and len(rest) < len(line):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(line)

    def _put_aside(self) -> None:
        self.close()
        stem, suffix = self._path.stem, self._path.suffix
        now = self._now()
        stamp = datetime.fromtimestamp(now, UTC).strftime(_STAMP)
        aside = f"{stem}-{stamp}.{int(now * 1000) % 1000:03d}{suffix}"
        if self._path.exists():
            self._path.rename(self._path.with_name(aside))
        self._remove_old(now)

    def _remove_old(self, now: float) -> None:
        kept = sorted(self._aside(), reverse=True)
        gone = kept[self._limits.backups :] if self._limits.backups else []
        if age := self._limits.age_days:
            oldest = datetime.fromtimestamp(now - age * DAY_SECONDS, UTC).strftime(_STAMP)
            gone += [one for one in kept if one[0] < oldest and one not in gone]
        for _stamp, path in gone:
            path.unlink(missing_ok=True)

    def _aside(self) -> list[tuple[str, Path]]:
        """Returns the files that were put aside, each with its time."""
        start, suffix = f"{self._path.stem}-", self._path.suffix
        found = []
        for path in self._path.parent.iterdir():
            stamp = path.name.removeprefix(start).removesuffix(suffix)
            if path.name == f"{start}{stamp}{suffix}" and _is_stamp(stamp):
                found.append((stamp, path))
        return found

    def _tell(self, error: OSError) -> None:
        """Says once that nothing can be written, until something can be; each loss is counted."""
        if not self._failed:
            self._failed = True
            log.error("Error in audit plugin 'log': %s: %s", self._path, error)
