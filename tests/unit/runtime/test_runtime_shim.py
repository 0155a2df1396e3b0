"""What a shim owes to those who talk to it, with a real socket pair and a pod held in hand."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from steersman.runtime import protocol
from steersman.runtime.pod import Pod
from steersman.runtime.shim import Shim


class Held:
    """A pod whose execs start at once; what is asked of it is noted."""

    def __init__(self) -> None:
        self.forgotten: list[tuple[str, int]] = []
        self._last = 0

    def connect(self, _reactor: object, _publish: object) -> None:
        """Is given what it does not need here."""

    def exited(self, _process: int, _status: int) -> None:
        """Hears of children, of which there are none."""

    kill = resize = update = stats = reopen_log = exited

    def execute(
        self,
        _request: dict[str, Any],
        _descriptors: list[int],
        answer: Callable[[dict[str, Any], list[int]], None],
        _fail: Callable[[Exception], None],
    ) -> None:
        self._last += 1
        answer({"exec": self._last}, [])

    def forget_exec(self, name: str, number: int) -> None:
        self.forgotten.append((name, number))


@pytest.fixture
def held() -> Iterator[tuple[Shim, Held]]:
    before = signal.getsignal(signal.SIGCHLD)
    pod = Held()
    shim = Shim(cast(Pod, pod))
    yield shim, pod
    shim.reactor.close()
    shim._listener.close()
    signal.signal(signal.SIGCHLD, before)


def serve(shim: Shim, until: Callable[[], bool]) -> None:
    """Serves until the condition holds; a test that hangs is killed by its timeout."""
    reader, writer = os.pipe()
    os.write(writer, b"x")
    shim.reactor.watch(reader, 1, lambda: shim.reactor.stop() if until() else None)
    shim.reactor.run()
    shim.reactor.forget(reader)
    os.close(reader)
    os.close(writer)


def test_the_execs_of_whoever_has_gone_are_forgotten_and_no_others(
    held: tuple[Shim, Held],
) -> None:
    shim, pod = held
    (one, ours), (two, other) = socket.socketpair(), socket.socketpair()
    first, second = shim.adopt(ours), shim.adopt(other)
    for peer, name in ((one, "a"), (two, "b"), (one, "c")):
        before = len(first.execs) + len(second.execs)
        peer.sendall(protocol.encode({"id": 1, "verb": "exec", "container": name}))
        serve(shim, lambda before=before: len(first.execs) + len(second.execs) > before)
    one.close()
    serve(shim, lambda: not first.open)
    assert pod.forgotten == [("a", 1), ("c", 3)]
    assert second.open
    two.close()
    serve(shim, lambda: not second.open)
    assert pod.forgotten[2:] == [("b", 2)]
