"""Machines as /sys shows them, written to a folder: what was recorded of real ones, by their build.

Each has the files that the kernel has, in its forms, as far as the node reads them.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from steersman.node.topology.cpu_lists import parse_list, render_list
from steersman.node.topology.machine import Topology, read

GIB = 1 << 30


class Build(NamedTuple):
    """How a machine is built: of each socket and NUMA node its processors, of each core its
    threads' distance, and how many cores share a last cache, 0 for all of a socket."""

    sockets: tuple[str, ...]
    nodes: tuple[str, ...]
    sibling: int = 0
    cache: int = 0
    distances: tuple[str, ...] = ()
    gib: int = 16
    pages: int = 0


SINGLE_HT = Build(("0-7",), ("0-7",), sibling=4)
DUAL_HT = Build(("0,2,4,6,8,10", "1,3,5,7,9,11"), ("0,2,4,6,8,10", "1,3,5,7,9,11"), sibling=6)
DUAL = Build(("0-3", "4-7"), ("0-3", "4-7"))
# 2 x Xeon Gold 6230, sub-NUMA clustering on
XEON = Build(
    ("0-19,40-59", "20-39,60-79"),
    ("0-9,40-49", "10-19,50-59", "20-29,60-69", "30-39,70-79"),
    sibling=40,
    distances=("10 11 21 21", "11 10 21 21", "21 21 10 11", "21 21 11 10"),
)
# Four sockets on two NUMA nodes, as some virtual machines are told
FOUR_ON_TWO = Build(
    ("0-9,40-49", "10-19,50-59", "20-29,60-69", "30-39,70-79"),
    ("0-19,40-59", "20-39,60-79"),
    sibling=40,
)
# An EPYC with four cores to a cache
EPYC = Build(("0-15",), ("0-15",), cache=4)
EPYC_SMT = Build(("0-15",), ("0-15",), sibling=8, cache=4)


def tree(root: Path, build: Build) -> Path:
    """Writes the tree of a machine."""
    cpus = sorted(parse_list(",".join(build.sockets)))
    _write(root / "devices/system/cpu/online", render_list(cpus))
    for number, socket in enumerate(build.sockets):
        _write_socket(root / "devices/system/cpu", build, number, sorted(parse_list(socket)))
    for number, node in enumerate(build.nodes):
        directory = root / f"devices/system/node/node{number}"
        _write(directory / "cpulist", node)
        row = build.distances[number] if build.distances else _row(number, len(build.nodes))
        _write(directory / "distance", row)
        total = build.gib * GIB // 1024
        _write(
            directory / "meminfo",
            f"Node {number} MemTotal:       {total} kB\nNode {number} MemFree:        1 kB",
        )
        _write_pages(directory / "hugepages", build.pages)
    _write_pages(root / "kernel/mm/hugepages", build.pages * len(build.nodes))
    return root


def _write_socket(directory: Path, build: Build, number: int, cpus: list[int]) -> None:
    cores = [cpu for cpu in cpus if not build.sibling or cpu < build.sibling]
    for place, core in enumerate(cores):
        threads = [core, core + build.sibling] if build.sibling else [core]
        group = cores
        if build.cache:
            start = place // build.cache * build.cache
            group = cores[start : start + build.cache]
        shared = [*group, *(it + build.sibling for it in group if build.sibling)]
        for cpu in threads:
            here = directory / f"cpu{cpu}"
            _write(here / "topology/physical_package_id", str(number))
            _write(here / "topology/thread_siblings_list", render_list(threads))
            _write(here / "topology/core_siblings_list", render_list(cpus))
            _write(here / "cache/index0/level", "1")
            _write(here / "cache/index0/shared_cpu_list", render_list(threads))
            _write(here / "cache/index3/level", "3")
            _write(here / "cache/index3/shared_cpu_list", render_list(shared))


def _write_pages(directory: Path, count: int) -> None:
    _write(directory / "hugepages-2048kB/nr_hugepages", str(count))
    _write(directory / "hugepages-1048576kB/nr_hugepages", "0")


def _row(number: int, count: int) -> str:
    return " ".join("10" if other == number else "21" for other in range(count))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@cache
def topology(build: Build) -> Topology:
    """Reads the tree of a machine, once in a run of tests: it has hundreds of files."""
    with tempfile.TemporaryDirectory() as root:
        return read(tree(Path(root), build), build.gib * GIB)
