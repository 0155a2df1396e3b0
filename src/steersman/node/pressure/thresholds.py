"""Thresholds of eviction and whether they are met: pure. Source: eviction/helpers.go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from steersman.model.duration import parse_duration
from steersman.model.quantity import QuantityError, parse

MEMORY, NODE_DISK, IMAGE_DISK = "memory.available", "nodefs.available", "imagefs.available"
NODE_INODES, IMAGE_INODES, PROCESSES = "nodefs.inodesFree", "imagefs.inodesFree", "pid.available"
# Of each signal: the node's condition, and the resource that the pods give back
CONDITIONS: Final = {
    MEMORY: "MemoryPressure",
    NODE_DISK: "DiskPressure",
    NODE_INODES: "DiskPressure",
    IMAGE_DISK: "DiskPressure",
    IMAGE_INODES: "DiskPressure",
    PROCESSES: "PIDPressure",
}
RESOURCES: Final = {
    MEMORY: "memory",
    NODE_DISK: "ephemeral-storage",
    NODE_INODES: "inodes",
    IMAGE_DISK: "ephemeral-storage",
    IMAGE_INODES: "inodes",
    PROCESSES: "pids",
}
# How long a condition stays after its last reason (evictionPressureTransitionPeriod)
TRANSITION_SECONDS: Final = 300.0


class BadThreshold(ValueError):
    """An option cannot be read; the text says why."""


class Level(msgspec.Struct, frozen=True):
    """What is there of something, and what there is at most; in bytes, inodes or processes."""

    available: int
    capacity: int


Signals = Mapping[str, Level]


class Threshold(msgspec.Struct, frozen=True):
    """A signal is under pressure below an amount, or below a share of the whole (`percent`).

    A soft one counts once it has been met for its grace period; a hard one at once. One that has
    been met is so until as much more is there as `reclaim` or `reclaim_percent` says.
    """

    signal: str
    amount: int = 0
    percent: float = 0.0
    grace_seconds: float = 0.0
    hard: bool = True
    reclaim: int = 0
    reclaim_percent: float = 0.0

    def quantity(self, level: Level) -> int:
        """Returns the amount below which it is met."""
        return self.amount if not self.percent else int(level.capacity * self.percent / 100)

    def is_met(self, signals: Signals, *, before: bool = False) -> bool:
        """Whether what is available is less; `before`: it has been met, and more must be freed."""
        level = signals.get(self.signal)
        if level is None:
            return False
        more = self.reclaim or int(level.capacity * self.reclaim_percent / 100)
        return level.available < self.quantity(level) + (more if before else 0)


def parse_thresholds(
    hard: str, soft: str = "", graces: str = "", reclaim: str = ""
) -> tuple[Threshold, ...]:
    """Returns what `--eviction-hard`, `--eviction-soft`, `--eviction-soft-grace-period` and
    `--eviction-minimum-reclaim` say."""
    found = [_parse(it, 0.0, hard=True) for it in _parts(hard)]
    periods = dict(_grace(it) for it in _parts(graces))
    for text in _parts(soft):
        signal = text.partition("<")[0]
        if signal not in periods:
            raise BadThreshold(
                f"grace period must be specified for the soft eviction threshold {signal}"
            )
        found.append(_parse(text, periods[signal], hard=False))
    more = dict(_reclaim(it) for it in _parts(reclaim))
    return tuple(_reclaiming(it, *more.get(it.signal, (0, 0.0))) for it in found)


def _reclaiming(threshold: Threshold, amount: int, percent: float) -> Threshold:
    return msgspec.structs.replace(threshold, reclaim=amount, reclaim_percent=percent)


def _reclaim(text: str) -> tuple[str, tuple[int, float]]:
    signal, found, value = text.partition("=")
    if not found:
        why = f"invalid eviction minimum reclaim syntax: {text}, expected <signal>=<value>"
        raise BadThreshold(why)
    if signal not in CONDITIONS:
        raise BadThreshold(f"unsupported eviction signal {signal}")
    try:
        if value.endswith("%"):
            percent = float(value[:-1])
            amount = 0
        else:
            percent, amount = 0.0, parse(value).value()
    except (ValueError, QuantityError):
        raise BadThreshold(f"eviction minimum reclaim {text}: {value!r} is no quantity") from None
    if amount < 0 or not 0 <= percent <= 100:
        raise BadThreshold(f"negative eviction minimum reclaim specified for {signal}")
    return signal, (amount, percent)


def _parts(text: str) -> list[str]:
    return [it.strip() for it in text.split(",") if it.strip()]


def _parse(text: str, grace: float, *, hard: bool) -> Threshold:
    signal, found, value = text.partition("<")
    if not found or signal not in CONDITIONS:
        raise BadThreshold(
            f"invalid eviction threshold syntax {text}, expected <signal><operator><value>"
        )
    try:
        if value.endswith("%"):
            percent = float(value[:-1])
            if not 0 <= percent <= 100:
                raise BadThreshold(
                    f"eviction percentage threshold {signal} must be >= 0% and <= 100%"
                )
            return Threshold(signal, percent=percent, grace_seconds=grace, hard=hard)
        amount = parse(value).value()
    except BadThreshold:
        raise
    except (ValueError, QuantityError):
        raise BadThreshold(f"eviction threshold {text}: {value!r} is no quantity") from None
    if amount < 0:
        raise BadThreshold(f"eviction threshold {signal} must be positive: {value}")
    return Threshold(signal, amount, grace_seconds=grace, hard=hard)


def _grace(text: str) -> tuple[str, float]:
    signal, _, value = text.partition("=")
    try:
        return signal, parse_duration(value)
    except ValueError:
        raise BadThreshold(
            f"invalid eviction grace period syntax {text}, expected <signal>=<duration>"
        ) from None


class Watch:
    """Which thresholds are met since when; what they come to, told moment by moment."""

    def __init__(self, thresholds: Iterable[Threshold]) -> None:
        self._thresholds = tuple(thresholds)
        self._since: dict[Threshold, float] = {}
        self._last: dict[str, float] = {}

    def look(self, signals: Signals, now: float) -> list[Threshold]:
        """Returns the thresholds for which somebody must go, in the order in which they go first:
        memory before all others, hard before soft."""
        met = [it for it in self._thresholds if it.is_met(signals, before=it in self._since)]
        self._since = {it: self._since.get(it, now) for it in met}
        due = [it for it in met if now - self._since[it] >= it.grace_seconds]
        for threshold in due:
            self._last[CONDITIONS[threshold.signal]] = now
        return sorted(due, key=lambda it: (it.signal != MEMORY, not it.hard))

    def conditions(self, now: float) -> frozenset[str]:
        """Returns the conditions that the node has."""
        return frozenset(
            kind for kind, last in self._last.items() if now - last < TRANSITION_SECONDS
        )
