"""`steer server` alone: what it says when it cannot begin."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path

from ports import free_port
from steersman.cli import server as command
from steersman.cli.directory import Directory, Identity
from steersman.cli.failure import sole

SOURCE = Path(__file__).parents[3] / "src"
SECONDS = 120


def server(directory: Directory) -> subprocess.CompletedProcess[str]:
    words = ["server", "--data-dir", str(directory.path)]
    return subprocess.run(
        [sys.executable, "-P", "-m", "steersman", *words],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        check=False,
    )


def test_a_port_that_is_taken_in_the_meantime_is_told_in_one_line(tmp_path: Path) -> None:
    port = free_port()
    directory = Directory(tmp_path / "d")
    directory.create(Identity("bcdfgh", port, "memory", "10.96.0.0/16", "10.64.0.0/16"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = server(directory)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"steer: the server cannot serve on port {port}: Address already in use\n"
    )
    assert not directory.run(directory.identity()).exists()


def test_options_are_told_by_their_names() -> None:
    parser = argparse.ArgumentParser()
    command.add("server", parser)
    words = ["--port=7", "--no-node", "--cors-allowed-origins=//a$", "--cors-allowed-origins=//b$"]
    told = command.flags(parser.parse_args(words))
    assert told["port"] == "7"
    assert (told["no-node"], told["no-controllers"]) == ("true", "false")
    assert told["cors-allowed-origins"] == "[//a$,//b$]"
    assert told["event-ttl"] == ""
    assert "run" not in told
    assert "status-fd" not in told


def test_what_went_wrong_alone_is_taken_out_of_its_groups() -> None:
    cause = OSError("no")
    assert sole(cause) is cause
    assert sole(ExceptionGroup("outer", [ExceptionGroup("inner", [cause])])) is cause
    two = ExceptionGroup("outer", [cause, ValueError("neither")])
    assert sole(two) is two
