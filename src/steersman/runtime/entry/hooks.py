"""Hooks of a container: programs that its document has run at points of its life.

Where each kind runs is the caller's matter; runtime-spec, config, "POSIX-platform Hooks". Rule: a
hook gets the state on standard input and nothing else of ours, and never outlives its timeout.
"""

from __future__ import annotations

import os
import select
import time

from .. import documents
from ..kernel import syscalls
from ..process import parse_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

KINDS = (
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
)
# What of a hook's output is shown when it fails; the rest is read and forgotten.
_MAX_SHOWN_BYTES = 1 << 14
_READ_BYTES = 1 << 16
_NOT_RUN = 127


class HookFailed(Exception):
    """A hook could not be run, failed or took too long; the text says which."""


class Hook:
    """One program to run; without a timeout it may take as long as it wants."""

    __slots__ = ("args", "env", "path", "timeout_seconds")

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self.path = str(entry.get("path", ""))
        if not self.path.startswith("/"):
            raise ValueError(f"hooks: path {self.path!r} is not absolute")
        self.args = [str(arg) for arg in entry.get("args") or (self.path,)]
        self.env = parse_environment(entry.get("env") or ())
        self.timeout_seconds: float | None = entry.get("timeout")
        if self.timeout_seconds is not None and self.timeout_seconds <= 0:
            raise ValueError(f"hooks: timeout of {self.path} is not above 0")


def parse(section: Mapping[str, Any] | None) -> dict[str, list[Hook]]:
    """Reads the hooks of a document by kind; kinds without any are left out."""
    section = section or {}
    unknown = sorted(set(section) - set(KINDS))
    if unknown:
        raise ValueError(f"hooks: {unknown[0]!r} is not known")
    return {kind: [Hook(entry) for entry in section[kind]] for kind in KINDS if section.get(kind)}


class Confinement:
    """A seccomp filter that a hook inside a container gets, as its program will."""

    __slots__ = ("filter", "flags")

    def __init__(self, program: bytes, flags: int) -> None:
        self.filter = program
        self.flags = flags


def run(
    kind: str,
    hooks: Sequence[Hook],
    state: Mapping[str, Any],
    confined: Confinement | None = None,
) -> None:
    """Runs hooks one after the other in the present directory; HookFailed ends the row."""
    data = documents.dumps(dict(state)).encode()
    for number, hook in enumerate(hooks):
        try:
            _run(hook, data, confined)
        except HookFailed as error:
            raise HookFailed(f"error running {kind} hook #{number}: {error}") from None


def _run(hook: Hook, data: bytes, confined: Confinement | None) -> None:
    given = os.memfd_create("state", os.MFD_CLOEXEC)
    os.write(given, data)
    os.lseek(given, 0, os.SEEK_SET)
    pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
    child = os.fork()
    if child == 0:
        _become(hook, given, [writer for _, writer in pipes], confined)
    os.close(given)
    for _, writer in pipes:
        os.close(writer)
    output = Output([reader for reader, _ in pipes])
    try:
        in_time = output.collect(child, hook.timeout_seconds)
    finally:
        if not output.ended:
            os.kill(child, syscalls.SIGKILL)
        _, status = os.waitpid(child, 0)
        output.close()
    _judge(hook, status, in_time, [text.decode("utf-8", "replace") for text in output.texts])


def _judge(hook: Hook, status: int, in_time: bool, texts: Sequence[str]) -> None:
    """Raises what went wrong, in runc's words."""
    out, error, trouble = texts
    if not in_time:
        raise HookFailed(f"hook ran past specified timeout of {hook.timeout_seconds:.1f}s")
    if trouble:
        raise HookFailed(f"fork/exec {hook.path}: {trouble}")
    if status:
        code = os.waitstatus_to_exitcode(status)
        how = f"exit status {code}" if code >= 0 else f"signal: {-code}"
        raise HookFailed(f"error running hook: {how}, stdout: {out}, stderr: {error}")


class Output:
    """What a hook writes, and why it could not be run, read until it has ended."""

    def __init__(self, readers: Sequence[int]) -> None:
        self._readers = list(readers)
        self.texts = [bytearray() for _ in readers]
        self.ended = False

    def collect(self, child: int, timeout_seconds: float | None) -> bool:
        """Reads until the process has ended; False if that took too long.

        What it has left running may hold its streams: they are not waited for.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        handle = os.pidfd_open(child)
        poller = select.poll()
        for descriptor in (*self._readers, handle):
            os.set_blocking(descriptor, False)
            poller.register(descriptor, select.POLLIN)
        try:
            while not self.ended:
                left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
                ready = poller.poll(left)
                if not ready:
                    return False
                self.ended = any(descriptor == handle for descriptor, _ in ready)
                for index, descriptor in enumerate(self._readers):
                    if descriptor >= 0 and not self._read(index):
                        poller.unregister(descriptor)
                        os.close(descriptor)
                        self._readers[index] = -1
        finally:
            os.close(handle)
        return True

    def _read(self, index: int) -> bool:
        """Reads what is there; False at the end."""
        text = self.texts[index]
        try:
            while data := os.read(self._readers[index], _READ_BYTES):
                text += data[: max(0, _MAX_SHOWN_BYTES - len(text))]
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        """Closes what has not ended by itself."""
        for descriptor in self._readers:
            if descriptor >= 0:
                os.close(descriptor)


def _become(
    hook: Hook, given: int, writers: Sequence[int], confined: Confinement | None
) -> NoReturn:
    out, error, trouble = writers
    try:
        for target, descriptor in enumerate((given, out, error)):
            os.dup2(descriptor, target)
        syscalls.reset_signals()
        syscalls.close_range(3, flags=syscalls.CLOSE_RANGE_CLOEXEC)
        if confined is not None:
            syscalls.seccomp(confined.filter, confined.flags)
        os.execve(hook.path, hook.args, hook.env)
    except OSError as failure:
        os.write(trouble, (failure.strerror or str(failure)).encode())
    finally:
        os._exit(_NOT_RUN)
