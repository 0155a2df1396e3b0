"""The processes that a supervisor runs: started, heard, started again, ended in order.

Each child says what it has reached in lines of JSON on a pipe of its own; nobody polls.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

STOP_SECONDS = 20.0
# A child that ends this often within a minute of starting is not started again
MOST_RESTARTS = 5
YOUNG_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class News:
    """What a child said (`said`), or that it ended (`said` is None, with its exit code)."""

    child: str
    said: dict[str, Any] | None
    code: int = 0


@dataclass(slots=True)
class Child:
    """One process of the cluster."""

    name: str
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restarts: int = 0
    buffer: bytes = b""
    pipe: IO[bytes] | None = None
    go: IO[bytes] | None = None
    watches: list[int] = field(default_factory=list)


def python_command(*words: str) -> list[str]:
    """Returns the command that runs steer again with the same interpreter."""
    return [sys.executable, "-P", "-m", "steersman", *words]


class Children:
    """Runs children and yields their news in one stream."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: dict[str, Child] = {}
        self._selector = selectors.DefaultSelector()

    def start(self, name: str, words: Sequence[str]) -> Child:
        """Starts a child; its output goes to a log, its standard input waits for `release`."""
        child = Child(name, python_command(*words), self._logs / f"{name}.log")
        self._children[name] = child
        self._spawn(child)
        return child

    def _spawn(self, child: Child) -> None:
        reading, writing = os.pipe()
        command = [*child.command, "--status-fd", str(writing)]
        with open(child.log, "ab") as log:
            child.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(writing,),
                start_new_session=True,
                preexec_fn=_begin,
            )
        os.close(writing)
        child.go = child.process.stdin
        child.started = time.monotonic()
        child.buffer = b""
        child.pipe = os.fdopen(reading, "rb", buffering=0)
        self._selector.register(child.pipe, selectors.EVENT_READ, child)

    def release(self, name: str) -> None:
        """Tells a child that what it waits for (the certificates) is there."""
        child = self._children[name]
        if child.go is not None:
            try:
                child.go.write(b"go\n")
                child.go.close()
            except BrokenPipeError:
                pass  # it has ended; its news says so
            child.go = None

    def listen(self, descriptor: int) -> None:
        """Wakes `news` when a descriptor (the signal pipe) becomes readable."""
        self._selector.register(descriptor, selectors.EVENT_READ, None)

    def news(self, timeout: float | None = None) -> Iterator[News]:
        """Yields what has come; waits for at least one thing, or for the time to pass."""
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                os.read(key.fd, 512)
                continue
            yield from self._read(key.data)

    def _read(self, child: Child) -> Iterator[News]:
        assert child.pipe is not None
        data = child.pipe.read(65536) or b""
        child.buffer += data
        *lines, child.buffer = child.buffer.split(b"\n")
        for line in lines:
            yield News(child.name, json.loads(line))
        if not data:
            self._selector.unregister(child.pipe)
            child.pipe.close()
            child.pipe = None
            assert child.process is not None
            yield News(child.name, None, child.process.wait())

    def restart(self, name: str) -> bool:
        """Starts a child again that has ended; says whether it may be tried once more."""
        child = self._children[name]
        young = time.monotonic() - child.started < YOUNG_SECONDS
        child.restarts = child.restarts + 1 if young else 0
        if child.restarts > MOST_RESTARTS:
            return False
        self._spawn(child)
        self.release(name)
        return True

    def processes(self) -> dict[str, int]:
        """Returns the children that run."""
        return {
            name: child.process.pid
            for name, child in self._children.items()
            if child.process is not None and child.process.poll() is None
        }

    def stop(self, name: str) -> None:
        """Ends a child: asks, waits, and kills what does not go."""
        child = self._children.get(name)
        if child is None or child.process is None or child.process.poll() is not None:
            return
        child.process.send_signal(signal.SIGTERM)
        try:
            child.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()


def _begin() -> None:
    """Runs in the child before exec: when the supervisor dies, the kernel ends the child. A word
    of renewed certificates is for those who have read old ones."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def tail(log: Path, lines: int = 3) -> str:
    """Returns the end of a log, for an error message."""
    try:
        text = log.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return " / ".join(text[-lines:])
