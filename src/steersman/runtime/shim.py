"""The shim: the process that serves one pod's socket for as long as there is something to do.

The keeper is the parent of the pod's containers, lives in the pod's namespaces, and has the next
shim go on. Not the verbs themselves (pod). Rule: a broken connection ends that connection, never
the shim.
"""

from __future__ import annotations

import os
import socket

from . import documents, protocol, state
from .pod import Pod
from .reactor import READ, WRITE, Reactor
from .streams import close_all
from .supervised import Conflict, Failed, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .keeper import Keeper

    Document = dict[str, Any]

# A peer that does not read its answers is cut off; the largest answer lists a pod's containers.
_MAX_WAITING_BYTES = 16 << 20
_BACKLOG = 64
# What is asked of a pod comes in rows; a further shim costs two milliseconds.
_REST_SECONDS = 2.0
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (NotFound, "not-found"),
    (Conflict, "conflict"),
    (FileExistsError, "conflict"),
    (ValueError, "invalid"),
    (KeyError, "invalid"),
)


def describe_error(error: Exception) -> Document:
    """An error as it travels: a kind to act on, and a text to show."""
    kind = next((name for known, name in _KINDS if isinstance(error, known)), "failed")
    if isinstance(error, KeyError):
        return {"kind": kind, "message": f"{error} is missing"}
    text = getattr(error, "strerror", None) or str(error)
    filename = getattr(error, "filename", None)
    return {"kind": kind, "message": f"{filename}: {text}" if filename else text}


class Connection:
    """One peer: requests in, answers and events out, in any order."""

    def __init__(self, server: Shim, peer: socket.socket) -> None:
        self._server = server
        self._peer = peer
        self._decoder = protocol.Decoder()
        self._waiting: list[tuple[bytes, list[int]]] = []
        self.execs: list[tuple[str, int]] = []
        self.subscribed = False
        peer.setblocking(False)
        server.reactor.watch(peer.fileno(), READ, self._receive)

    @property
    def open(self) -> bool:
        """Whether the peer is still there."""
        return self._peer.fileno() >= 0

    @property
    def descriptor(self) -> int:
        """Its socket's."""
        return self._peer.fileno()

    @property
    def quiet(self) -> bool:
        """Whether nothing is on its way in either direction."""
        return not self._waiting and self._decoder.empty and not self.execs

    def send(self, document: Document, descriptors: list[int] | None = None) -> None:
        """Queues a message; descriptors are closed once they are sent."""
        owned = descriptors or []
        if not self.open:
            close_all(owned)
            return
        self._waiting.append((protocol.encode(document, len(owned)), owned))
        if sum(len(data) for data, _ in self._waiting) > _MAX_WAITING_BYTES:
            self.close()
        else:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._waiting:
                data, descriptors = self._waiting[0]
                sent = protocol.send_part(self._peer, data, descriptors)
                close_all(descriptors)
                self._waiting[0] = (data[sent:], [])
                if sent == len(data):
                    self._waiting.pop(0)
        except BlockingIOError:
            self._server.reactor.watch(self._peer.fileno(), READ | WRITE, self._ready)
            return
        except OSError:  # the peer is gone
            self.close()
            return
        self._server.reactor.watch(self._peer.fileno(), READ, self._receive)

    def _ready(self) -> None:
        self._flush()
        if self.open:
            self._receive()

    def _receive(self) -> None:
        try:
            data, descriptors = protocol.receive_part(self._peer)
            messages = self._decoder.feed(data, descriptors) if data else None
        except BlockingIOError:
            return
        except (OSError, protocol.ProtocolError):
            messages = None
        if messages is None:
            self.close()
            return
        for message in messages:
            self._server.serve(self, message)

    def close(self) -> None:
        """Lets go of the peer; what it waited for goes on without it."""
        if self.open:
            self._server.reactor.forget(self._peer.fileno())
            self._peer.close()
            self._decoder.close()
            for _, descriptors in self._waiting:
                close_all(descriptors)
            self._waiting.clear()
            self._server.lost(self)


class Shim:
    """Serves one pod."""

    def __init__(self, pod: Pod, keeper: Keeper | None = None, listener: int = -1) -> None:
        """`listener` is the pod's socket where it is open already."""
        self.pod = pod
        self.reactor = Reactor(pod.exited, keeper)
        self._connections: list[Connection] = []
        self._listener = socket.socket(
            socket.AF_UNIX, socket.SOCK_STREAM, fileno=listener if listener >= 0 else None
        )
        pod.connect(self.reactor, self._publish)
        self._immediate: dict[str, Callable[[Document], Document]] = {
            "state": lambda request: pod.find(request["container"]).describe(),
            "pod": lambda _request: pod.describe(),
            "kill": pod.kill,
            "resize": pod.resize,
            "stats": pod.stats,
            "reopen-log": pod.reopen_log,
        }

    def listen(self) -> None:
        """Opens the pod's socket; named relative, as the path may exceed a socket's 107 bytes."""
        os.chdir(self.pod.directory)
        self._listener.bind(state.SOCKET)
        os.chdir("/")
        os.chmod(os.path.join(self.pod.directory, state.SOCKET), 0o600)
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)
        self.reactor.watch(self._listener.fileno(), READ, self._accept)

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way, so that the next shim may go on."""
        return self.pod.quiet and all(it.quiet for it in self._connections)

    def freeze(self) -> Document:
        """What the next shim is to know; what is open stays so."""
        return {
            "pod": self.pod.freeze(),
            "listener": self._listener.fileno(),
            "connections": [
                {"descriptor": it.descriptor, "subscribed": it.subscribed}
                for it in self._connections
            ],
        }

    def thaw(self, kept: Document) -> None:
        """Takes up what the shim before has left."""
        self.pod.thaw(kept["pod"])
        self.reactor.watch(self._listener.fileno(), READ, self._accept)
        for entry in kept["connections"]:
            descriptor = int(entry["descriptor"])
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=descriptor)
            self.adopt(peer).subscribed = entry["subscribed"]

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except BlockingIOError:
            return
        self.adopt(peer)

    def adopt(self, peer: socket.socket) -> Connection:
        """Serves a connection."""
        connection = Connection(self, peer)
        self._connections.append(connection)
        return connection

    def lost(self, connection: Connection) -> None:
        """A connection has ended; the execs it started have no other that could ask for them."""
        self._connections.remove(connection)
        for name, number in connection.execs:
            self.pod.forget_exec(name, number)

    def _publish(self, event: Document) -> None:
        for connection in list(self._connections):
            if connection.subscribed:
                connection.send({"event": {"pod": self.pod.name, **event}})

    def serve(self, connection: Connection, message: protocol.Message) -> None:
        """Carries out one request."""
        number = message.document.get("id")

        def answer(result: Document, descriptors: list[int] | None = None) -> None:
            connection.send({"id": number, "result": result}, descriptors)

        def fail(error: Exception) -> None:
            connection.send({"id": number, "error": describe_error(error)})

        try:
            self._dispatch(connection, message, answer, fail)
        except (NotFound, Conflict, Failed, ValueError, KeyError, TypeError, OSError) as error:
            fail(error)
        finally:
            close_all(message.descriptors)

    def _dispatch(
        self,
        connection: Connection,
        message: protocol.Message,
        answer: Callable[..., None],
        fail: Callable[[Exception], None],
    ) -> None:
        request = message.document
        verb = request.get("verb", "")
        if verb in self._immediate:
            answer(self._immediate[verb](request))
        elif verb in ("create", "start", "delete", "update"):
            getattr(self.pod, verb)(request, answer, fail)
        elif verb == "wait":
            self._wait(connection, request, answer)
        elif verb == "exec":
            self._execute(connection, message, answer, fail)
        elif verb == "attach":
            taken, message.descriptors = message.descriptors, []
            answer(self.pod.attach(request, taken))
        elif verb == "subscribe":
            connection.subscribed = True
            answer(self.pod.describe())
        elif verb == "remove":
            self.pod.remove(lambda: self._removed(answer))
        else:
            raise ValueError(f"unknown verb {verb!r}")

    def _wait(self, connection: Connection, request: Document, answer: Callable[..., None]) -> None:
        waited = (request["container"], request.get("exec"))

        def ended(result: Document) -> None:
            if waited in connection.execs:
                connection.execs.remove(waited)
            answer(result)

        self.pod.wait(request, ended)

    def _execute(
        self,
        connection: Connection,
        message: protocol.Message,
        answer: Callable[..., None],
        fail: Callable[[Exception], None],
    ) -> None:
        name = message.document["container"]

        def started(result: Document, masters: list[int]) -> None:
            connection.execs.append((name, result["exec"]))
            answer(result, masters)

        self.pod.execute(message.document, message.descriptors, started, fail)

    def _removed(self, answer: Callable[[Document], None]) -> None:
        answer({})
        self.reactor.stop()


def run(keeper: Keeper, peer: socket.socket, request: Document, directory: str) -> bool:
    """The life of a pod's first shim, from the request that made it; `peer` gets the answer.

    True if it ends to be followed by another.
    """
    number = request.get("id")
    try:
        name = state.check_name(request.get("pod"))
        pod = Pod(name, directory, request.get("spec") or {}, keeper)
        pod.build()
        shim = Shim(pod, keeper)
        shim.listen()
        pod.save()
    except (ValueError, KeyError, TypeError, OSError) as error:
        peer.sendall(protocol.encode({"id": number, "error": describe_error(error)}))
        return False
    connection = shim.adopt(peer)
    connection.subscribed = True
    connection.send({"id": number, "result": pod.describe()})
    return _live(keeper, shim)


def resume(keeper: Keeper, kept: Document) -> bool:
    """The life of a further shim of a pod, from what the one before has left."""
    about = kept["pod"]
    pod = Pod(about["name"], about["directory"], about["spec"], keeper)
    shim = Shim(pod, keeper, int(kept["listener"]))
    shim.thaw(kept)
    return _live(keeper, shim)


def _live(keeper: Keeper, shim: Shim) -> bool:
    """Serves until the pod is removed (False), or nothing is left to do for now (True)."""
    while not _serve(shim):
        continue
    if not shim.reactor.stopped:
        keeper.remember(documents.dumps(shim.freeze()).encode())
    return not shim.reactor.stopped


def _serve(shim: Shim) -> bool:
    """Runs the loop until it is stopped; False after a failure nobody asked about.

    It is written down beside the pod's state. To end here would kill every container of the pod
    because one file or control group was not what it should be.
    """
    try:
        shim.reactor.run(lambda: shim.quiet, _REST_SECONDS)
    except OSError:
        import traceback

        with open(os.path.join(shim.pod.directory, "shim.log"), "a") as file:
            traceback.print_exc(file=file)
        return False
    return True
