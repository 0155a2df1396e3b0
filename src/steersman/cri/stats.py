"""What sandboxes and containers use, as their control groups say when it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from steersman.cri.known import NANO, bears, only
from steersman.cri.messages.containers import RUNNING
from steersman.cri.messages.stats import (
    ContainerAttributes,
    ContainerStats,
    ContainerStatsFilter,
    ContainerStatsRequest,
    ContainerStatsResponse,
    CpuUsage,
    LinuxPodSandboxStats,
    ListContainerStatsRequest,
    ListContainerStatsResponse,
    ListPodSandboxStatsRequest,
    ListPodSandboxStatsResponse,
    MemoryUsage,
    NetworkInterfaceUsage,
    NetworkUsage,
    PodSandboxAttributes,
    PodSandboxStats,
    PodSandboxStatsFilter,
    PodSandboxStatsRequest,
    PodSandboxStatsResponse,
    ProcessUsage,
)
from steersman.cri.messages.values import UInt64Value
from steersman.cri.records import Container, Sandbox
from steersman.cri.tools import Tools
from steersman.node.measure.reading import Reading, Traffic, parse_traffic, read_group
from steersman.runtime.engine import EngineError, SandboxState
from steersman.runtime.kernel.cgroups import find_hierarchies, opener
from steersman.wire.http2.grpc import FAILED_PRECONDITION, Failed

PROC: Final = Path("/proc")


class Stats:
    """The calls about use."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._known = tools.known
        self._open = opener(find_hierarchies())

    async def container(self, asked: ContainerStatsRequest) -> ContainerStatsResponse:
        """Says what one container uses; raises Failed."""
        container = self._known.container(asked.container_id)
        (found,) = await self._containers([container])
        return ContainerStatsResponse(found)

    async def containers(self, asked: ListContainerStatsRequest) -> ListContainerStatsResponse:
        """Says what all containers use that run."""
        wanted = asked.filter or ContainerStatsFilter()
        found = [
            it
            for it in only(self._known.containers.values(), wanted.id)
            if it.state == RUNNING
            and it.sandbox.startswith(wanted.pod_sandbox_id)
            and bears(it.config.labels, wanted.label_selector)
        ]
        return ListContainerStatsResponse(tuple(await self._containers(found)))

    async def sandbox(self, asked: PodSandboxStatsRequest) -> PodSandboxStatsResponse:
        """Says what one sandbox uses; raises Failed."""
        sandbox = self._known.sandbox(asked.pod_sandbox_id)
        found = await self._sandboxes([sandbox])
        if not found:
            raise Failed(FAILED_PRECONDITION, f'sandbox "{sandbox.id}" is not running')
        return PodSandboxStatsResponse(found[0])

    async def sandboxes(self, asked: ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse:
        """Says what all sandboxes use that run."""
        wanted = asked.filter or PodSandboxStatsFilter()
        found = [
            it
            for it in only(self._known.sandboxes.values(), wanted.id)
            if it.ready and bears(it.config.labels, wanted.label_selector)
        ]
        return ListPodSandboxStatsResponse(tuple(await self._sandboxes(found)))

    async def _places(self, wanted: Iterable[str]) -> dict[str, SandboxState]:
        """Returns the sandboxes of these that run."""
        found = {}
        for id in sorted(set(wanted)):
            with suppress(EngineError):  # it has ended, or is about to
                found[id] = await self._tools.engine.sandbox(id)
        return found

    async def _containers(self, wanted: Sequence[Container]) -> list[ContainerStats]:
        places = await self._places(it.sandbox for it in wanted)
        return await asyncio.to_thread(
            lambda: [self._container(it, places.get(it.sandbox)) for it in wanted]
        )

    def _container(self, container: Container, place: SandboxState | None) -> ContainerStats:
        config = container.config
        attributes = ContainerAttributes(
            container.id, config.metadata, config.labels, config.annotations
        )
        reading = None if place is None else self._read(f"{place.cgroup}/{container.id}")
        if reading is None:
            return ContainerStats(attributes)
        return ContainerStats(attributes, render_cpu(reading), render_memory(reading))

    def _read(self, group: str) -> Reading | None:
        return read_group(self._open(group), self._tools.world.now())

    async def _sandboxes(self, wanted: Sequence[Sandbox]) -> list[PodSandboxStats]:
        places = await self._places(it.id for it in wanted)
        found = [(it, places[it.id]) for it in wanted if it.id in places]
        return await asyncio.to_thread(lambda: [self._sandbox(*it) for it in found])

    def _sandbox(self, sandbox: Sandbox, place: SandboxState) -> PodSandboxStats:
        config = sandbox.config
        attributes = PodSandboxAttributes(
            sandbox.id, config.metadata, config.labels, config.annotations
        )
        reading = self._read(place.cgroup)
        if reading is None:
            return PodSandboxStats(attributes)
        running = [it for it in self._known.of(sandbox.id) if it.state == RUNNING]
        linux = LinuxPodSandboxStats(
            cpu=render_cpu(reading),
            memory=render_memory(reading),
            network=render_network(_traffic(place.pid), int(reading.time * NANO)),
            process=ProcessUsage(int(reading.time * NANO), UInt64Value(reading.processes)),
            containers=tuple(self._container(it, place) for it in running),
        )
        return PodSandboxStats(attributes, linux)


def render_cpu(reading: Reading) -> CpuUsage:
    """Returns the processor's part of a reading."""
    return CpuUsage(int(reading.time * NANO), UInt64Value(reading.cpu_nanos))


def render_memory(reading: Reading) -> MemoryUsage:
    """Returns the memory's part of a reading."""
    free = reading.limit_bytes - reading.working_set_bytes
    return MemoryUsage(
        timestamp=int(reading.time * NANO),
        working_set_bytes=UInt64Value(reading.working_set_bytes),
        available_bytes=UInt64Value(max(0, free)) if reading.limit_bytes else None,
        usage_bytes=UInt64Value(reading.usage_bytes),
        rss_bytes=UInt64Value(reading.rss_bytes),
    )


def render_network(traffic: Iterable[Traffic], timestamp: int) -> NetworkUsage:
    """Returns what went through the interfaces of a sandbox; eth0 is its default one."""
    usages = {it.name: _interface(it) for it in traffic if it.name != "lo"}
    default = usages.pop("eth0", None)
    return NetworkUsage(timestamp, default, tuple(usages.values()))


def _interface(traffic: Traffic) -> NetworkInterfaceUsage:
    return NetworkInterfaceUsage(
        name=traffic.name,
        rx_bytes=UInt64Value(traffic.received_bytes),
        rx_errors=UInt64Value(traffic.received_errors),
        tx_bytes=UInt64Value(traffic.sent_bytes),
        tx_errors=UInt64Value(traffic.sent_errors),
    )


def _traffic(pid: int) -> list[Traffic]:
    try:
        return list(parse_traffic((PROC / str(pid) / "net/dev").read_text()))
    except OSError:  # it has ended meanwhile
        return []
