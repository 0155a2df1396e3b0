"""Connections to what listens inside of a pod, on its loopback.

A socket belongs for ever to the network namespace in which it was made. It is made by a thread of
its own that moves there and ends, so that no other code ever runs in a pod's namespace.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Mapping

from steersman.runtime.kernel import syscalls

_LOOPBACKS = (
    (socket.AF_INET, "tcp4", "127.0.0.1", "127.0.0.1:{}"),
    (socket.AF_INET6, "tcp6", "::1", "[::1]:{}"),
)
_REFUSALS: Mapping[int, str] = {
    errno.ECONNREFUSED: "connection refused",
    errno.EADDRNOTAVAIL: "cannot assign requested address",
}


class Unconnected(Exception):
    """Nothing took the connection; the text is containerd's."""


async def make_socket(netns: str, family: socket.AddressFamily) -> socket.socket:
    """Returns a socket in a network namespace, by its path; raises OSError."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[socket.socket] = loop.create_future()

    def deliver(found: socket.socket | OSError) -> None:
        if isinstance(found, OSError):
            if not made.done():
                made.set_exception(found)
        elif made.done():
            found.close()
        else:
            made.set_result(found)

    def work() -> None:
        try:
            found: socket.socket | OSError = _make(netns, family)
        except OSError as error:
            found = error
        loop.call_soon_threadsafe(deliver, found)

    threading.Thread(target=work, name="pod's network", daemon=True).start()
    return await made


def _make(netns: str, family: socket.AddressFamily) -> socket.socket:
    descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(descriptor, syscalls.CLONE_NEWNET)
    finally:
        os.close(descriptor)
    return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)


async def connect(netns: str, port: int) -> socket.socket:
    """Connects to a port on a pod's loopback, IPv4 first; raises Unconnected."""
    whys = []
    for family, network, host, shown in _LOOPBACKS:
        try:
            connected = await make_socket(netns, family)
        except OSError as error:
            whys.append(f"{network}: {error.strerror}")
            continue
        try:
            await asyncio.get_running_loop().sock_connect(connected, (host, port))
            return connected
        except OSError as error:
            connected.close()
            why = _REFUSALS.get(error.errno or 0, error.strerror)
            whys.append(f"dial {network} {shown.format(port)}: connect: {why}")
        except BaseException:
            connected.close()
            raise
    raise Unconnected(f"IPv4: {whys[0]} IPv6 {whys[1]} ")
