"""The process that a pod's containers are children of, and that is all there is of a pod at rest.

A shim at work writes to most of the pages that it shares with the warm parent, because Python
counts references in them: three megabytes for each pod. So the shim is a fork of the keeper that
ends when nothing is left to do, and the keeper, which has done next to nothing, forks another
from its clean pages when something happens. Rule: both have one table of descriptors
(CLONE_FILES), so what a shim has opened outlives it; what else there is to know is in a memory
file. The keeper is killed with nobody, and its shim with it.
"""

from __future__ import annotations

import os
import select
import struct
from _signal import SIG_DFL, SIGCHLD, set_wakeup_fd, signal  # type: ignore[import-not-found]

from .kernel import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

RECORD = struct.Struct("=ii")
_KINDS_BYTES = 4
_DONE = b"\0"
# How a shim ends that is to be followed by another; any other end is that of the pod.
RESTED = 0
GONE = 3
_READ_BYTES = 4096
# CPython 3.11 adapts a function at its eighth call; in each rehearsal a shim is begun twice
_REHEARSALS = 6


class Keeper:
    """A shim's keeper, as the shim knows it: they share a table of descriptors."""

    def __init__(
        self, pid: int, state: int, epoll: select.epoll, exits: int, ask: int, answered: int
    ) -> None:
        self.pid = pid
        self.epoll = epoll
        self.exits = exits
        self._state = state
        self._ask = ask
        self._answered = answered

    def ask_to_join(self, kinds: int) -> None:
        """Has the keeper enter namespaces that this shim is in, by their flags: it keeps them
        for the pod. To be followed by `await_join`."""
        os.write(self._ask, kinds.to_bytes(_KINDS_BYTES, "little"))

    def await_join(self) -> None:
        """Returns when the keeper is where it was asked to be."""
        os.read(self._answered, 1)

    def remember(self, data: bytes) -> None:
        """Writes down what the next shim is to know."""
        os.ftruncate(self._state, 0)
        written = 0
        while written < len(data):
            written += os.pwrite(self._state, data[written:], written)

    def recall(self) -> bytes:
        """What the shim before has written down; empty for the first."""
        size = os.fstat(self._state).st_size
        return os.pread(self._state, size, 0)


def keep(live: Callable[[Keeper], bool]) -> None:
    """Has `live` run in one shim after the other, for as long as it asks for another.

    Rule: each object that a keeper touches is on a page of which its pod has its own copy then,
    so there are numbers here, calls of the kernel, and no more functions than it takes.
    """
    state = os.memfd_create("shim-state", os.MFD_CLOEXEC)
    epoll = select.epoll()
    exits, tell_exit = os.pipe2(os.O_CLOEXEC)
    asked, ask = os.pipe2(os.O_CLOEXEC)
    answered, answer = os.pipe2(os.O_CLOEXEC)
    woken, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    attending, resting = select.poll(), select.poll()
    for poller, descriptor in ((attending, asked), (resting, epoll.fileno())):
        poller.register(descriptor, select.POLLIN)
        poller.register(woken, select.POLLIN)
    # Not by the signal module, whose functions write to as many pages as all the rest here
    signal(SIGCHLD, _nothing)
    set_wakeup_fd(waker, warn_on_full_buffer=False)
    told = (os.getpid(), state, epoll, exits, ask, answered)
    shim, ended = _begin(live, told), RESTED
    while ended <= RESTED:
        for descriptor, _ in (attending if shim else resting).poll():
            if descriptor == woken:
                ended = _reap(shim, woken, tell_exit)
                if ended == RESTED:
                    shim = 0
            elif descriptor == asked:
                _join(shim, asked, answer)
            else:
                shim = _begin(live, told)
    set_wakeup_fd(-1)
    signal(SIGCHLD, SIG_DFL)
    epoll.close()
    for descriptor in (state, exits, tell_exit, asked, ask, answered, answer, woken, waker):
        os.close(descriptor)


def _begin(
    live: Callable[[Keeper], bool], told: tuple[int, int, select.epoll, int, int, int]
) -> int:
    """Forks a shim, which is told what it is to know of its keeper; gives its id."""
    shim = syscalls.clone(syscalls.CLONE_FILES)
    if shim:
        return shim
    try:
        keeper = Keeper(*told)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, syscalls.SIGKILL)
        set_wakeup_fd(-1)
        signal(SIGCHLD, SIG_DFL)
        if os.getppid() == keeper.pid and live(keeper):
            os._exit(RESTED)
    finally:
        os._exit(GONE)


def _join(shim: int, asked: int, answer: int) -> None:
    """Enters the namespaces of the shim that it asks for."""
    kinds = int.from_bytes(os.read(asked, _KINDS_BYTES), "little")
    if kinds:
        handle = os.pidfd_open(shim)
        syscalls.setns(handle, kinds)
        os.close(handle)
    os.write(answer, _DONE)


def _reap(shim: int, woken: int, tell_exit: int) -> int:
    """Takes all children that have ended; gives the shim's status, or -1 if it lives."""
    ended = -1
    try:
        os.read(woken, _READ_BYTES)
        while True:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return ended
            if process == shim:
                ended = status
            else:
                os.write(tell_exit, RECORD.pack(process, status))
    except (BlockingIOError, ChildProcessError):
        return ended


def rehearse() -> None:
    """Does in the warm parent what each keeper will do, until Python has adapted its code to it:
    what it would write then, it would write for each pod."""
    for _ in range(_REHEARSALS):
        keep(_rehearsed)


def _rehearsed(keeper: Keeper) -> bool:
    """A shim that has another process end and rests at once; the one that follows does not."""
    if keeper.recall():
        return False
    keeper.ask_to_join(syscalls.CLONE_NEWUTS)
    keeper.await_join()
    keeper.remember(b"rested")
    if syscalls.clone(syscalls.CLONE_PARENT) == 0:
        os._exit(0)
    keeper.epoll.register(keeper.exits, select.EPOLLIN)
    return True


def _nothing(_number: int, _frame: object) -> None:
    """The wake-up descriptor has been written to, which is all."""
