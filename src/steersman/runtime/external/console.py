"""Where a program hands over the terminal that it has opened for a container (--console-socket)."""

from __future__ import annotations

import os
import socket

from .. import protocol


class Console:
    """A socket in a directory; `path` names it in few bytes, as a socket's name may have 107."""

    def __init__(self, directory: str, name: str) -> None:
        self._directory = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._name = name
        self.path = f"/proc/{os.getpid()}/fd/{self._directory}/{name}"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._listener.bind(self.path)
            self._listener.listen(1)
            self._listener.setblocking(False)
        except BaseException:
            self.close()
            raise

    def take(self) -> int:
        """The terminal that has been handed over; OSError where none was."""
        peer, _ = self._listener.accept()
        try:
            _, descriptors = protocol.receive_part(peer)
        finally:
            peer.close()
        if not descriptors:
            raise OSError("the runtime has handed over no terminal")
        return descriptors[0]

    def close(self) -> None:
        """Takes the socket away."""
        try:
            os.unlink(self._name, dir_fd=self._directory)
        except FileNotFoundError:
            pass
        self._listener.close()
        os.close(self._directory)
