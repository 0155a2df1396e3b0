"""Processors that containers have for themselves: the kubelet's static policy of the CPU manager.

Follows cpumanager/policy_static.go (KEP-3570). Guaranteed containers that ask for whole processors
get them alone; everybody else shares the rest, those reserved for the system with them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.model.quantity import parse
from steersman.model.types.container import Container
from steersman.node import containers
from steersman.node.render import limits
from steersman.node.topology import state_files
from steersman.node.topology.cpu_lists import CPUs, parse_list, render_list
from steersman.node.topology.machine import Topology
from steersman.node.topology.merging import bits, masks
from steersman.node.topology.placing import given_to, unexpected
from steersman.node.topology.providing import Hint, Refused
from steersman.node.topology.taking import Manner, NotEnough, take

POLICY: Final = "static"
NONE: Final[CPUs] = frozenset()
_ALIGNMENT: Final = "SMTAlignmentError"
log = logging.getLogger(__name__)


class Options(msgspec.Struct, frozen=True):
    """The options of the policy, by the kubelet's names."""

    full_pcpus_only: bool = False
    distribute_cpus_across_numa: bool = False
    align_by_socket: bool = False
    distribute_cpus_across_cores: bool = False
    strict_cpu_reservation: bool = False
    prefer_align_cpus_by_uncorecache: bool = False


class State(msgspec.Struct, frozen=True):
    """Who has which processors; `shared` is for everybody else. By pod and container."""

    shared: CPUs
    given: Mapping[str, Mapping[str, CPUs]] = {}


class Processors:
    """All processors of the machine. `changed` is called when others are shared than before."""

    def __init__(
        self,
        topology: Topology,
        reserved: CPUs,
        options: Options,
        path: Path,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._topology = topology
        self._reserved = reserved
        self._options = options
        self._path = path
        self.changed = changed
        per_core = topology.cpus_per_core
        self._manner = Manner(
            spread_nodes=options.distribute_cpus_across_numa,
            group=per_core if options.full_pcpus_only else 1,
            spread_cores=options.distribute_cpus_across_cores,
            keep_caches=options.prefer_align_cpus_by_uncorecache,
        )
        # What init containers had, which the containers after them may have again
        self._reusable: dict[str, CPUs] = {}
        self._state = self._load()

    # What is asked

    def cpus_of(self, uid: str, container: str) -> CPUs:
        """Returns the processors that a container may run on."""
        return self._state.given.get(uid, {}).get(container, self._state.shared)

    def is_exclusive(self, uid: str, container: str) -> bool:
        """Whether a container has processors for itself."""
        return container in self._state.given.get(uid, {})

    @property
    def allocatable(self) -> CPUs:
        """The processors that containers can have for themselves."""
        return self._topology.cpus - self._reserved

    def hints(self, pod: Pod, container: Container) -> Mapping[str, Sequence[Hint] | None]:
        """Returns the NUMA nodes from which whole processors can be had."""
        one = not container.name
        count = whole_of_pod(pod) if one else exclusive_count(pod, container)
        if not count or pod.spec.resources is not None:
            return {}
        uid = pod.metadata.uid
        given = self._state.given.get(uid, {})
        asked = given_to(pod) if one else (container,)
        had = [(given[it.name], exclusive_count(pod, it)) for it in asked if it.name in given]
        if any(len(cpus) != wanted for cpus, wanted in had):
            return {"cpu": []}
        held = NONE.union(*(cpus for cpus, _ in had))
        if len(held) == count:
            return {"cpu": self._hints(held, NONE, count)}
        reusable = self._reusable.get(uid, NONE) | held
        return {"cpu": self._hints(self._available(), reusable, count)}

    def _available(self) -> CPUs:
        return self._state.shared - self._reserved

    def _hints(self, available: CPUs, reusable: CPUs, count: int) -> list[Hint]:
        """Returns all sets of nodes with enough: good ones where fewer would never do."""
        topology = self._topology
        nodes = sorted(topology.ids("node"))
        least, found = len(nodes), []
        for mask in masks(nodes):
            chosen = bits(mask)
            if len(topology.within("node", chosen)) >= count:
                least = min(least, len(chosen))
            there = topology.within("node", chosen, available | reusable)
            if len(there) >= count and reusable <= there:
                found.append(mask)
        return [Hint(mask, self._is_good(mask, least)) for mask in found]

    def _is_good(self, mask: int, least: int) -> bool:
        if mask.bit_count() == least:
            return True
        per_socket = len(self._topology.ids("node")) // len(self._topology.ids("socket"))
        if not self._options.align_by_socket or not per_socket:
            return False
        cpus = self._topology.within("node", bits(mask))
        return len(self._topology.ids("socket", cpus)) == -(-least // per_socket)

    # What is given

    async def allocate(self, pod: Pod, container: Container, place: Hint) -> None:
        """Gives a container its processors. Raises Refused."""
        count = exclusive_count(pod, container)
        if not count or pod.spec.resources is not None:
            return
        uid = pod.metadata.uid
        had = self._state.given.get(uid, {}).get(container.name)
        if had is None:
            self._check_cores(count)
            had = self._take(uid, count, place)
            of_pod = {**self._state.given.get(uid, {}), container.name: had}
            given = {**self._state.given, uid: of_pod}
            self._become(State(self._state.shared - had, given))
        self._note_reusable(pod, container, had)

    def _check_cores(self, count: int) -> None:
        """Refuses parts of cores, and more cores than are wholly free."""
        if not self._options.full_pcpus_only:
            return
        per_core = self._topology.cpus_per_core
        if count % per_core:
            text = f"requested {count} cpus not multiple cpus per core = {per_core}"
            raise Refused(_ALIGNMENT, f"SMT Alignment Error: {text}")
        cores = self._topology.ids("core", self._reserved)
        free = len(self._state.shared - self._topology.within("core", cores))
        if count > free:
            text = (
                f"not enough free physical CPUs: available physical CPUs = {free}, "
                f"requested CPUs = {count}, CPUs per core = {per_core}"
            )
            raise Refused(_ALIGNMENT, f"SMT Alignment Error: {text}")

    def _take(self, uid: str, count: int, place: Hint) -> CPUs:
        free = self._available() | self._reusable.get(uid, NONE)
        try:
            found = NONE
            if place.nodes is not None:
                aligned = self._within(place.nodes, free)
                found = take(self._topology, aligned, min(count, len(aligned)), self._manner)
            return found | take(self._topology, free - found, count - len(found), self._manner)
        except NotEnough as error:
            raise unexpected(str(error)) from error

    def _within(self, nodes: int, free: CPUs) -> CPUs:
        if not self._options.align_by_socket:
            return self._topology.within("node", bits(nodes), free)
        inside = self._topology.within("node", bits(nodes))
        return self._topology.within("socket", self._topology.ids("socket", inside), free)

    def _note_reusable(self, pod: Pod, container: Container, cpus: CPUs) -> None:
        """Lets the containers after an init container have what it had; sidecars keep theirs."""
        uid = pod.metadata.uid
        before = self._reusable.get(uid, NONE)
        ends = containers.is_init(pod, container) and not containers.is_sidecar(container)
        self._reusable[uid] = before | cpus if ends else before - cpus

    def release(self, uid: str) -> None:
        """Shares again what a pod had."""
        self._reusable.pop(uid, None)
        if (had := self._state.given.get(uid)) is None:
            return
        given = {other: its for other, its in self._state.given.items() if other != uid}
        self._state = State(self._state.shared.union(*had.values()), given)
        try:
            self._save(self._state)
        except OSError as error:  # as on a full disk: the next change writes this one too
            log.warning("that pod %s has no processors any more is not noted: %s", uid, error)
        self.changed()

    def holders(self) -> Collection[str]:
        """Returns the pods that have processors."""
        return self._state.given.keys()

    def _become(self, state: State) -> None:
        """Takes over what is given out now, on disk first."""
        self._save(state)
        self._state = state
        self.changed()

    # On disk

    def _load(self) -> State:
        try:
            document = state_files.read(self._path)
            state = State(self._all()) if document is None else parse_state(document)
            check_state(state, self._all(), self._reserved, self._options)
        except (ValueError, msgspec.DecodeError) as error:
            raise state_files.refusal("CPU", self._path, error) from error
        if document is None:
            self._save(state)
        return state

    def _all(self) -> CPUs:
        strict = self._options.strict_cpu_reservation
        return self._topology.cpus - self._reserved if strict else self._topology.cpus

    def _save(self, state: State) -> None:
        state_files.write(self._path, render_state(state))


def exclusive_count(pod: Pod, container: Container) -> int:
    """Returns how many processors a container has for itself (guaranteedCPUs)."""
    if limits.quality(pod) != "Guaranteed":
        return 0
    asked = parse(container.resources.requests.get("cpu", "0"))
    milli = asked.milli()
    return 0 if milli % 1000 else milli // 1000


def whole_of_pod(pod: Pod) -> int:
    """Returns how many its containers need at once (podGuaranteedCPUs)."""
    beside = highest = 0
    for it in pod.spec.init_containers:
        count = exclusive_count(pod, it)
        if containers.is_sidecar(it):
            beside += count
        else:
            highest = max(highest, beside + count)
    return max(highest, beside + sum(exclusive_count(pod, it) for it in pod.spec.containers))


def parse_state(document: dict[str, Any]) -> State:
    """Reads what the file says. Raises ValueError."""
    if (policy := document.get("policyName")) != POLICY:
        text = f'configured policy "{POLICY}" differs from state checkpoint policy "{policy}"'
        raise ValueError(text)
    entries: dict[str, dict[str, str]] = document.get("entries", {})
    given = {
        uid: {name: parse_list(cpus) for name, cpus in its.items()} for uid, its in entries.items()
    }
    return State(parse_list(document.get("defaultCpuSet", "")), given)


def render_state(state: State) -> dict[str, Any]:
    """Returns what the file says."""
    entries = {
        uid: {name: render_list(cpus) for name, cpus in sorted(its.items())}
        for uid, its in sorted(state.given.items())
    }
    shared = {"policyName": POLICY, "defaultCpuSet": render_list(state.shared)}
    return {**shared, "entries": entries} if entries else shared


def check_state(state: State, cpus: CPUs, reserved: CPUs, options: Options) -> None:
    """Raises ValueError where what was given out does not fit the machine (validateState)."""
    if not state.shared and state.given:
        raise ValueError("default cpuset cannot be empty")
    shared = f'"{render_list(state.shared)}"'
    inside = reserved & state.shared
    if options.strict_cpu_reservation and inside:
        text = f'some of strictly reserved cpus: "{render_list(inside)}" are present'
        raise ValueError(f"{text} in defaultCpuSet: {shared}")
    if not options.strict_cpu_reservation and inside != reserved:
        text = f'not all reserved cpus: "{render_list(reserved)}" are present'
        raise ValueError(f"{text} in defaultCpuSet: {shared}")
    known = state.shared
    for uid, its in state.given.items():
        for name, had in its.items():
            if had & state.shared:
                text = f'pod: {uid}, container: {name} cpuset: "{render_list(had)}"'
                raise ValueError(f"{text} overlaps with default cpuset {shared}")
            known |= had
    if known != cpus:
        text = f'current set of available CPUs "{render_list(cpus)}"'
        raise ValueError(f'{text} doesn\'t match with CPUs in state "{render_list(known)}"')
