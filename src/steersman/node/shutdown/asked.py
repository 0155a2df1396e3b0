"""A person ends the cluster and has the pods end first (`steer down --graceful`).

Who asks listens at a socket and sends a signal; each pod that is at rest is told there, as a line
of JSON. Who goes away before the end has the node stay.
"""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any, Final

from steersman.node.shutdown.ending import Cared, Shutdown
from steersman.world.interface import World

SOCKET: Final = "down.sock"
SIGNAL: Final = signal.SIGUSR1


async def end_pods(shutdown: Shutdown, path: Path, world: World) -> None:
    """Ends the pods and tells who listens at a path; does nothing where nobody does."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return  # who asked has gone
    try:
        async with world.tasks() as tasks:
            ending = tasks.start(_end(shutdown, writer), name="end of the pods")
            gone = tasks.start(reader.read(), name="who asked for it")
            await asyncio.wait((ending, gone), return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                shutdown.cancel()
            tasks.stop()
    finally:
        writer.close()


async def _end(shutdown: Shutdown, writer: asyncio.StreamWriter) -> None:
    def tell(**said: Any) -> None:
        if not writer.is_closing():  # else nobody hears it, which is heard of elsewhere
            writer.write(json.dumps(said).encode() + b"\n")

    def begun(pods: list[Cared]) -> None:
        tell(pods=[_name(it) for it in pods])

    def over(one: Cared, in_time: bool) -> None:
        tell(**{"ended" if in_time else "late": _name(one)})

    await shutdown.end_all(begun, over)
    tell(done=True)
    if not writer.is_closing():
        await writer.drain()


def _name(one: Cared) -> str:
    return "/".join(one.pod.key)
