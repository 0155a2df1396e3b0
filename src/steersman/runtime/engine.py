"""The node agent's side: verbs on pods and containers, awaited over the shims' sockets.

Not in any process of the runtime itself; it needs asyncio and the standard library only.
Rule: every call has a deadline, a lost shim fails the calls that wait for it, and what is known
of a pod is asked from its shim, never remembered here.
"""

from __future__ import annotations

import asyncio
import os
import signal as signals
import socket
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from . import protocol, state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

# A container on a loaded machine is set up in well under a second; a hanging mount never is.
DEADLINE_SECONDS = 30.0
# Killing and removing a pod waits for the kernel to take processes apart.
REMOVE_DEADLINE_SECONDS = 60.0
# An agent that lags this far behind has to list the pods anew, and is told so.
MAX_EVENTS = 10_000
_MAX_WAITING_BYTES = 16 << 20


class EngineError(Exception):
    """A verb failed; `kind` is not-found, conflict, invalid, failed, lost or unavailable."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ExitStatus(NamedTuple):
    """How a process ended: `code` is 128 + `signal` for a signal; times in ns since 1970."""

    code: int
    signal: int
    started_at: int
    finished_at: int
    oom_killed: bool


class ContainerState(NamedTuple):
    """One container; `status` is creating, created, running or stopped, `pid` 0 if stopped.
    `user` is that of its program, then its group and all groups; empty where it is not known.
    """

    id: str
    status: str
    pid: int
    created_at: int
    started_at: int
    finished_at: int
    exit: ExitStatus | None
    reason: str
    log_lost_bytes: int
    user: Sequence[int] = ()


class SandboxState(NamedTuple):
    """One pod. `lost` means that its shim is dead: only remove_sandbox is left to do.

    `userns` is empty for a pod among the users of the host, `pidns` for one whose containers have
    processes of their own. `save_error` says why state.json
    could not be written, as on a full disk. `runtime` is the program that makes its containers,
    empty for our own runtime.
    """

    pod: str
    pid: int
    netns: str
    ipcns: str
    utsns: str
    userns: str
    pidns: str
    shm: str
    cgroup: str
    created_at: int
    save_error: str
    containers: tuple[ContainerState, ...]
    lost: bool
    runtime: str = ""


class Event(NamedTuple):
    """What happened: "exit" of a container, a file of its log moved "aside", "lost" shim, or
    "overflow": list the pods anew."""

    kind: str
    pod: str
    container: str
    exit: ExitStatus | None


def warm_command(socket_path: str, state_directory: str) -> list[str]:
    """The command line of the warm parent; it prints "ready" when it listens.

    To be run once, before the process that runs it has threads.
    """
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
    arguments = ["warm", "--socket", socket_path, "--state-dir", state_directory]
    return [sys.executable, "-I", "-S", program, *arguments]


def _parse_exit(document: Mapping[str, Any] | None) -> ExitStatus | None:
    return None if document is None else ExitStatus(**document)


def _parse_container(document: Mapping[str, Any]) -> ContainerState:
    return ContainerState(**{**document, "exit": _parse_exit(document["exit"])})


def _parse_sandbox(document: Mapping[str, Any], *, lost: bool = False) -> SandboxState:
    fields: dict[str, Any] = {name: document.get(name) for name in SandboxState._fields}
    for name in ("userns", "pidns", "runtime"):
        fields[name] = fields[name] or ""  # of a shim from before there was one
    containers = tuple(_parse_container(entry) for entry in document.get("containers") or ())
    return SandboxState(**{**fields, "containers": containers, "lost": lost})


class _Link:
    """A connection to a warm parent or a shim: numbered requests, answers in any order."""

    def __init__(self, connection: socket.socket, on_event: Any, on_lost: Any) -> None:
        self._connection = connection
        self._on_event = on_event
        self._on_lost = on_lost
        self._decoder = protocol.Decoder()
        self._answers: dict[int, asyncio.Future[protocol.Message]] = {}
        self._outgoing: list[tuple[bytes, list[int]]] = []
        # Processes that were asked for by one who has gone since: by request, their container
        self._unwanted: dict[int, str] = {}
        self._last = 0
        self._loop = asyncio.get_running_loop()
        connection.setblocking(False)
        self._loop.add_reader(connection.fileno(), self._receive)

    async def call(
        self,
        verb: str,
        arguments: Mapping[str, Any],
        deadline: float | None,
        descriptors: Sequence[int] = (),
    ) -> protocol.Message:
        """Sends a request and gives its answer; EngineError if that is an error.

        The descriptors are duplicated, so the caller keeps and closes its own.
        """
        if self._connection.fileno() < 0:
            raise EngineError("lost", "the shim is gone")
        self._last += 1
        number = self._last
        document = {"id": number, "verb": verb, **arguments}
        answer: asyncio.Future[protocol.Message] = self._loop.create_future()
        self._answers[number] = answer
        owned = [os.dup(descriptor) for descriptor in descriptors]
        self._send(protocol.encode(document, len(owned)), owned)
        try:
            async with asyncio.timeout(deadline):
                message = await answer
        except TimeoutError:
            raise EngineError("unavailable", f"{verb}: no answer in {deadline} s") from None
        finally:
            self._answers.pop(number, None)
            if verb == "exec" and (not answer.done() or answer.cancelled()):
                self._unwanted[number] = arguments["container"]
        error = message.document.get("error")
        if error is not None:
            raise EngineError(error["kind"], error["message"])
        return message

    def _send(self, data: bytes, descriptors: list[int]) -> None:
        self._outgoing.append((data, descriptors))
        self._flush()

    def _flush(self) -> None:
        try:
            while self._outgoing:
                data, descriptors = self._outgoing[0]
                sent = protocol.send_part(self._connection, data, descriptors)
                _close_all(descriptors)
                self._outgoing[0] = (data[sent:], [])
                if sent == len(data):
                    self._outgoing.pop(0)
        except BlockingIOError:
            self._loop.add_writer(self._connection.fileno(), self._flush)
            if sum(len(data) for data, _ in self._outgoing) > _MAX_WAITING_BYTES:
                self.close()
            return
        except OSError:
            self.close()
            return
        self._loop.remove_writer(self._connection.fileno())

    def _receive(self) -> None:
        try:
            data, descriptors = protocol.receive_part(self._connection)
            messages = self._decoder.feed(data, descriptors) if data else None
        except BlockingIOError:
            return
        except (OSError, protocol.ProtocolError):
            messages = None
        if messages is None:
            self.close()
            return
        for message in messages:
            self._deliver(message)

    def _deliver(self, message: protocol.Message) -> None:
        if "event" in message.document:
            self._on_event(message.document["event"])
            return
        number = message.document.get("id", 0)
        answer = self._answers.get(number)
        if answer is None or answer.done():  # nobody waits any more
            _close_all(message.descriptors)
            if (container := self._unwanted.pop(number, None)) is not None:
                self._end(container, message.document.get("result"))
        else:
            answer.set_result(message)

    def _end(self, container: str, began: Mapping[str, Any] | None) -> None:
        """Ends a process that nobody waits for, where it has begun, and has the shim forget it;
        the answers are nobody's."""
        if began is None:
            return
        for verb in ("kill", "wait"):
            self._last += 1
            request = {"id": self._last, "verb": verb, "container": container}
            request |= {"exec": began["exec"], "signal": int(signals.SIGKILL)}
            self._send(protocol.encode(request), [])

    def close(self) -> None:
        """Ends the connection; whoever waits for an answer gets "lost"."""
        if self._connection.fileno() < 0:
            return
        self._loop.remove_reader(self._connection.fileno())
        self._loop.remove_writer(self._connection.fileno())
        self._connection.close()
        self._decoder.close()
        for _, descriptors in self._outgoing:
            _close_all(descriptors)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(EngineError("lost", "the shim is gone"))
        self._on_lost()


def _close_all(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


async def _remove(link: _Link, deadline: float) -> None:
    """Removes a pod and waits until the process of its shim has ended."""
    answer = await link.call("pod", {}, deadline)
    shim = os.pidfd_open(answer.document["result"]["pid"])
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(shim, ended.set)
    try:
        await link.call("remove", {}, deadline)
        async with asyncio.timeout(deadline):
            await ended.wait()
    except TimeoutError:
        raise EngineError("unavailable", f"the shim has not ended in {deadline} s") from None
    finally:
        loop.remove_reader(shim)
        os.close(shim)
        link.close()


class Exec:
    """A process run in a container besides its first. `terminal` is a descriptor, or -1."""

    def __init__(self, engine: Engine, pod: str, container: str, document: Any) -> None:
        self._engine = engine
        self._pod = pod
        self._container = container
        self._number = document["exec"]
        self.pid = document["pid"]
        self.terminal = -1

    async def wait(self, deadline: float | None = None) -> ExitStatus:
        """How it ended; by default waits as long as it takes. To be asked once."""
        arguments = {"container": self._container, "exec": self._number}
        message = await self._engine.call(self._pod, "wait", arguments, deadline)
        return ExitStatus(**message.document["result"]["exit"])

    async def kill(self, signal: int = signals.SIGTERM) -> None:
        """Sends it a signal."""
        arguments = {"container": self._container, "exec": self._number, "signal": int(signal)}
        await self._engine.call(self._pod, "kill", arguments, DEADLINE_SECONDS)

    def resize(self, width: int, height: int) -> None:
        """Tells its terminal the size in characters."""
        from .kernel import terminal

        terminal.resize(self.terminal, width, height)

    def close(self) -> None:
        """Closes the terminal, which hangs it up."""
        if self.terminal >= 0:
            os.close(self.terminal)
            self.terminal = -1


class Engine:
    """All pods of one state directory."""

    def __init__(self, socket_path: str, state_directory: str) -> None:
        self._socket_path = socket_path
        self._state_directory = os.path.abspath(state_directory)
        self._links: dict[str, _Link] = {}
        self._lost: set[str] = set()
        self._events: asyncio.Queue[Event] = asyncio.Queue(MAX_EVENTS)

    async def connect(self) -> list[SandboxState]:
        """Reconnects to every pod on disk, whoever started it, and gives their states."""
        directory = os.path.join(self._state_directory, "pods")
        names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
        for name in names:
            if name not in self._links:
                await self._reconnect(name)
        return await self.pods()

    async def _reconnect(self, pod: str) -> None:
        path = os.path.join(self._directory(pod), state.SOCKET)
        try:
            self._links[pod] = self._open_link(path, pod)
            await self.call(pod, "subscribe", {}, DEADLINE_SECONDS)
            self._lost.discard(pod)
        except (OSError, EngineError):  # nobody listens: the shim is dead, the rest is on disk
            if (link := self._links.pop(pod, None)) is not None:
                link.close()
            self._lost.add(pod)

    def _directory(self, pod: str) -> str:
        return state.pod_directory(self._state_directory, pod)

    def _open_link(self, path: str, pod: str) -> _Link:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A socket's path has 107 bytes at most; through the directory's descriptor it has few.
        directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connection.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        except OSError:
            connection.close()
            raise
        finally:
            os.close(directory)
        return _Link(connection, self._take_event, lambda: self._link_lost(pod))

    def _link_lost(self, pod: str) -> None:
        if self._links.pop(pod, None) is not None:
            self._lost.add(pod)
            self._put(Event("lost", pod, "", None))

    def _take_event(self, document: Mapping[str, Any]) -> None:
        status = _parse_exit(document.get("exit"))
        self._put(Event(document["kind"], document["pod"], document.get("container", ""), status))

    def _put(self, event: Event) -> None:
        if self._events.qsize() < MAX_EVENTS - 1:
            self._events.put_nowait(event)
        elif not self._events.full():
            self._events.put_nowait(Event("overflow", "", "", None))

    async def events(self) -> AsyncIterator[Event]:
        """What happens in all pods, in order, from the first connection on; for one reader."""
        while True:
            yield await self._events.get()

    async def call(
        self,
        pod: str,
        verb: str,
        arguments: Mapping[str, Any],
        deadline: float | None,
        descriptors: Sequence[int] = (),
    ) -> protocol.Message:
        """Sends one request to a pod's shim; the verbs below are what to use."""
        link = self._links.get(pod)
        if link is None:
            kind = "lost" if pod in self._lost else "not-found"
            raise EngineError(kind, f"pod {pod!r} has no shim")
        return await link.call(verb, arguments, deadline, descriptors)

    async def _ask(self, pod: str, verb: str, deadline: float | None, /, **arguments: Any) -> Any:
        message = await self.call(pod, verb, arguments, deadline)
        return message.document["result"]

    async def sandbox(self, pod: str) -> SandboxState:
        """One pod with its containers, as its shim says now; EngineError where it has none."""
        return _parse_sandbox(await self._ask(pod, "pod", DEADLINE_SECONDS))

    async def pods(self) -> list[SandboxState]:
        """Every pod with its containers, as its shim says now; lost ones as the disk has them."""
        found = []
        for pod in sorted(self._links):
            try:
                found.append(await self.sandbox(pod))
            except EngineError as error:
                if error.kind not in ("lost", "not-found"):  # else it has ended meanwhile
                    raise
        for pod in sorted(self._lost):
            document = {"containers": [], **state.load(self._directory(pod)), "pod": pod}
            found.append(_parse_sandbox(document, lost=True))
        return found

    async def start_sandbox(
        self, pod: str, spec: Mapping[str, Any], deadline: float = DEADLINE_SECONDS
    ) -> SandboxState:
        """Makes a pod's sandbox.

        `spec`: cgroup_parent (the pod's own cgroup, needed), hostname, network and ipc ("pod" or
        "host"), sysctls, resources (OCI), shm_bytes, uidMappings and gidMappings (OCI) for a user
        namespace of its own, runtime (the path of another OCI runtime that makes its containers).
        EngineError conflict if the pod exists.
        """
        if pod in self._links or pod in self._lost:
            raise EngineError("conflict", f"pod {pod!r} exists")
        link = self._warm_link(pod)
        arguments = {"pod": pod, "spec": dict(spec)}
        try:
            message = await link.call("sandbox", arguments, deadline)
        except (EngineError, asyncio.CancelledError):
            link.close()
            raise
        self._links[pod] = link
        return _parse_sandbox(message.document["result"])

    def _warm_link(self, pod: str) -> _Link:
        try:
            return self._open_link(self._socket_path, pod)
        except OSError as error:
            raise EngineError("unavailable", f"warm parent: {error.strerror}") from None

    async def create(
        self,
        pod: str,
        container: str,
        bundle: Mapping[str, Any],
        deadline: float = DEADLINE_SECONDS,
    ) -> ContainerState:
        """Sets a container up without running it. `bundle` is an OCI document; see spec."""
        arguments = {"container": container, "bundle": bundle}
        return _parse_container(await self._ask(pod, "create", deadline, **arguments))

    async def start(
        self, pod: str, container: str, deadline: float = DEADLINE_SECONDS
    ) -> ContainerState:
        """Runs a created container's program; EngineError failed says why it cannot be run."""
        return _parse_container(await self._ask(pod, "start", deadline, container=container))

    async def state(self, pod: str, container: str) -> ContainerState:
        """One container as its shim sees it now."""
        result = await self._ask(pod, "state", DEADLINE_SECONDS, container=container)
        return _parse_container(result)

    async def kill(
        self, pod: str, container: str, signal: int = signals.SIGTERM, *, everyone: bool = False
    ) -> None:
        """Sends a signal to the container's first process, or to every process in it."""
        arguments = {"container": container, "signal": int(signal), "all": everyone}
        await self._ask(pod, "kill", DEADLINE_SECONDS, **arguments)

    async def wait(self, pod: str, container: str, deadline: float | None = None) -> ExitStatus:
        """How the container ended; by default waits as long as it takes."""
        result = await self._ask(pod, "wait", deadline, container=container)
        return ExitStatus(**result["exit"])

    async def delete(
        self, pod: str, container: str, *, force: bool = False, deadline: float = DEADLINE_SECONDS
    ) -> None:
        """Removes a stopped or created container, with `force` also a running one."""
        await self._ask(pod, "delete", deadline, container=container, force=force)

    async def exec(
        self,
        pod: str,
        container: str,
        process: Mapping[str, Any],
        stdio: Sequence[int] = (),
        deadline: float = DEADLINE_SECONDS,
    ) -> Exec:
        """Runs a further process in a running container.

        `process` is an OCI process section; what it leaves out is as in the container. `stdio`
        are up to three descriptors for stdin, stdout, stderr, /dev/null in place of missing
        ones; with "terminal" there are none, and the result has the terminal.
        """
        arguments = {"container": container, "process": dict(process)}
        message = await self.call(pod, "exec", arguments, deadline, stdio)
        made = Exec(self, pod, container, message.document["result"])
        if message.descriptors:
            made.terminal = message.descriptors.pop()
        return made

    async def attach(self, pod: str, container: str, streams: Mapping[str, int]) -> None:
        """Copies from now on between a container and descriptors: "stdin", "stdout", "stderr".

        The shim closes its copies of the outputs when the container ends.
        """
        arguments = {"container": container, "streams": list(streams)}
        await self.call(pod, "attach", arguments, DEADLINE_SECONDS, list(streams.values()))

    async def resize(self, pod: str, container: str, width: int, height: int) -> None:
        """Tells a container's terminal its size in characters."""
        arguments = {"container": container, "width": width, "height": height}
        await self._ask(pod, "resize", DEADLINE_SECONDS, **arguments)

    async def update(self, pod: str, container: str, resources: Mapping[str, Any]) -> None:
        """Changes limits (linux.resources) of a container, or with "" of the pod."""
        arguments = {"container": container, "resources": dict(resources)}
        await self._ask(pod, "update", DEADLINE_SECONDS, **arguments)

    async def stats(self, pod: str, container: str = "") -> dict[str, int]:
        """Counters of a container or the pod; the names say the units."""
        result: dict[str, int] = await self._ask(
            pod, "stats", DEADLINE_SECONDS, container=container
        )
        return result

    async def reopen_log(self, pod: str, container: str) -> None:
        """Opens the log at its path anew, after the file has been moved away."""
        await self._ask(pod, "reopen-log", DEADLINE_SECONDS, container=container)

    async def remove_sandbox(self, pod: str, deadline: float = REMOVE_DEADLINE_SECONDS) -> None:
        """Kills and removes a pod with all that is in it; returns when its shim is gone.

        Repeatable: a pod that is not there is fine; a lost one is cleaned up from its directory.
        """
        if pod not in self._links and os.path.isdir(self._directory(pod)):
            await self._reconnect(pod)
        link = self._links.pop(pod, None)
        if link is None:
            if pod in self._lost:
                await self._clean(pod, deadline)
            return
        try:
            await _remove(link, deadline)
        except EngineError as error:
            if error.kind != "lost":
                raise
            await self._clean(pod, deadline)

    async def _clean(self, pod: str, deadline: float) -> None:
        link = self._warm_link(pod)
        try:
            await link.call("clean", {"pod": pod}, deadline)
        finally:
            link.close()
        self._lost.discard(pod)

    async def close(self) -> None:
        """Lets go of all pods, which go on."""
        links, self._links = self._links, {}
        for link in links.values():
            link.close()
