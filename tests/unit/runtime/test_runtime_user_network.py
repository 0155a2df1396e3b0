"""The program that connects a user's container: which it is, and how it is begun and ended."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path

import pytest

from steersman.runtime.command import user_network
from steersman.runtime.command.cold import birth_time
from steersman.runtime.command.user_network import NoNetwork, choose, start, stop


def program(folder: Path, name: str, script: str) -> str:
    made = folder / name
    made.write_text(f"#!/bin/sh\n{script}\n")
    made.chmod(0o755)
    return str(made)


def test_any_program_that_is_here_will_do_or_the_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for asked, why in (("user", "pasta or slirp4netns is not installed"), ("x", "is none of user")):
        with pytest.raises(NoNetwork, match=why):
            choose(asked)
    slirp = program(tmp_path, "slirp4netns", "")
    assert choose("user") == slirp
    with pytest.raises(NoNetwork, match="--network pasta: pasta is not installed"):
        choose("pasta")
    pasta = program(tmp_path, "pasta", "")
    assert (choose("user"), choose("slirp4netns")) == (pasta, slirp)


@pytest.mark.parametrize(
    ("name", "script", "why"),
    [
        ("pasta", "echo no; echo tap >&2; exit 3", "pasta: exit code 3: no; tap"),
        ("slirp4netns", "echo no tap >&2; exit 1", "slirp4netns: no tap"),
        ("pasta", "exec sleep 600", "pasta is not ready in 0 s"),
        ("slirp4netns", "exec sleep 600", "slirp4netns: it is not ready in time"),
    ],
)
def test_a_program_that_fails_or_hangs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str, why: str
) -> None:
    hangs = "sleep" in script
    monkeypatch.setattr(user_network, "ANSWER_SECONDS", 0.2 if hangs else 20.0)
    with pytest.raises(NoNetwork) as raised:
        start(program(tmp_path, name, script), os.getpid(), str(tmp_path))
    assert str(raised.value) == why
    stop(str(tmp_path))  # nothing was begun


def test_what_was_begun_is_ended_and_nobody_else_with_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = (
        "while test $1 != --ready-fd; do shift; done; printf 1 > /proc/self/fd/$2; exec sleep 600"
    )
    start(program(tmp_path, "slirp4netns", ready), os.getpid(), str(tmp_path))
    note = tmp_path / user_network.NOTE
    pid = int(note.read_text().split()[0])
    handle = os.pidfd_open(pid)
    stop(str(tmp_path))
    assert select.select([handle], [], [], 20)[0]
    os.close(handle)
    os.waitpid(pid, 0)
    stop(str(tmp_path))  # it has gone
    with subprocess.Popen(["sleep", "600"]) as other:
        note.write_text(f"{other.pid} 1")
        stop(str(tmp_path))
        assert other.poll() is None
        note.write_text(f"{other.pid} {birth_time(other.pid)}")
        stop(str(tmp_path))
        assert other.wait(20) != 0
