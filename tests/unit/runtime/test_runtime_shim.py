"""What a shim owes to those who talk to it, with a real socket pair and a pod held in hand."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from steersman.runtime import protocol
from steersman.runtime import shim as module
from steersman.runtime.pod import Pod
from steersman.runtime.shim import Shim
from steersman.runtime.supervised import Conflict, Failed, NotFound


class Held:
    """A pod whose execs start at once; what is asked of it is noted."""

    name = "p"

    def __init__(self) -> None:
        self.forgotten: list[tuple[str, int]] = []
        self.refuses: Exception | None = None
        self._last = 0

    def connect(self, _reactor: object, publish: Callable[[dict[str, Any]], None]) -> None:
        """Is given a way to tell what happens."""
        self.publish = publish

    def describe(self) -> dict[str, Any]:
        """Says what it is, or why not."""
        if self.refuses is not None:
            raise self.refuses
        return {"pod": self.name}

    def remove(self, done: Callable[[], None]) -> None:
        """Has nothing to remove."""
        done()

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
    for connection in list(shim._connections):
        connection.close()
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


def asked(shim: Shim, peer: socket.socket, document: dict[str, Any]) -> dict[str, Any]:
    """Sends a request and returns the message that comes back."""
    before = len(shim._connections)
    peer.sendall(protocol.encode(document))
    peer.setblocking(False)
    data = bytearray()

    def came() -> bool:
        try:
            data.extend(peer.recv(65536))
        except BlockingIOError:
            return False
        return True

    serve(shim, came)
    assert len(shim._connections) == before
    (message,) = protocol.Decoder().feed(bytes(data))
    return message.document


def test_an_answer_has_the_number_of_its_request(held: tuple[Shim, Held]) -> None:
    shim, _ = held
    peer, ours = socket.socketpair()
    with peer:
        shim.adopt(ours)
        assert asked(shim, peer, {"id": 7, "verb": "pod"}) == {"id": 7, "result": {"pod": "p"}}


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (NotFound("no container"), "not-found", "no container"),
        (Conflict("it runs"), "conflict", "it runs"),
        (Failed("no such program"), "failed", "no such program"),
        (ValueError("not a name"), "invalid", "not a name"),
        (KeyError("bundle"), "invalid", "'bundle' is missing"),
        (FileNotFoundError(2, "No such file", "/x"), "failed", "/x: No such file"),
    ],
)
def test_an_error_is_told_by_its_kind_and_ends_nothing(
    held: tuple[Shim, Held], error: Exception, kind: str, message: str
) -> None:
    shim, pod = held
    peer, ours = socket.socketpair()
    with peer:
        shim.adopt(ours)
        pod.refuses = error
        told = {"id": 1, "error": {"kind": kind, "message": message}}
        assert asked(shim, peer, {"id": 1, "verb": "pod"}) == told
        pod.refuses = None
        assert asked(shim, peer, {"id": 2, "verb": "pod"})["id"] == 2


def test_a_verb_that_is_none_is_refused_by_name(held: tuple[Shim, Held]) -> None:
    shim, _ = held
    peer, ours = socket.socketpair()
    with peer:
        shim.adopt(ours)
        told = {"kind": "invalid", "message": "unknown verb 'dance'"}
        assert asked(shim, peer, {"id": 1, "verb": "dance"}) == {"id": 1, "error": told}


def test_events_are_told_to_those_who_asked_for_them(held: tuple[Shim, Held]) -> None:
    shim, pod = held
    (one, ours), (two, other) = socket.socketpair(), socket.socketpair()
    with one, two:
        shim.adopt(ours)
        shim.adopt(other)
        assert asked(shim, one, {"id": 1, "verb": "subscribe"})["result"] == {"pod": "p"}
        pod.publish({"kind": "exit", "container": "app.0"})
        (message,) = protocol.Decoder().feed(one.recv(65536))
        event = {"pod": "p", "kind": "exit", "container": "app.0"}
        assert message.document == {"event": event}
        two.setblocking(False)
        with pytest.raises(BlockingIOError):
            two.recv(1)


def test_a_peer_that_reads_nothing_is_let_go_when_too_much_waits_for_it(
    held: tuple[Shim, Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_WAITING_BYTES", 1 << 20)
    shim, _ = held
    peer, ours = socket.socketpair()
    with peer:
        connection = shim.adopt(ours)
        sent = 0
        while connection.open:
            connection.send({"event": "x" * 10_000})
            sent += 10_000
            assert sent < 4 << 20
        assert sent > 1 << 20
        assert shim._connections == []


def test_a_removed_pod_is_answered_and_its_shim_stops(held: tuple[Shim, Held]) -> None:
    shim, _ = held
    peer, ours = socket.socketpair()
    with peer:
        shim.adopt(ours)
        peer.sendall(protocol.encode({"id": 3, "verb": "remove"}))
        shim.reactor.run()
        (message,) = protocol.Decoder().feed(peer.recv(65536))
        assert message.document == {"id": 3, "result": {}}
