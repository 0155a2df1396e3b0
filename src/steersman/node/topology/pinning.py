"""Keeps containers on the processors that are theirs: as they begin, and while they run.

What is shared changes whenever a container gets processors for itself or gives them back; the
control groups of all others follow at once (cpumanager's reconcileState, without its ten seconds).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from steersman.model.kinds.pod import Pod
from steersman.node.observed import Observed, engine_name
from steersman.node.render.limits import Pin
from steersman.node.topology.cpu_lists import render_list
from steersman.node.topology.memory import Block, Memory
from steersman.node.topology.placing import given_to
from steersman.node.topology.processors import Processors
from steersman.runtime.engine import EngineError
from steersman.world.interface import World

# Of containers that end meanwhile
_GONE = ("not-found", "conflict", "lost")
log = logging.getLogger(__name__)


class Cared(Protocol):
    """A pod that the agent cares for."""

    seen: Observed


class Limiting(Protocol):
    """What changes the limits of containers that run (`engine.interface.Engine`)."""

    async def update(self, pod: str, container: str, resources: Mapping[str, Any]) -> None:
        """Changes limits (linux.resources) of a run; raises EngineError."""


class Pinning:
    """All containers of the node; without processors to give out they run anywhere, without
    memory they use that of any node."""

    def __init__(self, processors: Processors | None = None, memory: Memory | None = None) -> None:
        self._processors = processors
        self._memory = memory
        # What the group of each run was told last
        self._told: dict[tuple[str, str], str] = {}
        self._wake = asyncio.Event()
        if processors is not None:
            processors.changed = self._wake.set

    def begin(self, uid: str, container: str, attempt: int) -> Pin:
        """Returns where a container that is about to begin may run."""
        pin = self._pin(uid, container)
        self._told[uid, engine_name(container, attempt)] = pin.cpus
        return pin

    @property
    def fixed(self) -> str:
        """Who gives out parts of the machine, as the kubelet calls it; empty for nobody."""
        if self._processors is not None:
            return "CPU Manager"
        return "Memory Manager" if self._memory is not None else ""

    def has_exclusive(self, pod: Pod) -> bool:
        """Whether a container of a pod has processors for itself."""
        uid, processors = pod.metadata.uid, self._processors
        if processors is None:
            return False
        return any(processors.is_exclusive(uid, it.name) for it in given_to(pod))

    # For who watches the node (PodResources)

    def exclusive_cpus(self, uid: str, container: str) -> Iterable[int]:
        """Returns the processors that a container has for itself."""
        if self._processors is None or not self._processors.is_exclusive(uid, container):
            return ()
        return self._processors.cpus_of(uid, container)

    def blocks(self, uid: str, container: str) -> Iterable[Block]:
        """Returns the memory that a container has for itself."""
        return self._memory.blocks_of(uid, container) if self._memory is not None else ()

    def allocatable_cpus(self) -> Iterable[int]:
        """Returns the processors that containers can have for themselves."""
        return self._processors.allocatable if self._processors is not None else ()

    def allocatable_blocks(self) -> Iterable[Block]:
        """Returns the memory that containers can have for themselves."""
        return self._memory.allocatable() if self._memory is not None else ()

    def began(self) -> None:
        """Looks at what runs: it may have begun while what is shared changed."""
        if self._processors is not None:
            self._wake.set()

    async def run(
        self, engine: Limiting, cared: Callable[[], Iterable[Cared]], world: World
    ) -> None:
        """Follows what is shared, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            found = list(self._stale(cared()))
            async with world.tasks() as tasks:
                for uid, run, cpus in found:
                    tasks.start(self._move(engine, uid, run, cpus), name=f"processors of {run}")

    def _pin(self, uid: str, container: str) -> Pin:
        mems = render_list(self._memory.nodes_of(uid, container)) if self._memory else ""
        if self._processors is None:
            return Pin(mems=mems)
        cpus = render_list(self._processors.cpus_of(uid, container))
        return Pin(cpus, mems, self._processors.is_exclusive(uid, container))

    def _stale(self, cared: Iterable[Cared]) -> Iterator[tuple[str, str, str]]:
        """Yields pod and run whose group is to be told, and what; forgets what has ended."""
        known = [it.seen for it in cared]
        alive = {seen.uid for seen in known}
        self._told = {key: cpus for key, cpus in self._told.items() if key[0] in alive}
        for seen in known:
            for name, container in seen.containers.items():
                if container.run is None:
                    continue
                run = engine_name(name, container.run.attempt)
                if not container.running:
                    self._told.pop((seen.uid, run), None)
                    continue
                cpus = self._pin(seen.uid, name).cpus
                if self._told.get((seen.uid, run)) != cpus:
                    yield seen.uid, run, cpus

    async def _move(self, engine: Limiting, uid: str, run: str, cpus: str) -> None:
        try:
            await engine.update(uid, run, {"cpu": {"cpus": cpus}})
            self._told[uid, run] = cpus
        except EngineError as error:
            if error.kind not in _GONE:
                log.warning("%s of pod %s stays on other processors: %s", run, uid, error)
