"""The process that a pod's containers are children of, and that is all there is of a pod at rest.

A shim at work writes to most of the pages that it shares with the warm parent, because Python
counts references in them: three megabytes for each pod. So the shim is a fork of the keeper that
ends when nothing is left to do, and the keeper, which has done next to nothing, forks another
from its clean pages when something happens. Rule: both have one table of descriptors
(CLONE_FILES), so what a shim has opened outlives it; what else there is to know is in a memory
file. The keeper is killed with nobody, and its shim with it.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import select
import struct

from .kernel import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

RECORD = struct.Struct("=ii")
_KINDS = struct.Struct("=i")
_DONE = b"\0"
# How a shim ends that is to be followed by another; any other end is that of the pod.
RESTED = 0
GONE = 3
_READ_BYTES = 4096
# CPython 3.11 adapts a function at its eighth call
_REHEARSALS = 10


class Keeper:
    """What keeper and shim share: descriptors, all of them in the one table."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.parent = os.getppid()
        self.state = os.memfd_create("shim-state", os.MFD_CLOEXEC)
        self.epoll = select.epoll()
        self.exits, self._tell_exit = os.pipe2(os.O_CLOEXEC)
        self._asked, self._ask = os.pipe2(os.O_CLOEXEC)
        self._answered, self._answer = os.pipe2(os.O_CLOEXEC)
        self._woken, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._sleeping = select.epoll()
        self._sleeping.register(self.epoll.fileno(), select.EPOLLIN)
        self._sleeping.register(self._woken, select.EPOLLIN)
        # Not by the signal module, whose functions write to as many pages as all the rest here
        _signal.signal(_signal.SIGCHLD, _nothing)
        _signal.set_wakeup_fd(waker, warn_on_full_buffer=False)

    def run(self, live: Callable[[Keeper], bool]) -> NoReturn:
        """Has `live` run in one shim after the other, for as long as it asks for another."""
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        while True:
            shim = syscalls.clone(syscalls.CLONE_FILES)
            if shim == 0:
                self._begin(live)
            if self._attend(shim) != RESTED:
                os._exit(0)
            self._sleep()

    def _begin(self, live: Callable[[Keeper], bool]) -> NoReturn:
        try:
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, syscalls.SIGKILL)
            _signal.set_wakeup_fd(-1)
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            if os.getppid() == self.pid and live(self):
                os._exit(RESTED)
        finally:
            os._exit(GONE)

    def _attend(self, shim: int) -> int:
        """Does what the shim asks for and tells it of children, until it ends; its status."""
        poller = select.poll()
        poller.register(self._asked, select.POLLIN)
        poller.register(self._woken, select.POLLIN)
        while True:
            for descriptor, _ in poller.poll():
                if descriptor == self._asked:
                    self._join(shim)
                elif (status := self._reap(shim)) >= 0:
                    return status

    def _join(self, shim: int) -> None:
        (kinds,) = _KINDS.unpack(os.read(self._asked, _KINDS.size))
        if kinds:
            handle = os.pidfd_open(shim)
            syscalls.setns(handle, kinds)
            os.close(handle)
        os.write(self._answer, _DONE)

    def _reap(self, shim: int) -> int:
        """Takes all children that have ended; gives the shim's status, or -1 if it lives."""
        ended = -1
        try:
            os.read(self._woken, _READ_BYTES)
        except BlockingIOError:
            pass
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ended
            if process == 0:
                return ended
            if process == shim:
                ended = status
            else:
                os.write(self._tell_exit, RECORD.pack(process, status))

    def _sleep(self) -> None:
        """Returns when there is something for a shim to do."""
        while True:
            for descriptor, _ in self._sleeping.poll():
                if descriptor != self._woken:
                    return
                self._reap(0)

    def close(self) -> None:
        """Closes what is open, and hears of no children any more."""
        waker = _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        for descriptor in (
            *(self.state, self.exits, self._tell_exit, self._asked, self._ask),
            *(self._answered, self._answer, self._woken, waker),
        ):
            os.close(descriptor)
        self.epoll.close()
        self._sleeping.close()

    # What a shim calls

    def ask_to_join(self, kinds: int) -> None:
        """Has the keeper enter namespaces that this shim is in, by their flags: it keeps them
        for the pod. To be followed by `await_join`."""
        os.write(self._ask, _KINDS.pack(kinds))

    def await_join(self) -> None:
        """Returns when the keeper is where it was asked to be."""
        os.read(self._answered, 1)

    def remember(self, data: bytes) -> None:
        """Writes down what the next shim is to know."""
        os.ftruncate(self.state, 0)
        written = 0
        while written < len(data):
            written += os.pwrite(self.state, data[written:], written)

    def recall(self) -> bytes:
        """What the shim before has written down; empty for the first."""
        size = os.fstat(self.state).st_size
        return os.pread(self.state, size, 0)


def rehearse() -> None:
    """Does in the warm parent what each keeper will do, until Python has adapted its code to it:
    what it would write then, it would write for each pod."""
    for _ in range(_REHEARSALS):
        keeper = Keeper()
        keeper.epoll.register(keeper.exits, select.EPOLLIN)
        shim = syscalls.clone(syscalls.CLONE_FILES)
        if shim == 0:
            keeper.ask_to_join(syscalls.CLONE_NEWUTS)
            keeper.await_join()
            keeper.remember(b"")
            os._exit(RESTED)
        keeper._attend(shim)
        os.write(keeper._tell_exit, RECORD.pack(0, 0))
        keeper._sleep()
        keeper.close()


def _nothing(_number: int, _frame: object) -> None:
    """The wake-up descriptor has been written to, which is all."""
