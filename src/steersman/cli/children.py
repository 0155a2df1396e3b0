"""The processes that a supervisor runs: started, heard, started again, ended in order.

A child is a fork, which has half of what it loads already. It says what it has reached in lines of
JSON on a pipe of its own; nobody polls. Its standard input is a pipe that the supervisor holds: it
ends with the supervisor, however that ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import selectors
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

STOP_SECONDS = 20.0
# A child that ends this often within a minute of starting is not started again
MOST_RESTARTS = 5
YOUNG_SECONDS = 60.0
COMM = "steer-"  # begins the name of each process
NODE_COMM = f"{COMM}node"
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The descriptor on which a child says what it has reached
STATUS = 3


class News(NamedTuple):
    """What a child said (`said`), or that it ended (`said` is None, with its exit code)."""

    child: str
    said: dict[str, Any] | None
    code: int = 0


class Child:
    """One process of the cluster; `process` is its id, 0 where it does not run."""

    def __init__(self, name: str, words: Sequence[str], log: Path) -> None:
        self.name = name
        self.words = words
        self.log = log
        self.process = 0
        self.started = 0.0
        self.restarts = 0
        self.buffer = b""
        self.pipe: IO[bytes] | None = None
        self.go = -1

    def spawn(self) -> None:
        """Starts the process."""
        reading, said = os.pipe()
        standing, self.go = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            self._live(standing, said)
        os.close(said)
        os.close(standing)
        self.started = time.monotonic()
        self.buffer = b""
        self.pipe = os.fdopen(reading, "rb", buffering=0)

    def _live(self, standing: int, said: int) -> NoReturn:
        """The life of the process: in a session of its own, with nothing of its parent open."""
        from steersman.cli.main import main

        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        # A word of renewed certificates is for those who have read old ones
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # a node that is to end its pods
        move(self.log, standing, said)
        with open("/proc/self/comm", "w") as comm:
            comm.write(f"{COMM}{self.name}")
        code = main([self.name, *self.words, "--status-fd", str(STATUS)])
        sys.stdout.flush()
        os._exit(code)

    def wait(self) -> int:
        """Waits for the end; returns the exit code, or less than 0 for a signal."""
        _, status = os.waitpid(self.process, 0)
        self.process = 0
        os.close(self.go)
        return os.waitstatus_to_exitcode(status)


def move(log: Path, standing: int, *others: int) -> None:
    """Makes a log what is printed to, `standing` what is read from, the others 3 and up; closes
    all else."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    wanted = (standing, output, output, *others)
    # Above all targets first, so that no dup2 overwrites a descriptor still needed
    high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, len(wanted)) for number in wanted]
    for place, descriptor in enumerate(high):
        os.dup2(descriptor, place, inheritable=place < STATUS)
    os.closerange(len(wanted), os.sysconf("SC_OPEN_MAX"))


class Children:
    """Runs children and yields their news in one stream."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: dict[str, Child] = {}
        self._selector = selectors.DefaultSelector()

    def start(self, name: str, words: Sequence[str]) -> None:
        """Starts a child; its output goes to a log, it waits for `release` when it is loaded."""
        child = Child(name, words, self._logs / f"{name}.log")
        self._children[name] = child
        self._spawn(child)

    def _spawn(self, child: Child) -> None:
        child.spawn()
        assert child.pipe is not None
        self._selector.register(child.pipe, selectors.EVENT_READ, child)

    def release(self, name: str) -> None:
        """Tells a child that what it waits for (the certificates) is there."""
        try:
            os.write(self._children[name].go, b"go\n")
        except BrokenPipeError:
            pass  # it has ended; its news says so

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
            yield News(child.name, None, child.wait())

    def restart(self, name: str) -> bool:
        """Starts a child that ended once more; says whether it may be tried once more."""
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
        return {name: child.process for name, child in self._children.items() if child.process}

    def stop(self, name: str) -> None:
        """Ends a child: asks, waits, and kills what does not go."""
        child = self._children.get(name)
        if child is None or not child.process:
            return
        ends = os.pidfd_open(child.process)
        signal.pidfd_send_signal(ends, signal.SIGTERM)
        if not select.select([ends], [], [], STOP_SECONDS)[0]:
            signal.pidfd_send_signal(ends, signal.SIGKILL)
        os.close(ends)
        child.wait()


def tail(log: Path, lines: int = 3) -> str:
    """Returns the end of a log, for an error message."""
    try:
        text = log.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return " / ".join(text[-lines:])
