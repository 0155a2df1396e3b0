"""A socket at which the node is asked, kubelet.sock in a directory, as long as nobody has come.

Here is no gRPC: it is loaded when the first connects. That the socket is made anew tells device
plugins that were there before that they have to register again.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from steersman.world.interface import World

if TYPE_CHECKING:
    from steersman.listen.grpc import Handler

NAME: Final = "kubelet.sock"
BACKLOG: Final = 128


def open_door(directory: Path) -> socket.socket:
    """Listens in a directory, from which sockets of before are removed, plugins' own too: they
    see that, and come again. Raises OSError."""
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    for path in directory.iterdir():
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    # A path of a socket has 107 bytes at most, and the node's directory may have a long name
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        made.bind(f"/proc/self/fd/{place}/{NAME}")
        (directory / NAME).chmod(0o600)
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    finally:
        os.close(place)
    return made


async def serve(
    directory: Path, handlers: Callable[[], Mapping[str, Handler]], world: World
) -> None:
    """Serves what is made when the first connects, for ever. Raises OSError."""
    with open_door(directory) as door:
        try:
            await wait_for_knock(door)
            from steersman.listen.grpc import GRPCServer

            async with GRPCServer(handlers(), world) as server:
                await server.listen_on(door, directory / NAME)
                await server.closed()
        finally:
            (directory / NAME).unlink(missing_ok=True)


async def wait_for_knock(door: socket.socket) -> None:
    """Waits until somebody connects."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(door.fileno(), came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(door.fileno())
