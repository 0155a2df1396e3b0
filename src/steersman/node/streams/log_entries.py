"""Entries of a log in the CRI format, and what of them is shown. Pure: bytes in, bytes out.

Follows kubelet's pkg/kubelet/kuberuntime/logs: a P entry has no line end, a moment stands before
the first piece of a line only, and an entry that is none is left out.
"""

from __future__ import annotations

from typing import NamedTuple

from steersman.model.errors import BadRequest
from steersman.wire.log_options import LogOptions, parse_time

# The longest entry is 16 KiB of text behind 50 bytes; what is longer is damage and is left out
MAX_ENTRY_BYTES = 64 * 1024
_WANTED = {"All": (b"stdout", b"stderr"), "Stdout": (b"stdout",), "Stderr": (b"stderr",)}


class Entry(NamedTuple):
    """One entry: when, from which stream, and its text, with the line's end where it has one."""

    moment: bytes
    stream: bytes
    text: bytes


def parse_entry(line: bytes) -> Entry | None:
    """Returns the entry in a line of the log (with or without its own end), None for damage."""
    parts = line.split(b" ", 3)
    if len(parts) != 4 or not parts[0] or parts[1] not in (b"stdout", b"stderr"):
        return None
    moment, stream, tags, text = parts
    if tags.split(b":", 1)[0] == b"P":  # tags are joined by colons, the first says P or F
        text = text.removesuffix(b"\n")
    return Entry(moment, stream, text)


class Rendering:
    """Turns a log into what a reader asked for. `done` once nothing more is to come.

    entries: at most so many of them (tailLines of a log that is not followed), None for all
    """

    def __init__(self, options: LogOptions, now: float, entries: int | None = None) -> None:
        self._since = options.since(now)
        self._streams = _WANTED[options.stream]
        self._timestamps = options.timestamps
        self._room = options.limit_bytes
        self._entries = entries
        self._line_begins = True
        self._waiting = b""
        self._damaged = False
        self.done = entries == 0

    def feed(self, data: bytes) -> bytes:
        """Returns what the next bytes of the log show."""
        lines = (self._waiting + data).split(b"\n")
        self._waiting = lines.pop()
        if self._damaged and lines:
            self._damaged = False
            del lines[0]
        if len(self._waiting) > MAX_ENTRY_BYTES:
            self._damaged = True
        if self._damaged:
            self._waiting = b""
        return b"".join([self._show(line + b"\n") for line in lines])

    def finish(self) -> bytes:
        """Returns what an entry without an end shows: the disk was full when it was written."""
        line, self._waiting = self._waiting, b""
        return self._show(line) if line and not self._damaged else b""

    def _show(self, line: bytes) -> bytes:
        entry = None if self.done else parse_entry(line)
        if entry is None or entry.stream not in self._streams:
            return b""
        shown = b""
        if self._since is None or _moment(entry.moment) >= self._since:
            stamped = self._timestamps and self._line_begins
            shown = entry.moment + b" " + entry.text if stamped else entry.text
        self._line_begins = not entry.text or entry.text.endswith(b"\n")
        if self._entries is not None:
            self._entries -= 1
            self.done = self._entries <= 0
        return self._limited(shown)

    def _limited(self, shown: bytes) -> bytes:
        if self._room is None:
            return shown
        shown = shown[: self._room]
        self._room -= len(shown)
        self.done = self.done or self._room <= 0
        return shown


def _moment(text: bytes) -> int:
    """Returns a moment in nanoseconds; one that cannot be read is as old as can be."""
    try:
        return parse_time(text.decode("ascii", "replace"))
    except BadRequest:
        return 0
