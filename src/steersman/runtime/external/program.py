"""Runs the program of another OCI runtime: one call after the other, each followed to its end.

The program is a child of the pod's keeper, and what it leaves running falls to the keeper, which
takes in orphans. Rule: a call that fails has a reason, the program's own words where it has any.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

from .. import documents
from ..container import decode_status, now
from ..entry.descriptors import FIRST, settle
from ..kernel import syscalls
from ..streams import close_all, fill_streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    Done = Callable[[str], None]
    Follow = Callable[[int, Callable[[int], None]], None]

# Of an answer that is read, so that a program cannot fill our memory
_MAX_LOG_BYTES = 1 << 20
# A call that lasts longer does not come back: twice what a machine under load was seen to need
_PATIENCE_NANOSECONDS = 10 * 10**9
_FAILED = 127
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_STATES, _LOG = "states", "log"


class Call:
    """One run of the program that is under way."""

    def __init__(self, pid: int) -> None:
        self._begun = now()
        try:
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:  # the keeper has reaped it, which is about to be heard
            self._handle = -1

    def end_if_hung(self) -> None:
        """Ends the program where it has had its time."""
        if self._handle >= 0 and now() - self._begun > _PATIENCE_NANOSECONDS:
            self.end()

    def end(self) -> None:
        """Ends the program."""
        try:
            _signal.pidfd_send_signal(self._handle, _signal.SIGKILL)
        except ProcessLookupError:
            return

    def close(self) -> None:
        """It has ended."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class Program:
    """An OCI runtime with the states of one pod's containers in a directory of the pod's."""

    def __init__(self, path: str, directory: str, follow: Follow) -> None:
        """`follow` calls back with the wait status of a child of the keeper."""
        self._path = path
        self._directory = directory
        self._follow = follow
        self._last = 0
        self._calls: set[Call] = set()

    def call(self, words: Sequence[str], done: Done, streams: Sequence[int] = ()) -> Call:
        """Runs it; `done` gets why that failed, or nothing. Streams that are left out are
        /dev/null."""
        self._last += 1
        log = os.path.join(self._directory, f"{_LOG}.{self._last}")
        states = os.path.join(self._directory, _STATES)
        os.makedirs(states, 0o700, exist_ok=True)
        known = ["--root", states, "--log", log, "--log-format", "json"]
        child = _spawn([self._path, *known, *words], streams, log)
        call = Call(child)
        self._calls.add(call)

        def ended(status: int) -> None:
            self._calls.discard(call)
            call.close()
            done(self._read_reason(words[0], status, log))

        self._follow(child, ended)
        return call

    @property
    def quiet(self) -> bool:
        """Whether no call is under way."""
        return not self._calls

    def close(self) -> None:
        """Ends every call that is under way; nobody waits for it any more."""
        for call in self._calls:
            call.end()

    def _read_reason(self, verb: str, status: int, log: str) -> str:
        """Returns why a call has failed, nothing where it has not."""
        text = _last_error(log)
        if status == 0:
            return ""
        code, number = decode_status(status)
        ended = f"signal {number}" if number else f"exit status {code}"
        return f"OCI runtime {verb} failed: {text or f'{self._path}: {ended}'}"


def _last_error(log: str) -> str:
    """Takes a log away; returns the last error in it (containerd's getLastRuntimeError)."""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = file.read(_MAX_LOG_BYTES).splitlines()
        os.unlink(log)
    except FileNotFoundError:
        return ""
    for line in reversed(lines):
        try:
            entry = documents.loads(line)
        except ValueError:
            return line
        if isinstance(entry, dict) and entry.get("level") == "error":
            return str(entry.get("msg", "")).strip()
    return ""


def _spawn(command: list[str], streams: Sequence[int], log: str) -> int:
    given = list(streams)
    own: list[int] = []
    if not given:
        fill_streams(own)
    try:
        child = syscalls.clone(syscalls.CLONE_PARENT)
        if child == 0:
            _become(command, given or own, log)
    finally:
        close_all(own)
    return child


def _become(command: list[str], streams: Sequence[int], log: str) -> NoReturn:
    try:
        settle(streams, FIRST)
        syscalls.reset_signals()
        os.execve(command[0], command, _ENVIRONMENT)
    except OSError as error:
        with open(log, "w") as file:
            file.write(f"{command[0]}: {error.strerror}")
    finally:
        os._exit(_FAILED)
