"""Runs programs of the machine: bounded in time, and in what is kept of what they write."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from steersman.node.objects import BadConfiguration
from steersman.world.interface import World

_TOLD_BYTES: Final = 512  # of what a program says of its failure


class ProgramFailed(Exception):
    """A program could not be run to a good end; the text says why, without its name."""


async def run_program(
    program: str,
    *arguments: str,
    data: bytes,
    most_bytes: int,
    seconds: float,
    world: World,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Gives a program `data` and returns what it wrote, at most one byte more than it may.

    It is killed when its time is over. Raises ProgramFailed.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )
    except OSError as error:
        raise ProgramFailed(error.strerror) from None
    assert process.stdin and process.stdout and process.stderr
    try:
        async with world.wire_timeout(seconds), world.tasks() as tasks:
            told = tasks.start(_read(process.stderr, most_bytes), name=f"errors of {program}")
            tasks.start(_feed(process.stdin, data), name=f"request to {program}")
            output = await _read(process.stdout, most_bytes)
            code = await process.wait()
    except TimeoutError:
        raise ProgramFailed(f"no answer in {seconds:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code != 0:
        text = told.result()[:_TOLD_BYTES].decode(errors="replace").strip()
        raise ProgramFailed(f"exit status {code}: {text}")
    return output


def run_helper(
    command: Sequence[str], seconds: float, failed: str, *, shown: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs a program of the machine for a volume, in a thread that may wait for it.

    Raises BadConfiguration, which begins with `failed`, where it is not there or does not end.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except FileNotFoundError:
        text = f"{failed}: {command[0]} is not installed on this node"
        raise BadConfiguration(text) from None
    except subprocess.TimeoutExpired as error:
        text = f"{failed}: {shown or command[0]} has not ended in {seconds:.0f} s"
        raise BadConfiguration(text) from error


async def _read(stream: asyncio.StreamReader, most_bytes: int) -> bytes:
    """Reads to the end, and keeps one byte more than there may be."""
    found = b""
    while part := await stream.read(1 << 16):
        found = (found + part)[: most_bytes + 1]
    return found


async def _feed(stream: asyncio.StreamWriter, data: bytes) -> None:
    try:
        stream.write(data)
        await stream.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # it answers without having been asked
    finally:
        stream.close()
