"""The warm parent: a small process with everything imported, whose forks become shims.

It holds no pod's state and reads no request itself; each connection is a fork at once, so no
peer can hold it up. Rule: it has one thread, no descriptor but its socket, and a /proc/self/exe
that nobody can write to.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct

from . import container, protocol, seal, shim, state
from .kernel import capabilities, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BACKLOG = 256
# How long a fork waits for its peer's request before it gives up.
_REQUEST_TIMEOUT_SECONDS = 10.0


def serve(socket_path: str, state_directory: str) -> None:
    """Listens at `socket_path` and forks a process per connection; ends by SIGTERM."""
    seal.require_sealed()
    listener = _listen(socket_path)
    os.makedirs(state_directory, 0o700, exist_ok=True)
    state_directory = os.path.abspath(state_directory)
    os.chdir("/")
    _warm_up()
    os.write(1, b"ready\n")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps for us
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))
    while True:
        peer, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _serve_peer(peer, state_directory)
        peer.close()


def _listen(path: str) -> socket.socket:
    directory = os.path.dirname(os.path.abspath(path))
    os.makedirs(directory, 0o700, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    umask = os.umask(0o177)
    listener.bind(path)
    os.umask(umask)
    listener.listen(_BACKLOG)
    return listener


def _warm_up() -> None:
    """Does once what every container would do: compiles the default filter, sorts memory."""
    syscalls.set_name("steer-warm")
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    held = capabilities.available()
    container.default_filter(capabilities.parse_names(capabilities.DEFAULT) & held)
    gc.collect()
    gc.disable()
    gc.freeze()


def _serve_peer(peer: socket.socket, state_directory: str) -> None:
    """The rest of the life of a fork."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()
    code = 1
    try:
        if _same_user(peer):
            _handle(peer, state_directory)
            code = 0
    finally:
        peer.close()
        os._exit(code)


def _same_user(peer: socket.socket) -> bool:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, user, _ = struct.unpack("=3i", credentials)
    return bool(user == os.geteuid())


def _handle(peer: socket.socket, state_directory: str) -> None:
    peer.settimeout(_REQUEST_TIMEOUT_SECONDS)
    request = _receive(peer)
    if request is None:
        return
    verb = request.get("verb")
    if verb == "sandbox":
        directory = state.pod_directory(state_directory, request.get("pod", ""))
        shim.run(peer, request, directory)
        return
    answer: dict[str, Any] = {"id": request.get("id")}
    try:
        if verb == "clean":
            state.clean_up(state.pod_directory(state_directory, request.get("pod", "")))
            answer["result"] = {}
        elif verb == "ping":
            answer["result"] = {"pid": os.getppid(), "state_directory": state_directory}
        else:
            raise ValueError(f"unknown verb {verb!r}")
    except (ValueError, OSError) as error:
        answer["error"] = shim.describe_error(error)
    peer.sendall(protocol.encode(answer))


def _receive(peer: socket.socket) -> dict[str, Any] | None:
    decoder = protocol.Decoder()
    while True:
        data, descriptors = protocol.receive_part(peer)
        if not data:
            return None
        messages = decoder.feed(data, descriptors)
        if messages:
            return messages[0].document
