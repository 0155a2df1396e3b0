"""Memory and huge pages that Guaranteed containers get from certain NUMA nodes: the kubelet's
Static policy of the memory manager (KEP-1769, memorymanager/policy_static.go).

One rule: what nodes have left follows from what was given out, and is never counted beside it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from steersman.model.kinds.pod import Pod
from steersman.model.quantity import parse
from steersman.model.types.container import Container
from steersman.node import containers
from steersman.node.render import huge_pages, limits
from steersman.node.topology import state_files
from steersman.node.topology.machine import NodeMemory, Topology
from steersman.node.topology.merging import bits, mask_of, masks
from steersman.node.topology.placing import given_to, unexpected
from steersman.node.topology.providing import Hint

POLICY: Final = "Static"
MEMORY: Final = "memory"
Amounts = Mapping[str, int]


class Block(msgspec.Struct, frozen=True):
    """So much of one sort of memory, from a set of nodes."""

    nodes: int
    type: str
    size: int


class Table(msgspec.Struct, frozen=True):
    """What a node has of one sort of memory."""

    total: int
    reserved_for_system: int
    given: int = 0

    @property
    def allocatable(self) -> int:
        """What containers may have."""
        return self.total - self.reserved_for_system

    @property
    def free(self) -> int:
        """What nobody has."""
        return self.allocatable - self.given


class NodeState(msgspec.Struct, frozen=True):
    """What a node has and has given: `group` are the nodes from which it gives together."""

    tables: Mapping[str, Table]
    group: int
    assignments: int = 0


log = logging.getLogger(__name__)
Given = Mapping[str, Mapping[str, tuple[Block, ...]]]
State = Mapping[int, NodeState]


class Memory:
    """The memory of all nodes. `reserved` is what the system keeps of each."""

    def __init__(self, topology: Topology, reserved: Mapping[int, Amounts], path: Path) -> None:
        self._path = path
        self._empty = {
            node: _empty_node(node, has, reserved.get(node, {}))
            for node, has in topology.memory.items()
        }
        # What init containers had, which those after them may have again: by pod, set of nodes
        self._reusable: dict[str, dict[tuple[int, str], int]] = {}
        self._given = self._load()

    # What is asked

    def nodes_of(self, uid: str, container: str) -> list[int]:
        """Returns the nodes whose memory a container may use, none where it may use all."""
        nodes = 0
        for block in self._given.get(uid, {}).get(container, ()):
            nodes |= block.nodes
        return bits(nodes)

    def blocks_of(self, uid: str, container: str) -> Iterable[Block]:
        """Returns the memory that a container has for itself."""
        return self._given.get(uid, {}).get(container, ())

    def allocatable(self) -> Iterator[Block]:
        """Yields the memory that containers can have for themselves, node by node."""
        for node, state in self._empty.items():
            for name, table in state.tables.items():
                if table.allocatable:
                    yield Block(1 << node, name, table.allocatable)

    def hints(self, pod: Pod, container: Container) -> Mapping[str, Sequence[Hint] | None]:
        """Returns for each sort of memory the sets of nodes that have enough of all."""
        if not _is_served(pod):
            return {}
        asked = (container,) if container.name else given_to(pod)
        given = self._given.get(pod.metadata.uid, {})
        if had := [block for one in asked for block in given.get(one.name, ())]:
            return {block.type: [Hint(block.nodes, preferred=True)] for block in had}
        wanted = requested(container)
        found = self._hints(pod, wanted)
        return dict.fromkeys(wanted, found) if found else {}

    def _hints(self, pod: Pod, wanted: Amounts) -> list[Hint]:
        state = self._state()
        least, fitting = len(state), []
        for mask in masks(state):
            nodes = [state[node] for node in bits(mask)]
            if any(_sum(nodes, name, "allocatable") < size for name, size in wanted.items()):
                continue
            least = min(least, mask.bit_count())
            if _mixes(nodes, mask):
                continue
            if all(
                _sum(nodes, name, "free") + self._reusable_of(pod, mask, name) >= size
                for name, size in wanted.items()
            ):
                fitting.append(mask)
        return [Hint(mask, mask.bit_count() == least) for mask in fitting]

    def _reusable_of(self, pod: Pod, nodes: int, name: str) -> int:
        return self._reusable.get(pod.metadata.uid, {}).get((nodes, name), 0)

    # What is given

    async def allocate(self, pod: Pod, container: Container, place: Hint) -> None:
        """Gives a container its memory. Raises Refused."""
        if not _is_served(pod) or not (wanted := requested(container)):
            return
        uid = pod.metadata.uid
        of_pod = dict(self._given.get(uid, {}))
        blocks = of_pod.get(container.name)
        if blocks is None:
            nodes = self._choose(pod, wanted, place)
            blocks = tuple(Block(nodes, name, size) for name, size in sorted(wanted.items()))
            of_pod = _without_reused(pod, container, of_pod, blocks)
            self._become({**self._given, uid: {**of_pod, container.name: blocks}})
        self._note_reusable(pod, container, blocks)

    def _choose(self, pod: Pod, wanted: Amounts, place: Hint) -> int:
        """Returns the nodes: those of the place, or more of them where these have not enough."""
        state, hints = self._state(), self._hints(pod, wanted)
        found = place
        if found.nodes is None:
            if not hints:
                raise _failed(
                    "failed to get the default NUMA affinity, no NUMA nodes with enough memory "
                    "is available"
                )
            found = _best(hints)
            if place.preferred and not found.preferred:
                raise _failed("failed to find the default preferred hint")
        assert found.nodes is not None
        nodes = [state[node] for node in bits(found.nodes)]
        if any(_sum(nodes, name, "free") < size for name, size in wanted.items()):
            found = self._extend(hints, found)
        assert found.nodes is not None
        if _mixes([state[node] for node in bits(found.nodes)], found.nodes, single=False):
            raise _failed("preferred hint violates NUMA node allocation")
        return found.nodes

    def _extend(self, hints: Sequence[Hint], place: Hint) -> Hint:
        around = [it for it in hints if (it.nodes or 0) & (place.nodes or 0) == place.nodes]
        if not around:
            raise _failed("failed to find NUMA nodes to extend the current topology hint")
        found = _best(around)
        if place.preferred and not found.preferred:
            raise _failed("failed to find the extended preferred hint")
        return found

    def _note_reusable(self, pod: Pod, container: Container, blocks: Iterable[Block]) -> None:
        ends = containers.is_init(pod, container) and not containers.is_sidecar(container)
        of_pod = self._reusable.setdefault(pod.metadata.uid, {})
        for block in blocks:
            key = block.nodes, block.type
            left = of_pod.get(key, 0)
            of_pod[key] = max(left, block.size) if ends else max(0, left - block.size)

    def release(self, uid: str) -> None:
        """Takes back what a pod has."""
        self._reusable.pop(uid, None)
        if uid in self._given:
            self._given = {other: its for other, its in self._given.items() if other != uid}
            try:
                self._save(self._given)
            except OSError as error:  # as on a full disk: the next change writes this one too
                log.warning("that pod %s has no memory any more is not noted: %s", uid, error)

    def holders(self) -> Collection[str]:
        """Returns the pods that have memory."""
        return self._given.keys()

    def _become(self, given: Given) -> None:
        """Takes over what is given out now, on disk first."""
        self._save(given)
        self._given = given

    def _state(self) -> State:
        return count(self._empty, self._given)

    # On disk

    def _load(self) -> Given:
        try:
            document = state_files.read(self._path)
            given = parse_state(document, self._empty) if document is not None else {}
        except (ValueError, msgspec.MsgspecError) as error:
            raise state_files.refusal("memory", self._path, error) from error
        if document is None:
            self._save(given)
        return given

    def _save(self, given: Given) -> None:
        state_files.write(self._path, render_state(count(self._empty, given), given))


def requested(container: Container) -> dict[str, int]:
    """Returns how much a container asks for of each sort of memory."""
    return {
        name: parse(amount).value()
        for name, amount in container.resources.requests.items()
        if name == MEMORY or name.startswith(huge_pages.RESOURCE)
    }


def _is_served(pod: Pod) -> bool:
    return limits.quality(pod) == "Guaranteed" and pod.spec.resources is None


def _failed(why: str) -> Exception:
    return unexpected(f"[memorymanager] {why}")


def _best(hints: Iterable[Hint]) -> Hint:
    """Returns a good place before another, one with few nodes before one with many."""

    def order(hint: Hint) -> tuple[bool, int, int]:
        nodes = hint.nodes or 0
        return not hint.preferred, nodes.bit_count(), nodes

    return min(hints, key=order)


def _mixes(nodes: Iterable[NodeState], mask: int, *, single: bool = True) -> bool:
    """Whether memory from one node would be given beside memory from several together. It is said
    whether that counts for a single node too."""
    if mask.bit_count() == 1:
        return single and any(it.group.bit_count() > 1 for it in nodes)
    return any(it.assignments and it.group != mask for it in nodes)


def _sum(nodes: Iterable[NodeState], name: str, what: str) -> int:
    return sum(getattr(it.tables[name], what) for it in nodes if name in it.tables)


def _without_reused(
    pod: Pod, container: Container, of_pod: dict[str, tuple[Block, ...]], blocks: Iterable[Block]
) -> dict[str, tuple[Block, ...]]:
    """Returns what a pod has, without what a container takes over of init containers: the sum
    stays what the pod has in all."""
    left = {(it.nodes, it.type): it.size for it in blocks}
    for one in pod.spec.init_containers:
        if one.name == container.name:
            break
        if containers.is_sidecar(one) or one.name not in of_pod:
            continue
        kept = []
        for block in of_pod[one.name]:
            taken = min(block.size, left.get((block.nodes, block.type), 0))
            if taken:
                left[block.nodes, block.type] -= taken
            kept.append(replace(block, size=block.size - taken))
        of_pod = {**of_pod, one.name: tuple(kept)}
    return of_pod


def _empty_node(node: int, has: NodeMemory, reserved: Amounts) -> NodeState:
    named = ((huge_pages.resource_of(size), size * count) for size, count in has.pages.items())
    tables = {name: Table(total, reserved.get(name, 0)) for name, total in named}
    in_pages = sum(table.total for table in tables.values())
    tables[MEMORY] = Table(has.total_bytes, reserved.get(MEMORY, 0) + in_pages)
    return NodeState(tables, mask_of((node,)))


def count(empty: State, given: Given) -> State:
    """Returns what nodes have once all that is given is taken from them."""
    state = dict(empty)
    for block in _blocks(given):
        left = block.size
        for node in bits(block.nodes):
            before = state[node]
            table = before.tables[block.type]
            taken = min(left, max(0, table.free))
            left -= taken
            tables = {**before.tables, block.type: replace(table, given=table.given + taken)}
            state[node] = NodeState(tables, block.nodes, before.assignments + 1)
    return state


def _blocks(given: Given) -> Iterator[Block]:
    return (block for its in given.values() for blocks in its.values() for block in blocks)


def render_state(state: State, given: Given) -> dict[str, Any]:
    """Returns what the file says."""
    document = {
        "policyName": POLICY,
        "machineState": {str(node): _render_node(its) for node, its in sorted(state.items())},
    }
    entries = {
        uid: {name: [_render_block(it) for it in blocks] for name, blocks in sorted(its.items())}
        for uid, its in sorted(given.items())
    }
    return {**document, "entries": entries} if entries else document


def _render_block(block: Block) -> dict[str, Any]:
    return {"numaAffinity": bits(block.nodes), "type": block.type, "size": block.size}


def _render_node(node: NodeState) -> dict[str, Any]:
    pages = sum(it.total for name, it in node.tables.items() if name != MEMORY)
    return {
        "numberOfAssignments": node.assignments,
        "memoryMap": {
            name: _render_table(table, pages if name == MEMORY else 0)
            for name, table in sorted(node.tables.items())
        },
        "cells": bits(node.group),
    }


def _render_table(table: Table, pages: int) -> dict[str, int]:
    return {
        "total": table.total,
        "systemReserved": table.reserved_for_system - pages,
        "allocatable": table.allocatable,
        "reserved": table.given,
        "free": table.free,
    }


class _FileBlock(msgspec.Struct, frozen=True, rename="camel"):
    numa_affinity: list[int]
    type: str
    size: int


class _FileTable(msgspec.Struct, frozen=True, rename="camel"):
    total: int
    system_reserved: int
    allocatable: int


class _FileNode(msgspec.Struct, frozen=True, rename="camel"):
    memory_map: dict[str, _FileTable]


class _File(msgspec.Struct, frozen=True, rename="camel"):
    policy_name: str
    machine_state: dict[str, _FileNode] = {}
    entries: dict[str, dict[str, list[_FileBlock]]] = {}


def parse_state(document: dict[str, Any], empty: State) -> Given:
    """Reads what the file says was given out. Raises ValueError where that does not fit the
    machine (validateState)."""
    file = msgspec.convert(document, _File)
    if file.policy_name != POLICY:
        text = f'configured policy "{POLICY}" differs from state checkpoint policy'
        raise ValueError(f'{text} "{file.policy_name}"')
    expected = msgspec.convert(render_state(empty, {}), _File).machine_state
    if file.machine_state != expected:
        raise ValueError(
            "[memorymanager] the expected machine state is different from the real one"
        )
    given = {
        uid: {
            name: tuple(Block(mask_of(it.numa_affinity), it.type, it.size) for it in blocks)
            for name, blocks in its.items()
        }
        for uid, its in file.entries.items()
    }
    for uid, its in given.items():
        for name, blocks in its.items():
            for node, block in ((node, it) for it in blocks for node in bits(it.nodes)):
                _check_block(f"(pod: {uid}, container: {name})", empty.get(node), block)
    return given


def _check_block(whose: str, node: NodeState | None, block: Block) -> None:
    start = f"[memorymanager] {whose} the memory assignment uses"
    if node is None:
        raise ValueError(f"{start} the NUMA that does not exist")
    if block.type not in node.tables:
        raise ValueError(f"{start} memory resource that does not exist")
