"""The shim's loop: callbacks on descriptors, and the ends of child processes.

Not asyncio, which would quadruple a shim's memory. One thread; rule: a callback never waits.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import os
import select

from .keeper import RECORD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .keeper import Keeper

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
_ENDED = select.EPOLLHUP | select.EPOLLERR


class Reactor:
    """Waits for descriptors and children, and calls back."""

    def __init__(self, on_exit: Callable[[int, int], None], keeper: Keeper | None = None) -> None:
        """`on_exit` gets process id and wait status of each child that ended.

        With a keeper the children are its, and so is what is waited with.
        """
        self._epoll = select.epoll() if keeper is None else keeper.epoll
        self._keeper = keeper
        self._callbacks: dict[int, Callable[[], object]] = {}
        self._on_exit = on_exit
        self._running = True
        self._wakeup, self._waker = -1, -1
        if keeper is None:
            self._wakeup, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            _signal.signal(_signal.SIGCHLD, lambda _number, _frame: None)
            _signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
            self.watch(self._wakeup, READ, self._reap)
        else:
            self.watch(keeper.exits, READ, lambda: self._hear(keeper))

    def watch(self, descriptor: int, events: int, callback: Callable[[], object]) -> None:
        """Calls `callback` when the descriptor is ready; replaces what was asked before."""
        if descriptor in self._callbacks:
            self._epoll.modify(descriptor, events)
        else:
            self._register(descriptor, events)
        self._callbacks[descriptor] = callback

    def _register(self, descriptor: int, events: int) -> None:
        try:
            self._epoll.register(descriptor, events)
        except FileExistsError:  # by the shim before this one
            self._epoll.modify(descriptor, events)

    def _unregister(self, descriptor: int) -> None:
        """Nobody here cares for it: else it would have one shim after the other woken."""
        try:
            self._epoll.unregister(descriptor)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EBADF):  # it has been let go meanwhile
                raise

    def forget(self, descriptor: int) -> None:
        """Stops watching; to be called before the descriptor is closed."""
        if self._callbacks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called since `run`."""
        return not self._running

    def stop(self) -> None:
        """Ends `run` after the callback that calls this."""
        self._running = False

    def run(self, idle: Callable[[], bool] | None = None, idle_seconds: float = 0.0) -> None:
        """Serves until `stop`, or until `idle`, asked once when nothing has happened for a
        while, says that this may be the end."""
        self._running, asked = True, idle is None
        while self._running:
            ready = self._epoll.poll(-1 if asked else idle_seconds)
            for descriptor, _ in ready:
                callback = self._callbacks.get(descriptor)
                if callback is not None:
                    callback()
                elif self._keeper is not None:
                    self._unregister(descriptor)
            if ready:
                asked = idle is None
            elif idle is not None:
                asked = True
                if idle():
                    return

    def close(self) -> None:
        """Closes what the loop itself has open."""
        _signal.set_wakeup_fd(-1)
        for descriptor in (self._wakeup, self._waker):
            os.close(descriptor)
        self._epoll.close()

    def _hear(self, keeper: Keeper) -> None:
        """The keeper has reaped a child."""
        self._on_exit(*RECORD.unpack(os.read(keeper.exits, RECORD.size)))

    def _reap(self) -> None:
        try:
            os.read(self._wakeup, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            try:
                self._on_exit(process, status)
            except BaseException:
                # The kernel tells of those behind it no more: the next turn reaps them
                os.write(self._waker, b"\0")
                raise
