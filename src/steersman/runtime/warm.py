"""The warm parent: a small process with everything imported, whose forks become shims.

It holds no pod's state and reads no request itself; each connection is a fork at once, so no
peer can hold it up. Rule: it has one thread, no descriptor but its socket, and a /proc/self/exe
that nobody can write to.
"""

from __future__ import annotations

import gc
import os
import socket
import struct
import sys
from _signal import SIG_IGN, SIGCHLD, SIGINT, SIGTERM, signal  # type: ignore[import-not-found]
from _thread import allocate_lock

from . import container, documents, protocol, seal, shim, state
from .keeper import keep, rehearse
from .kernel import capabilities, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .keeper import Keeper

# What is imported only where it is asked for: here once, and not by each fork for itself
_ASKED_FOR = (
    "resource",
    "steersman.runtime.kernel.cgroups1",
    "steersman.runtime.kernel.cgroups2",
    "steersman.runtime.kernel.scheduling",
)
_BACKLOG = 256
# CPython's obmalloc: objects of a size lie in pools behind a head, sizes go up in steps
_SMALLEST_BYTES, _LARGEST_BYTES, _STEP_BYTES = 48, 512, 16
_POOL_BYTES, _POOL_HEAD_BYTES, _FILLED_BYTES = 16384, 48, 65536
# Of an object of bytes
_HEAD_BYTES = sys.getsizeof(b"")
# A fork makes new locks, which are of the smallest pieces of malloc(3)
_LOCKS = 1000
_gaps: list[object] = []
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
    _leave_streams()
    signal(SIGCHLD, SIG_IGN)  # the kernel reaps for us
    signal(SIGTERM, lambda _number, _frame: os._exit(0))
    listening, accept, parent = listener.fileno(), listener._accept, os.getpid()  # type: ignore[attr-defined]
    while True:
        # No socket object: what is written to here, each keeper has a copy of
        peer, _ = accept()
        if os.fork() == 0:
            os.close(listening)
            _serve_peer(peer, state_directory, parent)
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
    _fill_gaps()


def _fill_gaps() -> None:
    """Has what is allocated from now on lie side by side, and not in gaps all over the pages that
    the keepers share: each would have a copy of every page that it allocates from."""
    for size in range(_SMALLEST_BYTES, _LARGEST_BYTES + 1, _STEP_BYTES):
        for _ in range(_FILLED_BYTES // size):
            _gaps.append(bytes(size - _HEAD_BYTES))
            if id(_gaps[-1]) % _POOL_BYTES == _POOL_HEAD_BYTES:
                break
    _gaps.extend(allocate_lock() for _ in range(_LOCKS))


def _leave_streams() -> None:
    """Whoever reads the warm parent's output must not have to wait for every pod to end; what it
    says of a failure of its own is still heard."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for descriptor in (0, 1):
        os.dup2(null, descriptor)
    os.close(null)


def _serve_peer(peer: int, state_directory: str, parent: int) -> NoReturn:
    """The rest of the life of a fork: it is a keeper."""
    try:
        signal(SIGTERM, SIG_IGN)
        signal(SIGINT, SIG_IGN)
        os.setsid()
        syscalls.set_name("steer-shim")
        os.dup2(1, 2)
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        keep(lambda keeper: _live(keeper, peer, state_directory, parent))
        os._exit(0)
    finally:
        os._exit(1)


def _live(keeper: Keeper, peer: int, state_directory: str, parent: int) -> bool:
    """The life of one shim; True if it is to be followed by another."""
    recalled = keeper.recall()
    if recalled:
        return shim.resume(keeper, documents.loads(recalled.decode()))
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=peer)
    return _same_user(connection) and _handle(keeper, connection, state_directory, parent)


def _same_user(peer: socket.socket) -> bool:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, user, _ = struct.unpack("=3i", credentials)
    return bool(user == os.geteuid())


def _handle(keeper: Keeper, peer: socket.socket, state_directory: str, parent: int) -> bool:
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
            answer["result"] = {"pid": parent, "state_directory": state_directory}
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
