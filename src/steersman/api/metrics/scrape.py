"""What a node says on /metrics/resource, read from the Prometheus text; pure.

A node is another server: what cannot be read is one error, and nothing of it is believed about
pods that are not its own (see `answer`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import field

_LINE: Final = re.compile(r"([a-z_]+)(?:\{([^}]*)\})? ([-+0-9.eE]+)(?: ([0-9]{1,18}))?", re.ASCII)
_LABEL: Final = re.compile(r'([a-z_]+)="([^"\\]*)"', re.ASCII)
# A node has 110 pods by default, five lines for each container; ten thousand containers fit
MOST_BYTES: Final = 8 * 1024 * 1024

Place = tuple[str, str, str]  # namespace, pod, container


class ScrapeError(ValueError):
    """A node's metrics cannot be read."""


class Sample(NamedTuple):
    """One value and the time at which it was measured; 0 where the node does not say."""

    value: float
    time: float


class Scrape(msgspec.Struct, frozen=True):
    """What a node said at `time`: of itself (`cpu` in seconds, `memory` in bytes) and of its
    containers; `began` are the times at which they were started."""

    time: float
    cpu: Sample | None = None
    memory: Sample | None = None
    cpus: Mapping[Place, Sample] = field(default_factory=dict)
    memories: Mapping[Place, Sample] = field(default_factory=dict)
    began: Mapping[Place, float] = field(default_factory=dict)


class Usage(NamedTuple):
    """What was used: billionths of a processor and bytes, and over how many seconds."""

    cpu_nanos: int
    memory_bytes: int
    time: float
    window_seconds: float


def parse(text: bytes, now: float) -> Scrape:
    """Reads a node's answer; raises ScrapeError."""
    if len(text) > MOST_BYTES:
        raise ScrapeError(f"the answer is longer than {MOST_BYTES} bytes")
    node: dict[str, Sample] = {}
    found: dict[str, dict[Place, Sample]] = {}
    for line in text.decode(errors="replace").splitlines():
        match = None if line.startswith("#") else _LINE.fullmatch(line)
        if match is None:
            continue
        name, labels, value, time = match.groups()
        sample = Sample(_number(value), int(time) / 1000 if time else 0.0)
        if name.startswith("node_"):
            node[name] = sample
        elif name.startswith("container_"):
            told = dict(_LABEL.findall(labels or ""))
            place = (told.get("namespace", ""), told.get("pod", ""), told.get("container", ""))
            found.setdefault(name, {})[place] = sample
    began = found.get("container_start_time_seconds", {})
    return Scrape(
        now,
        node.get("node_cpu_usage_seconds_total"),
        node.get("node_memory_working_set_bytes"),
        found.get("container_cpu_usage_seconds_total", {}),
        found.get("container_memory_working_set_bytes", {}),
        {place: sample.value for place, sample in began.items()},
    )


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ScrapeError(f"{text!r} is no number") from None
    if not math.isfinite(value) or value < 0:
        raise ScrapeError(f"{text!r} is no amount")
    return value


def node_usage(before: Scrape, now: Scrape) -> Usage | None:
    """Returns what a node used between two scrapes, None where they do not tell."""
    if now.cpu is None or now.memory is None or before.cpu is None:
        return None
    return _usage(_timed(before.cpu, before.time), _timed(now.cpu, now.time), now.memory)


def container_usage(before: Scrape, now: Scrape, place: Place) -> Usage | None:
    """Returns what a container used; one that began after the first scrape is measured from its
    beginning."""
    cpu, memory = now.cpus.get(place), now.memories.get(place)
    if cpu is None or memory is None:
        return None
    first, began = before.cpus.get(place), now.began.get(place, 0.0)
    cpu = _timed(cpu, now.time)
    if first is not None and first.value <= cpu.value:
        return _usage(_timed(first, before.time), cpu, memory)
    return _usage(Sample(0.0, began), cpu, memory) if began > before.time else None


def _timed(sample: Sample, time: float) -> Sample:
    return sample if sample.time else Sample(sample.value, time)


def _usage(before: Sample, now: Sample, memory: Sample) -> Usage | None:
    window = now.time - before.time
    if window <= 0 or now.value < before.value:
        return None
    rate = (now.value - before.value) / window
    return Usage(round(rate * 1e9), round(memory.value), now.time, window)
