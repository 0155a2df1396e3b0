"""Puts together what gives out parts of the machine to pods: the placement and its providers.

Nothing here decides anything, but that what cannot be on this machine is an error of the start.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from steersman.model.quantity import Quantity, of_bytes, of_milli
from steersman.node.machine import Facts
from steersman.node.pressure.thresholds import MEMORY, NODE_DISK, RESOURCES, Level, Threshold
from steersman.node.render.swap import Swap
from steersman.node.topology import machine
from steersman.node.topology import memory as memories
from steersman.node.topology.cpu_lists import CPUs, render_list
from steersman.node.topology.machine import SYS, Topology
from steersman.node.topology.memory import Memory
from steersman.node.topology.merging import Alignment, mask_of
from steersman.node.topology.pinning import Pinning
from steersman.node.topology.placing import Placement
from steersman.node.topology.processors import POLICY, Processors
from steersman.node.topology.settings import BadSetting, Settings, memory_reserved, reserved_millis
from steersman.node.topology.state_files import check_absent
from steersman.node.topology.taking import Manner, take
from steersman.runtime.kernel import cgroups

CPU_STATE: Final = "cpu_manager_state"
MEMORY_STATE: Final = "memory_manager_state"
SWAPS: Final = Path("/proc/swaps")


class Parts(msgspec.Struct, frozen=True):
    """What the node is given of it."""

    placement: Placement
    pinning: Pinning


def read_topology(facts: Facts) -> Topology:
    """Returns how this machine is built, as far as this process may use it."""
    return machine.read(SYS, facts.memory_bytes, os.sched_getaffinity(0))


def make_parts(
    settings: Settings, topology: Topology, directory: Path, kept: Mapping[str, Quantity]
) -> Parts:
    """Returns placement and providers; what was given out before is in the node's directory.
    `kept` is what pods may not use in all.

    Raises BadSetting, BadState.
    """
    placement = Placement(_alignment(settings, topology))
    processors = memory = None
    path = directory / CPU_STATE
    if settings.cpu_policy == POLICY:
        reserved = _reserved_cpus(settings, topology)
        processors = Processors(topology, reserved, settings.cpu_options, path)
        placement.add(processors)
    else:
        check_absent("CPU", path, settings.cpu_policy)
    path = directory / MEMORY_STATE
    if settings.memory_policy == memories.POLICY:
        memory = Memory(topology, _reserved_memory(settings, topology, kept), path)
        placement.add(memory)
    else:
        check_absent("memory", path, settings.memory_policy)
    return Parts(placement, Pinning(processors, memory))


def _reserved_memory(
    settings: Settings, topology: Topology, kept: Mapping[str, Quantity]
) -> dict[int, dict[str, int]]:
    """Returns what the system keeps of each node, which is all that it keeps."""
    for node in settings.reserved_memory.keys() - topology.memory.keys():
        text = f"the reserved memory configuration references a NUMA node {node}"
        raise BadSetting(f"{text} that does not exist on this machine")
    named = {name for its in settings.reserved_memory.values() for name in its}
    for name in sorted(named | {memories.MEMORY}):
        there = of_bytes(memory_reserved(settings, name))
        wanted = kept.get(name, of_bytes(0))
        if there != wanted:
            text = f'the total amount "{there}" of type "{name}" is not equal to the value'
            raise BadSetting(f'{text} "{wanted}" determined by Node Allocatable feature')
    return {
        node: {name: amount.value() for name, amount in its.items()}
        for node, its in settings.reserved_memory.items()
    }


def reservation(settings: Settings, hard: Iterable[Threshold], facts: Facts) -> dict[str, Quantity]:
    """Returns what pods may not use: what is reserved, and what is left free at any price
    (node_container_manager_linux.go)."""
    found = dict(settings.reserved)
    if settings.reserved_cpus:
        found["cpu"] = of_milli(reserved_millis(settings))
    whole = {MEMORY: facts.memory_bytes, NODE_DISK: facts.disk_bytes}
    for threshold in hard:
        if threshold.hard and threshold.signal in whole:
            level = Level(whole[threshold.signal], whole[threshold.signal])
            name, kept = RESOURCES[threshold.signal], of_bytes(threshold.quantity(level))
            found[name] = found[name] + kept if name in found else kept
    return found


def make_swap(settings: Settings, facts: Facts) -> Swap:
    """Returns how much swap pods get. Raises BadSetting where there must be none."""
    if settings.fail_swap_on and facts.swap_bytes:
        contained = SWAPS.read_text().strip()
        raise BadSetting(
            "running with swap on is not supported, please disable swap or set --fail-swap-on "
            f"flag to false. /proc/swaps contained: {contained}"
        )
    counted = cgroups.counts_swap()
    return Swap(settings.swap, counted, facts.memory_bytes, facts.swap_bytes)


def _alignment(settings: Settings, topology: Topology) -> Alignment:
    nodes = topology.memory
    if settings.policy != "none" and len(nodes) > settings.most_nodes:
        text = f"unsupported on machines with more than {settings.most_nodes} NUMA Nodes"
        raise BadSetting(f"--topology-manager-policy {settings.policy}: {text}")
    made = Alignment(settings.policy, settings.scope, settings.closest)
    return replace(made, nodes=mask_of(nodes), distances=topology.distances)


def _reserved_cpus(settings: Settings, topology: Topology) -> CPUs:
    """Returns the processors that nobody gets alone: those named, or as many of the lowest."""
    cpus = topology.cpus
    many_sockets = len(topology.ids("socket")) > len(topology.ids("node"))
    if settings.cpu_options.align_by_socket and many_sockets:
        raise BadSetting(
            "Align by socket is not compatible with hardware where number of sockets are more "
            "than number of NUMA"
        )
    if not settings.reserved_cpus <= cpus:
        named, there = render_list(settings.reserved_cpus), render_list(cpus)
        raise BadSetting(f"--reserved-cpus {named}: this machine has {there}")
    count = -(-reserved_millis(settings) // 1000)
    if count > len(cpus):
        text = f"{count} processors are to be reserved of {len(cpus)}"
        raise BadSetting(f"unable to reserve the required amount of CPUs: {text}")
    return settings.reserved_cpus or take(topology, cpus, count, Manner())
