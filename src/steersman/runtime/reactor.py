"""The shim's loop: callbacks on descriptors, and the ends of child processes.

Not asyncio, which would quadruple a shim's memory. One thread; rule: a callback never waits.
"""

from __future__ import annotations

import os
import select
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
_ENDED = select.EPOLLHUP | select.EPOLLERR


class Reactor:
    """Waits for descriptors and children, and calls back."""

    def __init__(self, on_exit: Callable[[int, int], None]) -> None:
        """`on_exit` gets process id and wait status of each child that ended."""
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], object]] = {}
        self._on_exit = on_exit
        self._running = True
        self._wakeup, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self.watch(self._wakeup, READ, self._reap)

    def watch(self, descriptor: int, events: int, callback: Callable[[], object]) -> None:
        """Calls `callback` when the descriptor is ready; replaces what was asked before."""
        if descriptor in self._callbacks:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._callbacks[descriptor] = callback

    def forget(self, descriptor: int) -> None:
        """Stops watching; to be called before the descriptor is closed."""
        if self._callbacks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def stop(self) -> None:
        """Ends `run` after the callback that calls this."""
        self._running = False

    def run(self) -> None:
        """Serves until `stop`."""
        self._running = True
        while self._running:
            for descriptor, _ in self._epoll.poll():
                callback = self._callbacks.get(descriptor)
                if callback is not None:
                    callback()

    def close(self) -> None:
        """Closes what the loop itself has open."""
        signal.set_wakeup_fd(-1)
        for descriptor in (self._wakeup, self._waker):
            os.close(descriptor)
        self._epoll.close()

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
