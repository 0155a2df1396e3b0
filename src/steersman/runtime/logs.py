"""Container output in the CRI log format: time, stream, F or P, text.

Not rotation, which the agent does and then asks for `reopen`. Rule: a line is held until it
ends or reaches 16 KiB, so a container that never ends a line costs no more than that.
Source: KEP "CRI: Logging", and containerd's container_log_writer.
"""

from __future__ import annotations

import os
import time

MAX_LINE_BYTES = 16 * 1024
_MODE = 0o640


def render_time(nanoseconds: int) -> bytes:
    """A moment as RFC 3339 in UTC with nine digits: 2016-10-06T00:17:09.669794202Z."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    moment = time.gmtime(seconds)
    return b"%04d-%02d-%02dT%02d:%02d:%02d.%09dZ" % (*moment[:6], fraction)


class LineSplitter:
    """Cuts one stream into log entries and holds the unfinished line."""

    def __init__(self, stream: bytes) -> None:
        self._full = b" " + stream + b" F "
        self._partial = b" " + stream + b" P "
        self._held = b""

    def feed(self, data: bytes, now: int) -> bytes:
        """The log entries that `data` completes."""
        moment = render_time(now)
        lines = (self._held + data).split(b"\n")
        self._held = lines.pop()
        entries: list[bytes] = []
        for line in lines:
            line = self._cut(line, moment, entries)
            entries.append(moment + self._full + line + b"\n")
        self._held = self._cut(self._held, moment, entries)
        return b"".join(entries)

    def _cut(self, line: bytes, moment: bytes, entries: list[bytes]) -> bytes:
        while len(line) > MAX_LINE_BYTES:
            entries.append(moment + self._partial + line[:MAX_LINE_BYTES] + b"\n")
            line = line[MAX_LINE_BYTES:]
        return line

    def finish(self, now: int) -> bytes:
        """The entry of a line that the stream ended in the middle of, or nothing."""
        if not self._held:
            return b""
        line, self._held = self._held, b""
        return render_time(now) + self._full + line + b"\n"


class LogFile:
    """The log of one container; without a path, output is thrown away.

    A write that fails (disk full) must not stop the container: the bytes are counted in
    `lost_bytes`, which is part of the container's state.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.lost_bytes = 0
        self._descriptor = -1
        self._splitters = {name: LineSplitter(name.encode()) for name in ("stdout", "stderr")}
        self.reopen()

    def reopen(self) -> None:
        """Opens the path anew, after the agent has moved the file away."""
        if not self.path:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path, flags, _MODE)
        self.close()
        self._descriptor = descriptor

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
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            self.lost_bytes += len(view)

    def close(self) -> None:
        """Closes the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
