"""The children of a supervisor: how often one that ends is started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from steersman.cli import children

SOURCE = Path(__file__).parents[3] / "src"
SECONDS = 120
# A process of its own: a child is a fork, and closes all that its parent has open
ENDING = """
import sys
from pathlib import Path
from steersman.cli import children

logs, children.YOUNG_SECONDS = Path(sys.argv[1]), float(sys.argv[2])
children.MOST_RESTARTS = 1
family = children.Children(logs)
family.start("server", ["--data-dir", str(logs / "none")])
family.release("server")
ends = 0
while ends < 3:
    for news in family.news():
        if news.said is None:
            ends += 1
            print(news.child, news.code, flush=True)
            if not family.restart(news.child):
                print("given up")
                sys.exit()
family.stop("server")
"""


def ends(tmp_path: Path, young_seconds: float) -> list[str]:
    """Runs a child that ends at once; returns its ends and whether it was given up."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", ENDING, str(tmp_path), str(young_seconds)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        check=False,
    )
    assert done.stderr == ""
    assert "there is no cluster" in (tmp_path / "server.log").read_text()
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("young_seconds", "expected"),
    [(3600.0, ["server 1"] * 2 + ["given up"]), (-1.0, ["server 1"] * 3)],
)
def test_only_a_child_that_ends_young_again_and_again_is_given_up(
    tmp_path: Path, young_seconds: float, expected: list[str]
) -> None:
    assert ends(tmp_path, young_seconds) == expected


@pytest.mark.parametrize("deaf", [False, True])
def test_a_child_is_asked_to_end_and_killed_when_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaf: bool
) -> None:
    ignore = "trap '' TERM; " if deaf else ""
    running = subprocess.Popen(
        ["sh", "-c", f"{ignore}echo; exec sleep {SECONDS}"], stdout=subprocess.PIPE
    )
    ended: list[int] = []

    def spawn(child: children.Child) -> None:
        child.process, child.pipe, child.go = running.pid, running.stdout, os.dup(0)

    def wait(child: children.Child) -> int:
        child.process = 0
        ended.append(running.wait(SECONDS))
        return ended[0]

    monkeypatch.setattr(children.Child, "spawn", spawn)
    monkeypatch.setattr(children.Child, "wait", wait)
    monkeypatch.setattr(children, "STOP_SECONDS", 0.05 if deaf else float(SECONDS))
    assert running.stdout is not None
    with running.stdout as said:
        said.readline()
        family = children.Children(tmp_path)
        family.start("node", [])
        assert family.processes() == {"node": running.pid}
        family.stop("node")
        family.stop("node")  # there is nothing left to end
    assert ended == [-signal.SIGKILL if deaf else -signal.SIGTERM]
    assert family.processes() == {}


def test_what_a_child_said_last_is_shown_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    assert children.tail(log) == ""
    log.write_text("a\nb\nc\nd\n\n")
    assert children.tail(log) == "b / c / d"
