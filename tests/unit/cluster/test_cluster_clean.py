"""What is left of a node's processes when its cluster is removed: the warm parent ends."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from steersman.cluster import clean

WAIT_SECONDS = 60.0


@pytest.fixture(params=["willing", "deaf"])
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends when it is asked to, or only when it is killed."""
    ignore = "trap '' TERM; " if request.param == "deaf" else ""
    with subprocess.Popen(
        ["sh", "-c", f"{ignore}echo; exec sleep {WAIT_SECONDS}"], stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        yield running
        running.kill()


def test_a_warm_parent_is_asked_to_end_and_killed_when_it_does_not(
    process: subprocess.Popen[bytes],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deaf = request.node.callspec.params["process"] == "deaf"
    monkeypatch.setattr(clean, "END_SECONDS", 0.05 if deaf else WAIT_SECONDS)
    monkeypatch.setattr(clean.warm, "ask", lambda _path: process.pid)
    clean._end_warm(Path("warm.sock"))
    expected = signal.SIGKILL if deaf else signal.SIGTERM
    assert process.wait(WAIT_SECONDS) == -expected


def test_where_no_warm_parent_listens_there_is_none_to_end(tmp_path: Path) -> None:
    clean._end_warm(tmp_path / "warm.sock")
