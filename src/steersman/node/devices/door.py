"""The socket at which device plugins register, kubelet.sock, as long as nobody has come.

Here is no gRPC: it is loaded when the first plugin connects. That the socket is made anew tells
plugins that were there before that they have to register again.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path
from typing import Final

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


async def wait_for_knock(door: socket.socket) -> None:
    """Waits until somebody connects."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(door.fileno(), came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(door.fileno())
