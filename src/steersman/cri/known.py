"""The sandboxes and containers that there are: found by id, kept on disk, told to who watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Final, TypeVar

from msgspec.structs import replace

from steersman.cri.messages.runtime import CONTAINER_STOPPED, ContainerEventResponse
from steersman.cri.records import Container, Records, Sandbox
from steersman.cri.statuses import container_status, sandbox_status
from steersman.runtime.engine import ExitStatus
from steersman.wire.http2.grpc import NOT_FOUND, RESOURCE_EXHAUSTED, Failed
from steersman.world.interface import World

NANO: Final = 10**9
# Of a client that does not read: a kubelet lists everything anew when its stream breaks off
MAX_EVENTS: Final = 1000
# The exit of a container that nobody saw end (containerd's unknownExitCode)
UNKNOWN_EXIT: Final = 255
R = TypeVar("R", Sandbox, Container)


class Known:
    """See the module."""

    def __init__(self, records: Records, world: World) -> None:
        self._records = records
        self._world = world
        self.sandboxes = {it.id: it for it in records.load(Sandbox)}
        self.containers = {it.id: it for it in records.load(Container)}
        self._watchers: set[asyncio.Queue[ContainerEventResponse]] = set()

    def now(self) -> int:
        """Returns the time in ns since 1970."""
        return int(self._world.now() * NANO)

    def new_id(self) -> str:
        """Returns an id of 64 hex digits."""
        return (self._world.uid() + self._world.uid()).replace("-", "")

    def sandbox(self, id: str) -> Sandbox:
        """Returns a sandbox by its id or the beginning of it; raises Failed."""
        return _find(self.sandboxes, id, "sandbox")

    def container(self, id: str) -> Container:
        """Returns a container by its id or the beginning of it; raises Failed."""
        return _find(self.containers, id, "container")

    def has(self, kind: type[Sandbox | Container], id: str) -> bool:
        """Says whether an id, or the beginning of one, stands for any."""
        known = self.sandboxes if kind is Sandbox else self.containers
        return bool(id) and any(name.startswith(id) for name in known)

    def of(self, sandbox: str) -> list[Container]:
        """Returns the containers of a sandbox, oldest first."""
        return [it for it in self.containers.values() if it.sandbox == sandbox]

    def put(self, record: Sandbox | Container) -> None:
        """Takes over what is new of one, on disk first; raises OSError."""
        self._records.save(record)
        if isinstance(record, Sandbox):
            self.sandboxes[record.id] = record
        else:
            self.containers[record.id] = record

    def drop(self, record: Sandbox | Container) -> None:
        """Forgets one."""
        self._records.remove(record)
        known = self.sandboxes if isinstance(record, Sandbox) else self.containers
        known.pop(record.id, None)

    def started(self, id: str, at: int, user: tuple[int, ...]) -> None:
        """Notes that a container runs, and as whom, where that is not known."""
        container = self.containers.get(id)
        if container is not None and not container.started_at:
            self.put(replace(container, started_at=at, user=user))

    def end(self, id: str, exit: ExitStatus | None) -> None:
        """Notes that a container has ended, None for one that nobody saw end."""
        container = self.containers.get(id)
        if container is None or container.finished_at:
            return
        if exit is None:
            ended = replace(
                container, finished_at=self.now(), exit_code=UNKNOWN_EXIT, reason="Unknown"
            )
        else:
            reason = "OOMKilled" if exit.oom_killed else "Error" if exit.code else "Completed"
            ended = replace(
                container,
                started_at=container.started_at or exit.started_at,
                finished_at=exit.finished_at,
                exit_code=exit.code,
                reason=reason,
            )
        self.put(ended)
        self.tell(CONTAINER_STOPPED, ended.id, ended.sandbox)

    def lose(self, id: str) -> None:
        """Notes that a sandbox is gone, and what ran in it."""
        for container in self.of(id):
            self.end(container.id, None)
        if (sandbox := self.sandboxes.get(id)) is not None and sandbox.ready:
            self.put(replace(sandbox, ready=False))
            self.tell(CONTAINER_STOPPED, id, id)

    def tell(self, kind: int, id: str, sandbox: str) -> None:
        """Tells an event of a container, or of a sandbox by its own id."""
        if not self._watchers:
            return
        found = self.sandboxes.get(sandbox)
        event = ContainerEventResponse(
            container_id=id,
            container_event_type=kind,
            created_at=self.now(),
            pod_sandbox_status=None if found is None else sandbox_status(found),
            containers_statuses=tuple(container_status(it) for it in self.of(sandbox)),
        )
        for watcher in self._watchers:
            if not watcher.full():  # one that is has its stream broken off
                watcher.put_nowait(event)

    async def events(self) -> AsyncGenerator[ContainerEventResponse]:
        """Yields what happens from now on; raises Failed for who reads too slowly."""
        watcher: asyncio.Queue[ContainerEventResponse] = asyncio.Queue(MAX_EVENTS)
        self._watchers.add(watcher)
        try:
            while True:
                event = await watcher.get()
                if watcher.qsize() >= MAX_EVENTS - 1:
                    text = f"more than {MAX_EVENTS} events were not read"
                    raise Failed(RESOURCE_EXHAUSTED, text)
                yield event
        finally:
            self._watchers.discard(watcher)


def _find(known: Mapping[str, R], id: str, what: str) -> R:
    if (exact := known.get(id)) is not None:
        return exact
    found = [it for name, it in known.items() if id and name.startswith(id)]
    if len(found) != 1:
        text = f'an error occurred when try to find {what} "{id}": '
        text += "the id stands for several" if found else "not found"
        raise Failed(NOT_FOUND, text)
    return found[0]


def bears(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether labels have all that a filter names."""
    return all(labels.get(key) == value for key, value in wanted.items())


def only(records: Iterable[R], id: str) -> list[R]:
    """Returns those whose id begins so; all for no id."""
    return [it for it in records if it.id.startswith(id)]
