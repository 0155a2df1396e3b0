"""Waits for the ends of processes that are children of somebody else."""

from __future__ import annotations

import asyncio
import os

SECONDS = 180.0


async def until_ended(handle: int, seconds: float = SECONDS) -> None:
    """Waits for the end of a process by its descriptor (pidfd_open(2)), which is closed then."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(handle, gone.set)
    try:
        async with asyncio.timeout(seconds):
            await gone.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
