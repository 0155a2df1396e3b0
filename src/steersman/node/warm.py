"""The runtime's warm parent: started by the agent, outlives it, and is found again by the next one.

It is a process of its own session, so neither a signal to the agent nor its end touches it.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path

from steersman.runtime import protocol
from steersman.runtime.engine import EngineError, warm_command

_ANSWER_SECONDS = 10.0


def ask(path: Path) -> int:
    """Returns the process id of the warm parent that listens, 0 where none does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(str(path))
            connection.sendall(protocol.encode({"id": 1, "verb": "ping"}))
            decoder = protocol.Decoder()
            while data := connection.recv(protocol.READ_BYTES):
                for message in decoder.feed(data):
                    return int(message.document["result"]["pid"])
        except (FileNotFoundError, ConnectionError):
            return 0
    return 0


class WarmParent:
    """The one warm parent of a node."""

    def __init__(self, path: Path, state: Path) -> None:
        self.path = path
        self._state = state
        self._process: subprocess.Popen[bytes] | None = None
        # Pods that begin at once find it gone at once, each in a thread
        self._turn = threading.Lock()

    def ensure(self) -> None:
        """Starts it where it does not run; returns when it listens. Raises EngineError."""
        with self._turn:
            self._ensure()

    def _ensure(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        if ask(self.path):
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            warm_command(str(self.path), str(self._state)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        with self._process.stdout as said:
            if said.readline() != b"ready\n":
                code = self._process.wait()
                raise EngineError("unavailable", f"the warm parent ended with code {code}")
