"""Container output in the CRI log format: time, stream, F or P, text.

A full file is moved aside by who writes it, the moment it is full, so that nobody has to look.
Rule: a line is held until it ends or reaches 16 KiB; one that never ends costs no more than that.
Source: KEP "CRI: Logging", containerd's container_log_writer, kubelet's logs/container_log_manager.
"""

from __future__ import annotations

import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

MAX_LINE_BYTES = 16 * 1024
_WINDOW_BYTES = MAX_LINE_BYTES // 2
# kubelet containerLogMaxSize and containerLogMaxFiles; the file that is written to counts
MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_FILES = 5
_FRESH = ".new"
_MODE = 0o640
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def render_time(nanoseconds: int) -> bytes:
    """A moment as RFC 3339 in UTC with nine digits: 2016-10-06T00:17:09.669794202Z."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    moment = time.gmtime(seconds)
    return b"%04d-%02d-%02dT%02d:%02d:%02d.%09dZ" % (*moment[:6], fraction)


def render_moment(nanoseconds: int) -> str:
    """A moment as it stands in the name of a file that was moved aside, as the kubelet's, with the
    nanoseconds: 20161006-001709.669794202."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(seconds))}.{fraction:09d}"


def _are_short(lines: bytes) -> bool:
    """Whether surely none has to be cut: a line that has would hold a window without an end."""
    last = len(lines) - _WINDOW_BYTES
    starts = range(0, last + 1, _WINDOW_BYTES)
    return all(lines.find(b"\n", start, start + _WINDOW_BYTES) >= 0 for start in starts)


class LineSplitter:
    """Cuts one stream into log entries and holds the unfinished line."""

    def __init__(self, stream: bytes) -> None:
        self._full = b" " + stream + b" F "
        self._partial = b" " + stream + b" P "
        self.held = b""

    def feed(self, data: bytes, now: int) -> bytes:
        """The log entries that `data` completes."""
        moment = render_time(now)
        whole, ended, held = (self.held + data).rpartition(b"\n")
        entries: list[bytes] = []
        if ended and _are_short(whole):
            head = moment + self._full
            entries += (head, whole.replace(b"\n", b"\n" + head), b"\n")
        elif ended:
            for line in whole.split(b"\n"):
                line = self._cut(line, moment, entries)
                entries.append(moment + self._full + line + b"\n")
        self.held = self._cut(held, moment, entries)
        return b"".join(entries)

    def _cut(self, line: bytes, moment: bytes, entries: list[bytes]) -> bytes:
        while len(line) > MAX_LINE_BYTES:
            entries.append(moment + self._partial + line[:MAX_LINE_BYTES] + b"\n")
            line = line[MAX_LINE_BYTES:]
        return line

    def finish(self, now: int) -> bytes:
        """The entry of a line that the stream ended in the middle of, or nothing."""
        if not self.held:
            return b""
        line, self.held = self.held, b""
        return render_time(now) + self._full + line + b"\n"


class LogFile:
    """The log of one container; without a path, output is thrown away.

    A write that fails (disk full) must not stop the container: the bytes are counted in
    `lost_bytes`, which is part of the container's state. Only whole entries are in a file when it
    is moved aside, under its name and a moment; `on_aside` is called then.
    """

    def __init__(self, path: str, most_bytes: int = MAX_FILE_BYTES, *, opened: bool = True) -> None:
        self.path = path
        self.lost_bytes = 0
        self._most_bytes = most_bytes
        self._size = 0
        self._descriptor = -1
        self.on_aside: Callable[[], None] = lambda: None
        self._splitters = {name: LineSplitter(name.encode()) for name in ("stdout", "stderr")}
        if opened:
            self.reopen()

    def freeze(self) -> dict[str, Any]:
        """What of it is to be known again; the file stays open."""
        held = {name: it.held.decode("latin-1") for name, it in self._splitters.items()}
        return {
            "lost_bytes": self.lost_bytes,
            "size": self._size,
            "descriptor": self._descriptor,
            "held": held,
        }

    def thaw(self, kept: Mapping[str, Any]) -> None:
        """Takes up what was known."""
        self.lost_bytes, self._size = kept["lost_bytes"], kept["size"]
        self._descriptor = kept["descriptor"]
        for name, held in kept["held"].items():
            self._splitters[name].held = held.encode("latin-1")

    def reopen(self) -> None:
        """Opens the path anew, after the agent has moved the file away."""
        if not self.path:
            return
        self._use(os.open(self.path, _FLAGS, _MODE))

    def _use(self, descriptor: int) -> None:
        self.close()
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size

    def write(self, stream: str, data: bytes) -> None:
        """Adds output of "stdout" or "stderr"."""
        if self.path:
            self._append(self._splitters[stream].feed(data, time.time_ns()))

    def finish(self, stream: str) -> None:
        """The stream has ended: writes the line it left unfinished."""
        if self.path:
            self._append(self._splitters[stream].finish(time.time_ns()))

    def _append(self, entries: bytes) -> None:
        view = memoryview(entries)
        try:
            while view:
                written = os.write(self._descriptor, view)
                self._size += written
                view = view[written:]
        except OSError:
            self.lost_bytes += len(view)
        if self._size >= self._most_bytes:
            self._rotate()

    def _rotate(self) -> None:
        """Moves the full file aside and begins a new one. On a full or broken disk the file grows
        on; it is tried again when as much more is written."""
        self._size = 0
        try:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                return
            descriptor = os.open(self.path + _FRESH, _FLAGS | os.O_TRUNC, _MODE)
        except OSError:
            return
        try:
            os.rename(self.path, f"{self.path}.{render_moment(time.time_ns())}")
            os.rename(self.path + _FRESH, self.path)
            self._remove_old()
        except OSError:
            os.close(descriptor)
        else:
            self._use(descriptor)
            self.on_aside()

    def _remove_old(self) -> None:
        directory, name = os.path.split(self.path)
        found = [it for it in os.listdir(directory) if it.startswith(f"{name}.")]
        for old in sorted(found)[: max(0, len(found) - MAX_FILES + 1)]:
            os.unlink(os.path.join(directory, old))

    def close(self) -> None:
        """Closes the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
