"""`steer down` and `steer reset`: who is asked before data goes, and that the supervisor ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from steersman.cli.directory import Directory, Identity, Lock
from steersman.cli.down import stop
from steersman.cli.failure import Failure
from steersman.cli.main import main

SOURCE = Path(__file__).parents[3] / "src"
SECONDS = 120
# Holds the lock as a supervisor does, until it is told to stop
HOLDING = """
import signal, sys
from pathlib import Path
from steersman.cli.directory import Directory, Lock

lock = Lock(Directory(Path(sys.argv[1])))
lock.take()
print("held", flush=True)
signal.pause()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    """The directory of a cluster that does not run."""
    made = Directory(tmp_path / "d")
    made.create(Identity("bcdfgh", 6443, "sqlite", "10.96.0.0/16", "10.64.0.0/16"))
    return made


def test_a_supervisor_is_told_to_end_and_waited_for(directory: Directory) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-c", HOLDING, str(directory.path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert stop(directory)
        assert process.wait(SECONDS) == -signal.SIGTERM
    assert Lock(directory).holder() == 0


def test_where_nobody_supervises_there_is_nothing_to_end(directory: Directory) -> None:
    assert not stop(directory)


def test_data_is_not_removed_where_nobody_can_be_asked(
    directory: Directory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert main(["reset", "--data-dir", str(directory.path)]) == 1
    assert capsys.readouterr().err == "steer: reset removes all data of the cluster: say --yes\n"
    assert directory.identity().id == "bcdfgh"


@pytest.mark.parametrize("answer", ["n", "", "no", "yesterday"])
def test_data_is_not_removed_without_a_yes(
    directory: Directory,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
) -> None:
    person, terminal = os.openpty()
    os.write(person, f"{answer}\n".encode())
    with open(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main(["reset", "--data-dir", str(directory.path)]) == 1
    os.close(person)
    said = capsys.readouterr()
    assert said.out == (f"Remove {directory.path} with all objects, images and volumes? [y/N] ")
    assert said.err == "steer: nothing was removed\n"
    assert directory.identity().id == "bcdfgh"


@pytest.mark.parametrize("answer", ["y", "yes", " YES "])
def test_data_is_removed_after_a_yes(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    from steersman.cli import down

    person, terminal = os.openpty()
    os.write(person, f"{answer}\n".encode())
    with open(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert down._agreed(directory)
    os.close(person)


def test_a_cluster_that_is_not_there_is_not_stopped(tmp_path: Path) -> None:
    for command in ("down", "reset"):
        assert main([command, "--data-dir", str(tmp_path)]) == 1
    with pytest.raises(Failure, match="there is no cluster in"):
        Directory(tmp_path).identity()
