"""What the command line does with a container that runs: pause it, limit it, count it.

Rule: everything is asked of and told to the control group; the container's processes are not
entered.
"""

from __future__ import annotations

import os
import select
import sys

from .. import documents
from ..kernel import cgroups
from . import cold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..kernel.cgroups import Cgroup

    Document = dict[str, Any]

# Resources are read from a pipe or file of whoever calls; a section has a few hundred bytes.
_MAX_RESOURCES_BYTES = 1 << 20
# Flag of `update`: where its number stands in linux.resources.
_NUMBERS = {
    "memory": ("memory", "limit"),
    "memory-swap": ("memory", "swap"),
    "memory-reservation": ("memory", "reservation"),
    "cpu-shares": ("cpu", "shares"),
    "cpu-share": ("cpu", "shares"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-period": ("cpu", "period"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-idle": ("cpu", "idle"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "pids-limit": ("pids", "limit"),
    "blkio-weight": ("blockIO", "weight"),
}
_WORDS = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}
_SECTIONS = ("memory", "cpu", "pids", "blockIO", "hugepageLimits", "unified")
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def _open(root: str, name: str, *statuses: str) -> tuple[Document, Cgroup]:
    document = cold.describe(root, name)
    if document["status"] not in statuses:
        raise cold.RuntimeFailure(f"container {name} is {document['status']}")
    return document, cold.group_of(document)


def pause(root: str, name: str) -> None:
    """Stops all processes of a container where they are."""
    _, group = _open(root, name, "created", "running")
    group.freeze(True)


def resume(root: str, name: str) -> None:
    """Lets the processes of a paused container go on."""
    _, group = _open(root, name, "paused")
    group.freeze(False)


def update(root: str, name: str, resources: Mapping[str, Any]) -> None:
    """Changes the limits of a container; what is not mentioned stays."""
    document, group = _open(root, name, "created", "running", "paused")
    group.limit(resources)
    if unit := document.get("scope"):
        from . import systemd

        unified = not cgroups.find_hierarchies().version1
        systemd.change(unit, systemd.render_properties(resources, unified=unified))


def read_resources(path: str) -> Document:
    """A linux.resources section from a file, or from standard input for "-"."""
    descriptor = 0 if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with open(descriptor, "rb", closefd=descriptor != 0) as file:
        text = file.read(_MAX_RESOURCES_BYTES + 1)
    if len(text) > _MAX_RESOURCES_BYTES:
        raise ValueError(f"resources: more than {_MAX_RESOURCES_BYTES} bytes")
    given = documents.loads(text.decode())
    if not isinstance(given, dict):
        raise ValueError("resources: not an object")
    # Clients send the sections that they know, those without a wish as null.
    return {key: given[key] for key in _SECTIONS if given.get(key)}


def parse_resources(flags: Mapping[str, str]) -> Document:
    """The linux.resources section for the flags of `update`."""
    resources: Document = {}
    for flag, (section, key) in _NUMBERS.items():
        if flag in flags:
            resources.setdefault(section, {})[key] = parse_amount(flag, flags[flag])
    for flag, (section, key) in _WORDS.items():
        if flag in flags:
            resources.setdefault(section, {})[key] = flags[flag]
    return resources


def parse_amount(flag: str, word: str) -> int:
    """A number with an optional unit of 1024s: 50m, 1g, -1."""
    digits = word.rstrip("bkmgtBKMGT")
    unit = word[len(digits) :].lower()
    unit = unit[:-1] if len(unit) == 2 and unit.endswith("b") else unit
    if unit not in _UNITS or not digits.removeprefix("-").isdecimal():
        raise ValueError(f"--{flag}: {word!r} is not an amount")
    return int(digits) * _UNITS[unit]


def processes(root: str, name: str) -> list[int]:
    """The ids of a container's processes, as the host counts them."""
    _, group = _open(root, name, "created", "running", "paused")
    if not group.path:
        raise cold.RuntimeFailure(cgroups.NO_CGROUP)
    return group.processes()


def describe_processes(numbers: list[int]) -> list[tuple[str, ...]]:
    """User, id, parent and command line of each process that is still there; a header first."""
    rows: list[tuple[str, ...]] = [("UID", "PID", "PPID", "CMD")]
    for number in numbers:
        try:
            rows.append(_describe_process(number))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return rows


def _describe_process(number: int) -> tuple[str, ...]:
    with open(f"/proc/{number}/cmdline", "rb") as file:
        words = file.read().rstrip(b"\0").split(b"\0")
    with open(f"/proc/{number}/status") as status:
        fields = dict(line.rstrip().split(":", 1) for line in status if ":" in line)
    # What a container calls itself may hold anything, and this goes to a terminal.
    line = " ".join(word.decode("utf-8", "replace") for word in words)
    shown = "".join(letter if letter.isprintable() else "?" for letter in line)
    return fields["Uid"].split()[0], str(number), fields["PPid"].strip(), shown


def count(root: str, name: str) -> Document:
    """One event with what a container has used."""
    _, group = _open(root, name, "created", "running", "paused")
    return {"type": "stats", "id": name, "data": group.counters()}


def follow(root: str, name: str, interval_seconds: float) -> None:
    """Writes what a container uses at every interval until it ends."""
    document, group = _open(root, name, "created", "running", "paused")
    handle = os.pidfd_open(document["pid"])
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    try:
        while not poller.poll(interval_seconds * 1000):
            event = {"type": "stats", "id": name, "data": group.counters()}
            sys.stdout.write(documents.dumps(event) + "\n")
            sys.stdout.flush()
    finally:
        os.close(handle)
