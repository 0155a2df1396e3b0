"""Runs a command in a container of our own engine to its end, for probes and hooks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence

from steersman.runtime.engine import Engine, EngineError, Exec
from steersman.world.interface import World

KILL_SECONDS = 10.0  # the kernel ends what has SIGKILL, unless it sits in a system call
MAX_OUTPUT_BYTES = 10 * 1024  # kubelet's probe maxReadLength


async def run_command(
    engine: Engine,
    world: World,
    pod: str,
    container: str,
    command: Sequence[str],
    seconds: float | None,
) -> tuple[int, bytes]:
    """Returns the command's code and the beginning of what it wrote; raises EngineError, and
    TimeoutError once it is killed for taking too long."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    process: Exec | None = None
    try:
        os.set_blocking(writing, True)
        section = {"args": list(command)}
        async with world.timeout(seconds):
            process = await engine.exec(pod, container, section, (null, writing, writing))
            os.close(writing)
            writing = -1
            output = await _read(reading)
            status = await process.wait()
    except (TimeoutError, asyncio.CancelledError):  # who asked has gone, or has waited enough
        if process is not None:
            with contextlib.suppress(EngineError):
                await process.kill(signal.SIGKILL)
                await process.wait(KILL_SECONDS)  # a shim does not rest before somebody has asked
        raise
    finally:
        for descriptor in (reading, writing, null):
            if descriptor >= 0:
                os.close(descriptor)
    return status.code, output


async def _read(descriptor: int) -> bytes:
    """Reads a pipe to its end and keeps the beginning."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    kept = bytearray()

    def take() -> None:
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return
        kept.extend(data[: MAX_OUTPUT_BYTES - len(kept)])
        if not data and not ended.done():
            ended.set_result(None)

    loop.add_reader(descriptor, take)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
    return bytes(kept)
