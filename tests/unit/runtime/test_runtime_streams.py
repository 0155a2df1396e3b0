"""Output, input and the reactor, with real pipes and no container."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Callable, Iterator

import pytest

from steersman.runtime.logs import LogFile
from steersman.runtime.reactor import READ, Reactor
from steersman.runtime.streams import MAX_BEHIND_BYTES, Input, Output, Sink


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    before = signal.getsignal(signal.SIGCHLD)
    made = Reactor(lambda _process, _status: None)
    yield made
    made.close()
    signal.signal(signal.SIGCHLD, before)


def turn(reactor: Reactor, until: Callable[[], bool]) -> None:
    """Serves until the condition holds; a test that hangs is killed by its timeout."""
    reader, writer = os.pipe()

    def check() -> None:
        if until():
            reactor.stop()

    os.write(writer, b"x")
    reactor.watch(reader, READ, check)
    reactor.run()
    reactor.forget(reader)
    os.close(reader)
    os.close(writer)


def test_output_goes_to_the_log_and_to_who_is_attached(
    reactor: Reactor, tmp_path: pathlib.Path
) -> None:
    log = LogFile(str(tmp_path / "log"))
    reader, writer = os.pipe()
    output = Output(reactor, reader, "stdout", log)
    theirs, ours = os.pipe()
    output.add(Sink(reactor, ours))
    os.write(writer, b"one\ntwo")
    os.close(writer)
    got: list[bytes] = []
    reactor.watch(theirs, READ, lambda: got.append(os.read(theirs, 100)))
    turn(reactor, lambda: b"" in got)
    reactor.forget(theirs)
    os.close(theirs)
    log.close()
    assert b"".join(got) == b"one\ntwo"
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["stdout F one", "stdout F two"]


def test_whoever_comes_when_the_output_has_ended_hears_its_end(
    reactor: Reactor, tmp_path: pathlib.Path
) -> None:
    log = LogFile(str(tmp_path / "log"))
    reader, writer = os.pipe()
    output = Output(reactor, reader, "stdout", log)
    os.close(writer)
    output.drain()
    theirs, ours = os.pipe()
    output.add(Sink(reactor, ours))
    os.set_blocking(theirs, False)
    assert os.read(theirs, 1) == b""
    os.close(theirs)
    log.close()


def test_a_reader_that_falls_behind_is_let_go_and_holds_nothing_up(reactor: Reactor) -> None:
    theirs, ours = os.pipe()
    sink = Sink(reactor, ours)
    sink.send(b"x" * MAX_BEHIND_BYTES)
    assert sink.open
    sink.send(b"x" * (1 << 20))
    assert not sink.open
    sink.send(b"more")
    os.close(theirs)


def test_a_slow_reader_gets_all_of_it_and_then_the_end(reactor: Reactor) -> None:
    theirs, ours = os.pipe()
    sink = Sink(reactor, ours)
    sent = os.urandom(300_000)  # several times what a pipe holds
    sink.send(sent)
    sink.finish()
    assert sink.open
    got = bytearray()
    ended: list[bool] = []

    def take() -> None:
        data = os.read(theirs, 10_000)
        got.extend(data)
        ended.append(not data)

    reactor.watch(theirs, READ, take)
    turn(reactor, lambda: True in ended)
    assert got == sent and not sink.open
    reactor.forget(theirs)
    os.close(theirs)


def test_a_reader_that_has_gone_is_let_go(reactor: Reactor) -> None:
    theirs, ours = os.pipe()
    os.close(theirs)
    sink = Sink(reactor, ours)
    sink.send(b"x")
    assert not sink.open


def test_input_larger_than_a_pipe_arrives_whole(reactor: Reactor) -> None:
    source, feeder = os.pipe()
    container, ours = os.pipe()
    target = Input(reactor, ours, once=True, terminal=False)
    target.feed_from(source)
    got = bytearray()
    ended: list[bool] = []
    sent = bytearray(os.urandom(1 << 18))
    wanted = bytes(sent)
    os.set_blocking(feeder, False)

    def feed() -> None:
        if not sent:
            reactor.forget(feeder)
            os.close(feeder)
            return
        del sent[: os.write(feeder, sent[:4096])]

    def take() -> None:
        data = os.read(container, 1000)
        got.extend(data)
        ended.append(not data)

    reactor.watch(feeder, 4, feed)
    reactor.watch(container, READ, take)
    turn(reactor, lambda: True in ended)
    assert bytes(got) == wanted
    reactor.forget(container)
    os.close(container)


def test_a_terminal_ends_with_its_last_user(reactor: Reactor, tmp_path: pathlib.Path) -> None:
    master, slave = os.openpty()
    log = LogFile(str(tmp_path / "log"))
    output = Output(reactor, master, "stdout", log)
    theirs, ours = os.pipe()
    output.add(Sink(reactor, ours))
    os.write(slave, b"shown\n")
    os.close(slave)
    got: list[bytes] = []
    reactor.watch(theirs, READ, lambda: got.append(os.read(theirs, 100)))
    turn(reactor, lambda: b"" in got)
    reactor.forget(theirs)
    os.close(theirs)
    log.close()
    assert b"".join(got) == b"shown\r\n"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(master)


@pytest.mark.parametrize("once", [True, False])
def test_a_file_is_taken_as_input_to_its_end(
    reactor: Reactor, tmp_path: pathlib.Path, once: bool
) -> None:
    (tmp_path / "given").write_bytes(b"x" * 30_000)
    container, ours = os.pipe()
    target = Input(reactor, ours, once=once, terminal=False)
    source = os.open(tmp_path / "given", os.O_RDONLY)
    target.feed_from(source)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(source)
    assert os.read(container, 100_000) == b"x" * 30_000
    os.set_blocking(container, False)
    if once:
        assert os.read(container, 1) == b""
    else:
        with pytest.raises(BlockingIOError):
            os.read(container, 1)
        target.close()
    os.close(container)


def test_input_that_may_come_again_stays_open(reactor: Reactor) -> None:
    container, ours = os.pipe()
    target = Input(reactor, ours, once=False, terminal=False)
    got: list[bytes] = []
    reactor.watch(container, READ, lambda: got.append(os.read(container, 100)))
    for text in (b"first", b"second"):
        source, feeder = os.pipe()
        target.feed_from(source)
        os.write(feeder, text)
        os.close(feeder)
        turn(reactor, lambda text=text: text in got)
    assert got == [b"first", b"second"]
    reactor.forget(container)
    os.close(container)
    target.close()


def test_the_end_of_a_child_is_told_with_its_status() -> None:
    before = signal.getsignal(signal.SIGCHLD)
    ended: dict[int, int] = {}

    def on_exit(process: int, status: int) -> None:
        ended[process] = status
        reactor.stop()

    reactor = Reactor(on_exit)
    child = os.fork()
    if child == 0:
        os._exit(6)
    reactor.run()
    reactor.close()
    signal.signal(signal.SIGCHLD, before)
    assert {child: os.waitstatus_to_exitcode(ended[child])} == {child: 6}
