"""`steer down` and `steer reset`: who is asked before data goes, and that the supervisor ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from steersman.cli.directory import Directory, Identity, Lock
from steersman.cli.down import graceful
from steersman.cli.down.command import stop
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
    from steersman.cli.down import command as down

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


# Ends as whom the node does: bears its name, and does with the signal what a test says
NODE = """
import signal, socket, sys

def answer(number, frame):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(sys.argv[1])
    peer.sendall(sys.argv[2].encode())
    peer.close()

signal.signal(signal.SIGUSR1, answer if sys.argv[2] else signal.SIG_IGN)
open("/proc/self/comm", "w").write("steer-node")
print("up", flush=True)
while True:
    signal.pause()
"""


@contextlib.contextmanager
def node(run: Path, says: str) -> Iterator[None]:
    """A node of this process, as if this were a supervisor."""
    words = [sys.executable, "-c", NODE, str(run / "down.sock"), says]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


def test_the_pods_of_a_node_end_before_it_goes(tmp_path: Path) -> None:
    said = [{"pods": ["a/b", "c/d"]}, {"ended": "c/d"}, {"late": "a/b"}, {"done": True}]
    with node(tmp_path, "\n".join(map(json.dumps, said)) + "\n"):
        told = graceful.end_pods(tmp_path, os.getpid())
    assert told == ["1 pod has ended.", "a/b has not ended in its time."]
    assert list(tmp_path.iterdir()) == []


def test_a_supervisor_without_a_node_has_no_pods_to_end(tmp_path: Path) -> None:
    told = graceful.end_pods(tmp_path, os.getpid())
    assert told == ["There is no node here whose pods could end."]


@pytest.mark.parametrize(
    ("says", "why"),
    [("", "the node does not answer: "), ('{"pods": ["a/b"]}\n', "the node ended before its pods")],
)
def test_a_node_that_does_not_answer_or_ends_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, why: str
) -> None:
    monkeypatch.setattr(graceful, "ANSWER_SECONDS", 0.2 if not says else 20.0)
    with node(tmp_path, says), pytest.raises(Failure) as raised:
        graceful.end_pods(tmp_path, os.getpid())
    assert str(raised.value).startswith(why)
