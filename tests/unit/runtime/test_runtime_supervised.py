"""The channel to a started process, with a real socket pair and no process."""

from __future__ import annotations

import os
import signal
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
    made.follow(0)
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


def test_an_end_before_the_release_is_no_start(reactor: Reactor) -> None:
    made = started(reactor, b"R")
    made.listen()
    assert (made.status, made.started_at) == (CREATED, 0)
    made.close_channel()
