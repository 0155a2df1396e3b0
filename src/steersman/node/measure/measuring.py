"""Looks at everything that runs on this node, once, when it is asked."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from steersman.node.measure.reading import (
    Disk,
    Reading,
    Traffic,
    parse_traffic,
    read_group,
    read_machine,
)
from steersman.node.observed import Observed, container_id, engine_name
from steersman.runtime.engine import EngineError
from steersman.world.interface import World

if TYPE_CHECKING:
    from steersman.runtime.kernel.cgroups import Cgroup

PROC: Final = Path("/proc")


class Told(msgspec.Struct, frozen=True):
    """What another engine than ours tells of a container: what it uses, and the bytes that it has
    written to its layer."""

    reading: Reading
    written_bytes: int = 0


Ask = Callable[[], Awaitable[Mapping[tuple[str, str], Told]]]


class Measured(msgspec.Struct, frozen=True):
    """One container that runs: the id by which the runtime knows it, what it uses, its image, and
    the id that its status shows, without the runtime's name."""

    name: str
    id: str
    began: float
    reading: Reading
    image: str = ""
    shown_id: str = ""


class MeasuredPod(msgspec.Struct, frozen=True):
    """One pod that runs; `whole` is what its control group says, None where that has gone."""

    namespace: str
    name: str
    uid: str
    began: float
    whole: Reading | None
    containers: tuple[Measured, ...]
    traffic: tuple[Traffic, ...]
    group: str = ""  # below that of all pods


class Machine(msgspec.Struct, frozen=True):
    """The node itself."""

    booted: float
    whole: Reading
    disk: Disk
    images: Disk
    traffic: tuple[Traffic, ...]
    most_processes: int


class Measuring:
    """See the module.

    seen:  gives what the agent observes of its pods
    open:  gives the control group of a path
    root:  the control group of all pods
    disk, images: directories on the disks that pods and images are on
    ask:   asks an engine for its containers by pod and name, whose groups are its own; raises
           EngineError
    """

    def __init__(
        self,
        seen: Callable[[], Iterable[Observed]],
        open: Callable[[str], Cgroup],
        root: str,
        disk: Path,
        images: Path,
        world: World,
        *,
        proc: Path = PROC,
        ask: Ask | None = None,
    ) -> None:
        self._ask = ask
        self._told: Mapping[tuple[str, str], Told] = {}
        self._seen = seen
        self._open = open
        self._root = root
        self._disk = disk
        self._images = images
        self._world = world
        self._proc = proc

    async def look(self) -> None:
        """Asks the engine where that is needed, to be done before `pods`; raises OSError."""
        if self._ask is None:
            return
        try:
            self._told = await self._ask()
        except EngineError as error:
            raise OSError(f"what containers use is not told: {error}") from error

    @property
    def written(self) -> Mapping[tuple[str, str], int]:
        """What containers have written, as far as the engine keeps that to itself."""
        return {place: it.written_bytes for place, it in self._told.items()}

    def states(self) -> list[Observed]:
        """Returns the pods that have a sandbox, as they are known without looking."""
        return [seen for seen in self._seen() if seen.sandbox is not None]

    def pods(self) -> list[MeasuredPod]:
        """Looks at the pods that run."""
        found = (self._pod(seen) for seen in self._seen() if seen.sandbox is not None)
        return sorted(found, key=lambda pod: (pod.namespace, pod.name))

    def _pod(self, seen: Observed) -> MeasuredPod:
        group = (seen.sandbox.group if seen.sandbox is not None else "") or f"pod{seen.uid}"
        path = f"{self._root}/{group}"
        containers = []
        for name, known in sorted(seen.containers.items()):
            if known.run is None or not known.running:
                continue
            own = engine_name(name, known.run.attempt)
            reading = self._reading(seen.uid, own, path)
            if reading is not None:
                run, id = known.run, known.run.id.rpartition("/")[2]
                shown = id or container_id(seen.uid, name, run.attempt).rpartition("/")[2]
                containers.append(
                    Measured(name, id or own, run.started_at, reading, known.image, shown)
                )
        return MeasuredPod(
            seen.namespace,
            seen.name,
            seen.uid,
            seen.began_at,
            read_group(self._open(path), self._world.now()),
            tuple(containers),
            self._traffic(seen.sandbox.pid if seen.sandbox is not None else 0),
            group,
        )

    def _reading(self, uid: str, run: str, path: str) -> Reading | None:
        if self._ask is None:
            return read_group(self._open(f"{path}/{run}"), self._world.now())
        told = self._told.get((uid, run))
        return None if told is None else told.reading

    def _traffic(self, pid: int) -> tuple[Traffic, ...]:
        try:
            return tuple(parse_traffic((self._proc / str(pid) / "net/dev").read_text()))
        except OSError:
            return ()

    def machine(self) -> Machine:
        """Looks at the machine."""
        now = self._world.now()
        uptime = float((self._proc / "uptime").read_text().split()[0])
        most = int((self._proc / "sys/kernel/pid_max").read_text())
        whole = read_machine(self._proc, os.sysconf("SC_CLK_TCK"), now)
        traffic = self._traffic(1)
        return Machine(
            now - uptime, whole, read_disk(self._disk), read_disk(self._images), traffic, most
        )


def read_disk(directory: Path) -> Disk:
    """Looks at the file system on which a directory is."""
    found = os.statvfs(directory)
    return Disk(
        found.f_blocks * found.f_frsize,
        found.f_bavail * found.f_frsize,
        (found.f_blocks - found.f_bfree) * found.f_frsize,
        found.f_files,
        found.f_ffree,
    )
