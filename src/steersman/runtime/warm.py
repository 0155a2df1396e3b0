"""The warm parent: a small process with everything imported, whose forks become shims.

It holds no pod's state and reads no request itself; each connection is a fork at once, so no
peer can hold it up. Rule: it has one thread, no descriptor but its socket, and a /proc/self/exe
that nobody can write to.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import gc
import os
import socket
import struct

from . import container, documents, protocol, seal, shim, state
from .keeper import Keeper, rehearse
from .kernel import capabilities, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What is imported only where it is asked for: here once, and not by each fork for itself
_ASKED_FOR = (
    "resource",
    "steersman.runtime.kernel.cgroups1",
    "steersman.runtime.kernel.cgroups2",
    "steersman.runtime.kernel.scheduling",
)
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
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)  # the kernel reaps for us
    _signal.signal(_signal.SIGTERM, lambda _number, _frame: os._exit(0))
    accept = listener._accept  # type: ignore[attr-defined]
    while True:
        # No socket object: what is written to here, each keeper has a copy of
        peer, _ = accept()
        if os.fork() == 0:
            listener.close()
            _serve_peer(peer, state_directory)
        os.close(peer)


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
    """Does once what every container would do: imports, compiles the default filter."""
    syscalls.set_name("steer-warm")
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    held = capabilities.available()
    container.default_filter(capabilities.parse_names(capabilities.DEFAULT) & held)
    for name in _ASKED_FOR:
        __import__(name)
    rehearse()
    gc.collect()
    gc.disable()
    gc.freeze()


def _serve_peer(peer: int, state_directory: str) -> None:
    """The rest of the life of a fork: it is a keeper."""
    for number in (_signal.SIGTERM, _signal.SIGINT):
        _signal.signal(number, _signal.SIG_IGN)
    os.setsid()
    syscalls.set_name("steer-shim")
    _leave_streams()
    try:
        Keeper().run(lambda keeper: _live(keeper, peer, state_directory))
    finally:
        os._exit(1)


def _leave_streams() -> None:
    """Whoever reads the warm parent's output must not have to wait for every pod to end."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def _live(keeper: Keeper, peer: int, state_directory: str) -> bool:
    """The life of one shim; True if it is to be followed by another."""
    recalled = keeper.recall()
    if recalled:
        return shim.resume(keeper, documents.loads(recalled.decode()))
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=peer)
    return _same_user(connection) and _handle(keeper, connection, state_directory)


def _same_user(peer: socket.socket) -> bool:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, user, _ = struct.unpack("=3i", credentials)
    return bool(user == os.geteuid())


def _handle(keeper: Keeper, peer: socket.socket, state_directory: str) -> bool:
    peer.settimeout(_REQUEST_TIMEOUT_SECONDS)
    request = _receive(peer)
    if request is None:
        return False
    verb = request.get("verb")
    if verb == "sandbox":
        directory = state.pod_directory(state_directory, request.get("pod", ""))
        return shim.run(keeper, peer, request, directory)
    answer: dict[str, Any] = {"id": request.get("id")}
    try:
        if verb == "clean":
            state.clean_up(state.pod_directory(state_directory, request.get("pod", "")))
            answer["result"] = {}
        elif verb == "ping":
            answer["result"] = {"pid": keeper.parent, "state_directory": state_directory}
        else:
            raise ValueError(f"unknown verb {verb!r}")
    except (ValueError, OSError) as error:
        answer["error"] = shim.describe_error(error)
    peer.sendall(protocol.encode(answer))
    return False


def _receive(peer: socket.socket) -> dict[str, Any] | None:
    decoder = protocol.Decoder()
    while True:
        data, descriptors = protocol.receive_part(peer)
        if not data:
            return None
        messages = decoder.feed(data, descriptors)
        if messages:
            return messages[0].document
