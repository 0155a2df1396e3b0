"""Messages, logs and the command line, without any process."""

from __future__ import annotations

import os
import pathlib
import re
import socket
import struct

import pytest

from steersman.runtime import logs, protocol
from steersman.runtime.command import options, verbs
from steersman.runtime.shim import describe_error


def test_messages_come_out_whole_however_they_are_cut() -> None:
    stream = b"".join(protocol.encode({"n": n, "text": "é" * n}) for n in range(4))
    for size in (1, 3, 7, len(stream)):
        decoder = protocol.Decoder()
        found = []
        for start in range(0, len(stream), size):
            found += decoder.feed(stream[start : start + size])
        assert [message.document["n"] for message in found] == [0, 1, 2, 3]
        assert found[3].document["text"] == "ééé"


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("=I", protocol.MAX_MESSAGE_BYTES + 1),
        struct.pack("=I", 1) + b"{",
        struct.pack("=I", 2) + b"[]",
        struct.pack("=I", 17) + b'{"descriptors":1}',
        struct.pack("=I", 18) + b'{"descriptors":-1}',
        struct.pack("=I", 18) + b'{"descriptors":""}',
    ],
)
def test_what_is_not_the_protocol_is_refused(data: bytes) -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.Decoder().feed(data)


def test_a_message_over_the_bound_is_not_sent() -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.encode({"text": "x" * protocol.MAX_MESSAGE_BYTES})


def test_descriptors_travel_with_their_message() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    with ours, theirs:
        first, second = protocol.encode({"n": 1}), protocol.encode({"n": 2}, 2)
        protocol.send_part(ours, first, [])
        protocol.send_part(ours, second, [reader, writer])
        decoder, found = protocol.Decoder(), []
        while len(found) < 2:
            found += decoder.feed(*protocol.receive_part(theirs))
        assert [len(message.descriptors) for message in found] == [0, 2]
        their_reader, their_writer = found[1].descriptors
        assert not os.get_inheritable(their_reader)
        os.write(their_writer, b"x")
        assert os.read(reader, 1) == b"x"
    for descriptor in (reader, writer, their_reader, their_writer):
        os.close(descriptor)


def test_descriptors_that_nobody_claimed_are_closed() -> None:
    reader, writer = os.pipe()
    decoder = protocol.Decoder()
    decoder.feed(b"", [writer])
    decoder.close()
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_errors_travel_as_kind_and_text() -> None:
    assert describe_error(ValueError("bad")) == {"kind": "invalid", "message": "bad"}
    assert describe_error(KeyError("x")) == {"kind": "invalid", "message": "'x' is missing"}
    assert describe_error(FileExistsError(17, "File exists", "/p")) == {
        "kind": "conflict",
        "message": "/p: File exists",
    }
    assert describe_error(OSError(5, "bad disk"))["kind"] == "failed"


def test_log_times_have_nine_digits() -> None:
    assert logs.render_time(1475712557 * 10**9 + 42) == b"2016-10-06T00:09:17.000000042Z"


NOW = b"1970-01-01T00:00:00.000000000Z"


def test_lines_are_held_until_they_end() -> None:
    splitter = logs.LineSplitter(b"stdout")
    assert splitter.feed(b"he", 0) == b""
    assert splitter.feed(b"llo\n\nwor", 0) == NOW + b" stdout F hello\n" + NOW + b" stdout F \n"
    assert splitter.finish(0) == NOW + b" stdout F wor\n"
    assert splitter.finish(0) == b""


def test_a_line_over_the_bound_comes_in_parts() -> None:
    splitter = logs.LineSplitter(b"stderr")
    limit = logs.MAX_LINE_BYTES
    assert limit == 16 * 1024
    assert splitter.feed(b"x" * limit, 0) == b""
    assert splitter.feed(b"y", 0) == NOW + b" stderr P " + b"x" * limit + b"\n"
    assert splitter.feed(b"\n", 0) == NOW + b" stderr F y\n"
    long = splitter.feed(b"z" * (2 * limit + 1) + b"\n", 0).splitlines()
    assert [line.split()[2] for line in long] == [b"P", b"P", b"F"]
    exact = splitter.feed(b"z" * limit + b"\n", 0).splitlines()
    assert [line.split()[2] for line in exact] == [b"F"]


@pytest.mark.parametrize("before", [0, 1, 4095, 4096, 4097, 8191])
@pytest.mark.parametrize("length", [16 * 1024, 16 * 1024 + 1])
def test_a_long_line_among_short_ones_is_found_wherever_it_begins(before: int, length: int) -> None:
    lines = [b"a"] * before + [b"x" * length] + [b"", b"b"] * 9000
    entries = logs.LineSplitter(b"stdout").feed(b"\n".join(lines) + b"\nrest", 0).splitlines()
    cut = length > logs.MAX_LINE_BYTES
    assert [entry.partition(b" stdout ")[2][2:] for entry in entries] == [
        *lines[:before],
        *([b"x" * logs.MAX_LINE_BYTES, b"x"] if cut else [lines[before]]),
        *lines[before + 1 :],
    ]
    assert {entry[: len(NOW)] for entry in entries} == {NOW}
    partial = [place for place, entry in enumerate(entries) if b" stdout P " in entry]
    assert partial == ([before] if cut else [])


def test_a_log_file_is_appended_to_reopened_and_counts_what_it_lost(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    log = logs.LogFile(str(path))
    log.write("stdout", b"one\n")
    path.rename(tmp_path / "old")
    log.reopen()
    log.write("stderr", b"two\nthree")
    log.finish("stderr")
    assert (tmp_path / "old").read_text().startswith("before\n")
    assert [line.split(" ", 1)[1] for line in path.read_text().splitlines()] == [
        "stderr F two",
        "stderr F three",
    ]
    assert path.stat().st_mode & 0o777 == 0o640
    log.close()
    log.write("stdout", b"lost\n")
    assert log.lost_bytes > 0


def test_a_full_log_is_moved_aside_with_whole_entries_and_the_oldest_go(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "0.log"
    (tmp_path / "10.log.x").write_text("another's")
    log = logs.LogFile(str(path), most_bytes=200)
    for number in range(40):
        log.write("stdout", b"line %02d\nhe" % number)
    log.finish("stdout")
    log.close()
    moved = sorted(tmp_path.glob("0.log.*"))
    assert len(moved) == logs.MAX_FILES - 1
    assert (tmp_path / "10.log.x").exists()
    assert all(re.fullmatch(r"0\.log\.\d{8}-\d{6}\.\d{9}", it.name) for it in moved)
    texts = [it.read_text() for it in [*moved, path]]
    assert all(text.endswith("\n") and len(text) < 300 for text in texts)
    assert all(len(text) >= 200 for text in texts[:-1])
    lines = "".join(texts).splitlines()
    assert [line.split(" ", 3)[3] for line in lines[-2:]] == ["heline 39", "he"]
    numbers = [int(line[-2:]) for line in lines[:-1]]
    assert numbers == list(range(numbers[0], 40))
    assert log.lost_bytes == 0


def test_a_log_counts_what_was_there_and_grows_on_where_it_cannot_be_moved(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "0.log"
    path.write_text("x" * 150 + "\n")
    log = logs.LogFile(str(path), most_bytes=180)
    (tmp_path / "0.log.new").mkdir()
    log.write("stdout", b"one\n")
    assert path.read_text().endswith("one\n")
    assert log.lost_bytes == 0
    (tmp_path / "0.log.new").rmdir()
    log.write("stdout", b"two\n")
    assert path.read_text().endswith("two\n")  # as much again is written before the next try
    log.write("stdout", b"three" * 50 + b"\n")
    assert path.read_text() == ""
    log.close()


def test_a_log_is_not_written_through_a_symlink(tmp_path: pathlib.Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        logs.LogFile(str(tmp_path / "log"))


def test_a_container_without_log_path_loses_nothing_as_nothing_is_kept() -> None:
    log = logs.LogFile("")
    log.write("stdout", b"x\n")
    log.finish("stdout")
    assert log.lost_bytes == 0


def test_the_command_line_reads_as_runcs() -> None:
    line = options.parse(["--root", "/r", "run", "-b", "/x", "--pid-file=/p", "--detach", "id"])
    assert (line.verb, line.arguments) == ("run", ["id"])
    assert (line.value("root"), line.value("bundle"), line.value("pid-file")) == ("/r", "/x", "/p")
    assert (line.has("detach"), line.has("keep")) == (True, False)
    line = options.parse(["exec", "-e", "A=1", "--env", "B=2", "-t", "id", "ls", "-l"])
    assert line.flags["env"] == ["A=1", "B=2"]
    assert line.arguments == ["id", "ls", "-l"]
    assert line.value("bundle", ".") == "."
    assert options.parse(["kill", "--", "-x"]).arguments == ["-x"]
    assert options.parse([]).verb == options.parse(["run", "-h"]).verb == "help"
    assert options.parse(["-v"]).verb == "version"


@pytest.mark.parametrize("words", [["fly"], ["run", "--fly"], ["run", "--bundle"], ["--root"]])
def test_a_command_line_that_makes_no_sense_is_refused(words: list[str]) -> None:
    with pytest.raises(options.UsageError):
        options.parse(words)


@pytest.mark.parametrize("word", ["9", "KILL", "SIGKILL", "kill"])
def test_signals_by_number_and_name(word: str) -> None:
    assert verbs.parse_signal(word) == 9


def test_a_failing_command_is_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    assert verbs.run(["--root", str(tmp_path), "state", "nope"]) == 1
    assert verbs.run(["kill", "x", "SIGFUN"]) == 1
    assert verbs.run(["warm"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "steer-runtime: container 'nope' does not exist",
        "steer-runtime: unknown signal 'SIGFUN'",
        "steer-runtime: warm needs --socket and --state-dir",
    ]
