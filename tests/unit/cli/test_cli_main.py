"""The edge of the command line: one line for each failure, and the exit codes of a shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from steersman.cli.directory import Directory, Identity
from steersman.cli.failure import printable, why
from steersman.cli.main import main

SOURCE = Path(__file__).parents[3] / "src"
SECONDS = 120
IDENTITY = Identity("bcdfgh", 6443, "sqlite", "10.96.0.0/16", "10.64.0.0/16")


def steer(*words: str, **streams: int) -> subprocess.Popen[str]:
    """Starts a command of steer; what a shell runs in its background ignores interrupts, and so
    would all that it starts."""
    return subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-P", "-m", "steersman", *words],
        text=True,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        start_new_session=True,
        **streams,  # type: ignore[call-overload]
    )


def test_what_nobody_foresaw_is_one_line_and_says_how_to_see_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STEER_DEBUG", raising=False)
    (tmp_path / "cluster.json").mkdir()
    words = ["status", "--data-dir", str(tmp_path)]
    assert main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("steer: IsADirectoryError: ")
    assert line.endswith("(STEER_DEBUG=1 shows where)")
    monkeypatch.setenv("STEER_DEBUG", "1")
    with pytest.raises(IsADirectoryError):
        main(words)


def test_an_interrupted_command_ends_quietly_with_the_exit_code_of_a_shell(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "d")
    directory.create(IDENTITY)
    (directory.logs / "server.log").write_text("begun\n")
    words = ("logs", "server", "--follow", "--data-dir", str(directory.path))
    with steer(*words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "begun\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all that it has started
        assert process.wait(SECONDS) == 130
        assert process.stderr.read() == ""


def test_a_reader_that_goes_is_no_error_to_tell() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with steer("version", stdout=writing) as process:
        os.close(writing)
        assert process.stderr is not None
        assert process.wait(SECONDS) == 141
        assert process.stderr.read() == ""


def test_a_failure_that_speaks_in_lines_is_told_in_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--data-dir", str(tmp_path / "a\nb\x1b[2J")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (f"steer: there is no cluster in {tmp_path}/a b\\x1b[2J: run `steer up`")


def test_control_characters_are_shown_and_do_nothing() -> None:
    assert printable("plain ünï\n\ttext") == "plain ünï\n\ttext"
    assert printable("\x1b[2J\r\x07") == "\\x1b[2J\\r\\x07"


def test_why_a_file_cannot_be_used_is_said_in_a_few_words() -> None:
    assert why(FileNotFoundError(2, "No such file or directory")) == "No such file or directory"
    assert why(OSError("only words")) == "only words"
    assert why(ValueError("no number")) == "no number"
    assert why(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")) == "it is no text in UTF-8"
