"""Programs of the machine: what they are given, what is kept of what they say, how they end."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from steersman.node.programs import ProgramFailed, run_program
from steersman.world.real import RealWorld


def run(script: str, *, data: bytes = b"", seconds: float = 20.0, **environment: str) -> bytes:
    return asyncio.run(
        run_program(
            "/bin/sh",
            "-c",
            script,
            data=data,
            most_bytes=10,
            seconds=seconds,
            world=RealWorld(),
            environment=environment or None,
        )
    )


def test_a_program_is_asked_and_answers() -> None:
    assert run('read line; printf "%s%s" "$line" "$MORE"', data=b"ask\n", MORE="!") == b"ask!"
    # It need not listen
    assert run("exec 0<&-; printf yes", data=b"x" * (1 << 20)) == b"yes"


def test_of_what_a_program_writes_no_more_is_kept_than_shows_that_it_is_too_much() -> None:
    assert run("head -c 300000 /dev/zero") == bytes(11)


def test_why_a_program_failed_is_told_in_its_own_words_as_far_as_they_are_short() -> None:
    with pytest.raises(ProgramFailed, match=r"^exit status 3: no key$"):
        run("echo no key >&2; exit 3")
    with pytest.raises(ProgramFailed, match=r"^exit status 1: x{1,11}$"):
        run("head -c 300000 /dev/zero | tr '\\0' x >&2; exit 1")
    with pytest.raises(ProgramFailed, match="No such file or directory"):
        work = run_program(
            "/no/such", data=b"", most_bytes=1, seconds=1.0, world=RealWorld(), environment=None
        )
        asyncio.run(work)


def test_a_program_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    with pytest.raises(ProgramFailed, match=r"^no answer in 0 s$"):
        run(f"echo $$ > {noted}.new; mv {noted}.new {noted}; exec sleep 1000", seconds=0.4)
    with pytest.raises(ProcessLookupError):
        os.kill(int(noted.read_text()), 0)
