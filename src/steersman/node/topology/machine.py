"""How the machine is built: processors in cores, caches, sockets and NUMA nodes, memory in nodes.

Read once from /sys (Documentation/ABI/stable/sysfs-devices-node and sysfs-devices-system-cpu), as
cadvisor reads it for the kubelet. A machine without NUMA nodes has one, number 0.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from steersman.node.machine import read_pages
from steersman.node.topology.cpu_lists import CPUs, parse_list

SYS: Final = Path("/sys")
_KIB: Final = 1024
_SHARED_LEVEL: Final = "3"
Level = Literal["node", "socket", "cache", "core"]


class Processor(msgspec.Struct, frozen=True):
    """Where a processor is. A core is known by its lowest processor, and so is the last cache."""

    node: int
    socket: int
    cache: int
    core: int


class NodeMemory(msgspec.Struct, frozen=True):
    """What a NUMA node has: memory in all, and huge pages of each size in bytes, by count."""

    total_bytes: int
    pages: Mapping[int, int] = {}


class Topology(msgspec.Struct, frozen=True):
    """A machine; `distances` from each node to each."""

    processors: Mapping[int, Processor]
    memory: Mapping[int, NodeMemory]
    distances: Mapping[int, Mapping[int, int]]

    @property
    def cpus(self) -> CPUs:
        """All processors."""
        return frozenset(self.processors)

    @property
    def cpus_per_core(self) -> int:
        """How many processors a core has; on machines of several kinds of core, on average."""
        return len(self.processors) // len(self.ids("core"))

    def ids(self, level: Level, of: Collection[int] | None = None) -> set[int]:
        """Returns the numbers of what some processors are in, or all of them."""
        cpus = self.processors if of is None else of
        return {getattr(self.processors[cpu], level) for cpu in cpus}

    def within(self, level: Level, ids: Collection[int], of: Collection[int] | None = None) -> CPUs:
        """Returns the processors, of some or of all, that are in one of these."""
        cpus = self.processors if of is None else of
        return frozenset(it for it in cpus if getattr(self.processors[it], level) in ids)


def read(root: Path, memory_bytes: int, allowed: Collection[int] | None = None) -> Topology:
    """Reads how the machine is built, as far as processors are online and allowed. How much memory
    there is in all is said: a single node has it."""
    online = parse_list(_text(root / "devices/system/cpu/online"))
    cpus = online if allowed is None else online & frozenset(allowed)
    nodes = _nodes(root / "devices/system/node")
    node_of = {cpu: node for node, path in nodes.items() for cpu in _list(path / "cpulist")}
    processors = {cpu: _processor(root, cpu, cpus, node_of.get(cpu, 0)) for cpu in sorted(cpus)}
    if len(nodes) > 1:
        memory = {node: _memory(path) for node, path in nodes.items()}
    else:
        only = next(iter(nodes), 0)
        memory = {only: NodeMemory(memory_bytes, read_pages(root / "kernel/mm/hugepages"))}
    return Topology(processors, memory, _distances(nodes) or {0: {0: 10}})


def _nodes(directory: Path) -> dict[int, Path]:
    found = {int(path.name[4:]): path for path in directory.glob("node[0-9]*")}
    return dict(sorted(found.items()))


def _distances(nodes: Mapping[int, Path]) -> dict[int, dict[int, int]]:
    rows = {node: _text(path / "distance").split() for node, path in nodes.items()}
    return {
        node: dict(zip(nodes, map(int, row), strict=False)) if row else dict.fromkeys(nodes, 10)
        for node, row in rows.items()
    }


def _processor(root: Path, cpu: int, cpus: CPUs, node: int) -> Processor:
    directory = root / f"devices/system/cpu/cpu{cpu}"
    siblings = _list(directory / "topology/thread_siblings_list") & cpus
    # Some virtual machines have sockets number -1
    socket = max(int(_text(directory / "topology/physical_package_id") or 0), 0)
    shared = _last_cache(directory / "cache")
    if not shared:
        shared = _list(directory / "topology/core_siblings_list")
    return Processor(node, socket, min(shared & cpus, default=cpu), min(siblings, default=cpu))


def _last_cache(directory: Path) -> CPUs:
    for index in directory.glob("index[0-9]*"):
        if _text(index / "level") == _SHARED_LEVEL:
            return _list(index / "shared_cpu_list")
    return frozenset()


def _memory(node: Path) -> NodeMemory:
    # Node 0 MemTotal:       24684092 kB
    for line in _text(node / "meminfo").splitlines():
        words = line.split()
        if words[2:3] == ["MemTotal:"]:
            return NodeMemory(int(words[3]) * _KIB, read_pages(node / "hugepages"))
    return NodeMemory(0, read_pages(node / "hugepages"))


def _list(path: Path) -> CPUs:
    return parse_list(_text(path))


def _text(path: Path) -> str:
    """Returns what a file says, nothing where it is not there: kernels differ."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
