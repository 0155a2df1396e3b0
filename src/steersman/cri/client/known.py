"""What there is in a runtime, by the agent's names: sandboxes by the uid of their pod, runs by
container and attempt. Kept true by lists and events; of an end that was told everybody hears who
waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import msgspec

from steersman.cri.client.naming import name_of, uid_of
from steersman.cri.messages.containers import CREATED, EXITED, RUNNING, Container, ContainerStatus
from steersman.cri.messages.sandboxes import READY, PodSandbox
from steersman.runtime.engine import ContainerState, EngineError, ExitStatus, SandboxState

_SHOWN = {CREATED: "created", RUNNING: "running", EXITED: "stopped"}
OOM_KILLED = "OOMKilled"
Place = tuple[str, str]


class Run(msgspec.Struct):
    """One run in the runtime, with the path of its log and when it began (ns since 1970); `exit`
    once its end was seen."""

    id: str
    log: str
    started_at: int = 0
    exit: ExitStatus | None = None


class Known:
    """See the module."""

    def __init__(self) -> None:
        self.sandboxes: dict[str, str] = {}
        self.runs: dict[Place, Run] = {}
        self._waiting: dict[Place, list[asyncio.Future[ExitStatus]]] = {}

    def sandbox(self, uid: str) -> str:
        """Returns the id of a pod's sandbox; raises EngineError."""
        if (found := self.sandboxes.get(uid)) is None:
            raise EngineError("not-found", f"pod {uid} has no sandbox")
        return found

    def run(self, uid: str, name: str) -> Run:
        """Returns a run; raises EngineError."""
        if (found := self.runs.get((uid, name))) is None:
            raise EngineError("not-found", f"container {name} of pod {uid} is not there")
        return found

    def place_of(self, id: str) -> Place | None:
        """Returns the names of a run by its id."""
        return next((place for place, run in self.runs.items() if run.id == id), None)

    def of(self, uid: str) -> Iterator[tuple[str, Run]]:
        """Yields the runs of a pod by name."""
        yield from ((name, run) for (of, name), run in list(self.runs.items()) if of == uid)

    def ended(self, place: Place, exit: ExitStatus) -> bool:
        """Notes how a run ended and tells who waits; says whether that is new."""
        run = self.runs.get(place)
        if run is None or run.exit is not None:
            return False
        run.exit = exit
        self._tell(place, exit)
        return True

    def _tell(self, place: Place, what: ExitStatus | EngineError) -> None:
        for waiter in self._waiting.pop(place, ()):
            if waiter.done():
                continue
            if isinstance(what, EngineError):
                waiter.set_exception(what)
            else:
                waiter.set_result(what)

    def forget_run(self, place: Place) -> None:
        """Notes that a run is not there any more."""
        if self.runs.pop(place, None) is not None:
            self._tell(place, EngineError("not-found", f"container {place[1]} is gone"))

    def forget(self, uid: str) -> None:
        """Notes that a sandbox is not there any more, with all that was in it."""
        self.sandboxes.pop(uid, None)
        for name, _ in list(self.of(uid)):
            self.forget_run((uid, name))

    async def wait(self, uid: str, name: str) -> ExitStatus:
        """Waits for the end of a run; raises EngineError."""
        run = self.run(uid, name)
        if run.exit is not None:
            return run.exit
        waiter: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault((uid, name), []).append(waiter)
        return await waiter


class Listing(msgspec.Struct, frozen=True):
    """What a runtime lists at one moment."""

    sandboxes: tuple[PodSandbox, ...]
    containers: tuple[Container, ...]

    def newest(self) -> dict[str, PodSandbox]:
        """Returns the last sandbox of each pod by its uid."""
        found: dict[str, PodSandbox] = {}
        for it in sorted(self.sandboxes, key=lambda it: it.created_at):
            found[uid_of(it.labels)] = it
        return found

    def runs(self) -> dict[Place, Container]:
        """Returns the runs by their names."""
        return {(uid_of(it.labels), name_of(it)): it for it in self.containers}


def is_ready(sandbox: PodSandbox) -> bool:
    """Whether a sandbox is as it was made."""
    return sandbox.state == READY


def exit_of(status: ContainerStatus) -> ExitStatus:
    """Returns how a run ended; of a signal the CRI does not tell."""
    oom = status.reason == OOM_KILLED
    return ExitStatus(status.exit_code, 0, status.started_at, status.finished_at, oom)


def state_of(name: str, status: ContainerStatus) -> ContainerState:
    """Returns a run as the agent knows it."""
    return ContainerState(
        id=name,
        status=_SHOWN.get(status.state, "stopped"),
        pid=0,
        created_at=status.created_at,
        started_at=status.started_at,
        finished_at=status.finished_at,
        exit=exit_of(status) if status.state == EXITED else None,
        reason=status.reason,
        log_lost_bytes=0,
    )


def sandbox_state(uid: str, sandbox: PodSandbox, runs: Iterable[ContainerState]) -> SandboxState:
    """Returns a sandbox as the agent knows it; of its namespaces nothing is known here."""
    nothing = dict.fromkeys(("netns", "ipcns", "utsns", "userns", "pidns", "shm", "cgroup"), "")
    return SandboxState(
        pod=uid,
        pid=0,
        created_at=sandbox.created_at,
        save_error="",
        containers=tuple(runs),
        lost=not is_ready(sandbox),
        **nothing,
    )
