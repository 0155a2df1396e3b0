"""A process that the shim has started and watches: a container's first one, or an exec.

Here is the conversation with it until it runs, and what it leaves behind when it ends.
Rule: every caller gets exactly one answer, also when the process dies in between.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import socket

from . import protocol
from .container import decode_status, now
from .reactor import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .reactor import Reactor

    Answer = Callable[[dict[str, Any]], None]

# A reason longer than this is cut by nobody's loss; it only bounds what a child can send.
_MAX_REASON_BYTES = 1 << 16

_KEPT = ("status", "pid", "handle", "created_at", "started_at", "finished_at", "exit", "reason")
_KEPT_LATER = ("user",)  # which shims before did not keep
CREATING, CREATED, RUNNING, STOPPED = "creating", "created", "running", "stopped"


class NotFound(Exception):
    """There is no container, or exec, of that name."""


class Conflict(Exception):
    """The container is not in a state for this."""


class Failed(Exception):
    """The container could not be set up or started; the text is the reason."""


class Supervised:
    """One started process and the channel to it. The states are those of the OCI runtime."""

    def __init__(self, reactor: Reactor, on_terminal: Callable[[int], None]) -> None:
        self._reactor = reactor
        self._on_terminal = on_terminal
        self._heard = b""
        self.channel, self.child_channel = socket.socketpair()
        self.channel.setblocking(False)
        self.status = CREATING
        self._released = False
        self.pid = 0
        self.handle = -1
        self.created_at = now()
        self.started_at = 0
        self.finished_at = 0
        self.exit: dict[str, Any] | None = None
        self.reason = ""
        self.user: list[int] = []  # with its group and all groups, once it is known
        self.on_ready: Callable[[], None] | None = None
        self.on_started: Callable[[], None] | None = None
        self.on_exit: list[Callable[[], None]] = []

    @property
    def quiet(self) -> bool:
        """Whether nobody waits for it, and it is neither being made nor started."""
        return self.status in (RUNNING, STOPPED) and not self.on_exit

    def freeze(self) -> dict[str, Any]:
        """What of it is to be known again."""
        return {name: getattr(self, name) for name in _KEPT + _KEPT_LATER}

    def thaw(self, kept: dict[str, Any]) -> None:
        """Takes up what was known; the conversation with the process is over."""
        self.close_channel()
        for name in _KEPT:
            setattr(self, name, kept[name])
        for name in _KEPT_LATER:
            if name in kept:
                setattr(self, name, kept[name])

    def follow(self, pid: int) -> None:
        """The process has been forked: listens to it."""
        self.take(pid)
        self.child_channel.close()
        self._reactor.watch(self.channel.fileno(), READ, self.listen)

    def take(self, pid: int) -> None:
        """Notes which process it is."""
        self.pid = pid
        try:
            self.handle = os.pidfd_open(pid)
        except ProcessLookupError:  # the keeper has reaped it, which is about to be heard
            self.handle = -1

    def go(self) -> None:
        """Lets the process run its program."""
        self._released = True
        self._send(b"G")

    def _send(self, word: bytes) -> None:
        try:
            self.channel.send(word)
        except (BrokenPipeError, ConnectionResetError):
            return  # it has died, which its parent hears at once

    def listen(self) -> None:
        """Takes what the process says; its end without a reason means that it runs."""
        while self.channel.fileno() >= 0:
            try:
                data, descriptors = protocol.receive_part(self.channel)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data, descriptors = b"", []
            for descriptor in descriptors:
                self._on_terminal(descriptor)
            if data:
                self._hear(data)
            else:
                self._channel_ended()

    def _hear(self, data: bytes) -> None:
        self._heard += data
        while self._heard[:1] in (b"T", b"H", b"R", b"U"):
            if self._heard[:1] == b"U":
                if b"\n" not in self._heard:
                    return
                line, _, self._heard = self._heard.partition(b"\n")
                self.user = [int(it) for it in line[1:].split()]
                continue
            word, self._heard = self._heard[:1], self._heard[1:]
            if word == b"H":
                self._send(b"G")  # the shim runs no hooks: it would be held up
            elif word == b"R":
                self.status = CREATED
                if self.on_ready is not None:
                    self.on_ready()
        if self._heard[:1] == b"E":
            self._heard = self._heard[:_MAX_REASON_BYTES]
            self.reason = self._heard[1:].decode("utf-8", "replace")

    def _channel_ended(self) -> None:
        self.close_channel()
        if self.status == CREATED and self._released and not self.reason:
            self.status = RUNNING
            self.started_at = now()
            if self.on_started is not None:
                self.on_started()

    def close_channel(self) -> None:
        """Stops listening; a process that still waits for its start ends by itself."""
        if self.channel.fileno() >= 0:
            self._reactor.forget(self.channel.fileno())
            self.channel.close()
        self.child_channel.close()

    def close_handle(self) -> None:
        """Nobody will send it a signal any more; the handle would outlive this shim."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    def ended(self, status: int, oom_killed: bool) -> None:
        """The process has been reaped: hears its last words and notes how it ended."""
        self.listen()
        self.close_channel()
        self.close_handle()
        code, number = decode_status(status)
        self.finished_at = now()
        self.status = STOPPED
        self.exit = {
            "code": code,
            "signal": number,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "oom_killed": oom_killed,
        }

    def kill(self, number: int) -> None:
        """Sends a signal, unless the process has ended, be it that this is yet to be heard.

        By a descriptor: the keeper reaps, so the id may be another's before anybody here knows.
        """
        if self.handle < 0:
            return
        try:
            _signal.pidfd_send_signal(self.handle, number)
        except ProcessLookupError:
            return
