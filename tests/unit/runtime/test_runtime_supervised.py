"""The channel to a started process, with a real socket pair and no process."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from steersman.runtime.reactor import Reactor
from steersman.runtime.supervised import CREATED, RUNNING, STOPPED, Supervised


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    before = signal.getsignal(signal.SIGCHLD)
    made = Reactor(lambda _process, _status: None)
    yield made
    made.close()
    signal.signal(signal.SIGCHLD, before)


def started(reactor: Reactor, said: bytes) -> Supervised:
    """Returns a process that has said something and then closed its end, unheard as yet."""
    made = Supervised(reactor, os.close)
    made.child_channel.send(said)
    made.follow(os.getpid())
    return made


def test_the_last_words_of_a_process_that_was_reaped_first_are_heard(reactor: Reactor) -> None:
    made = started(reactor, b"REno such file")
    made.ended(1 << 8, False)
    assert (made.status, made.reason) == (STOPPED, "no such file")
    assert made.exit is not None
    assert (made.exit["code"], made.exit["signal"], made.exit["started_at"]) == (1, 0, 0)


def test_a_process_that_ran_and_ended_before_it_was_heard_counts_as_started(
    reactor: Reactor,
) -> None:
    made = started(reactor, b"R")
    told: list[str] = []
    made.on_started = lambda: told.append(made.status)
    made.go()
    made.ended(0, False)
    assert told == [RUNNING]
    assert made.exit is not None
    assert made.exit["started_at"] > 0


def test_a_process_says_who_it_is_and_a_later_shim_knows(reactor: Reactor) -> None:
    made = Supervised(reactor, os.close)
    made.follow(os.getpid())
    made._hear(b"U7 8 8")
    assert made.user == []  # there may be more
    made._hear(b" 9\nR")
    assert (made.user, made.status) == ([7, 8, 8, 9], CREATED)
    kept = made.freeze()
    made.close_channel()
    again = Supervised(reactor, os.close)
    again.thaw(kept)
    assert again.user == [7, 8, 8, 9]
    older = Supervised(reactor, os.close)
    older.thaw({name: value for name, value in kept.items() if name != "user"})
    assert older.user == []


def test_an_end_before_the_release_is_no_start(reactor: Reactor) -> None:
    made = started(reactor, b"R")
    made.listen()
    assert (made.status, made.started_at) == (CREATED, 0)
    made.close_channel()


def test_a_reason_without_an_end_is_cut(reactor: Reactor) -> None:
    made = Supervised(reactor, os.close)
    made.follow(os.getpid())
    for _ in range(40):
        made._hear(b"E" + b"x" * 4096)
    assert len(made.reason) < 1 << 16
    made.close_channel()


def test_a_process_that_is_set_up_is_told_to_go_and_hands_its_terminal_over(
    reactor: Reactor,
) -> None:
    terminals: list[int] = []
    made = Supervised(reactor, terminals.append)
    theirs = made.child_channel.dup()
    made.on_ready = made.go
    made.follow(os.getpid())
    socket.send_fds(theirs, [b"T"], [theirs.fileno()])
    theirs.send(b"R")
    made.listen()
    assert (made.status, theirs.recv(10), len(terminals)) == (CREATED, b"G", 1)
    theirs.close()
    os.close(terminals[0])
    made.listen()
    assert made.status == RUNNING
    made.ended(9, True)
    assert made.exit is not None
    assert (made.exit["code"], made.exit["signal"], made.exit["oom_killed"]) == (137, 9, True)
    assert 0 < made.created_at <= made.started_at <= made.exit["finished_at"]


def test_only_a_process_that_lives_gets_signals(reactor: Reactor) -> None:
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    made = Supervised(reactor, os.close)
    made.follow(child)
    made.kill(signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    made.kill(signal.SIGKILL)  # its id may be another's by now, which nobody here has heard yet
    made.ended(status, False)
    made.kill(signal.SIGKILL)
    assert made.handle < 0
    assert made.exit is not None and made.exit["signal"] == signal.SIGKILL


def test_a_process_that_was_reaped_before_it_was_followed_gets_no_signals(
    reactor: Reactor,
) -> None:
    child = os.fork()
    if child == 0:
        os._exit(3)
    _, status = os.waitpid(child, 0)
    made = Supervised(reactor, os.close)
    made.follow(child)
    made.kill(signal.SIGKILL)
    made.ended(status, False)
    assert made.exit is not None and made.exit["code"] == 3
