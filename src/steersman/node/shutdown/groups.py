"""Which pods end one after the other when the machine goes, and how long each group has: pure.

Source: pkg/kubelet/nodeshutdown (KEP-2000, KEP-2712).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Protocol, TypeVar

import msgspec

from steersman.model.duration import parse_duration
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.priorityclass import SYSTEM_CRITICAL

# What a pod has beyond its own time before it counts as late: it is being killed, and taken apart
KILL_SECONDS = 15.0


class BadPeriods(Exception):
    """What was said of a shutdown cannot be; the text says why."""


class Period(msgspec.Struct, frozen=True):
    """How long the pods from a priority on have together."""

    priority: int
    seconds: float


class Cared(Protocol):
    """A pod that the agent cares for."""

    pod: Pod


One = TypeVar("One", bound=Cared)


def parse_periods(whole: str, critical: str, by_priority: str) -> tuple[Period, ...]:
    """Reads the options, as `30s`, `10s` and `0=20s,2000000000=10s`; returns the periods from the
    lowest priority on, none where nothing was asked for. Raises BadPeriods."""
    if by_priority:
        if whole or critical:
            raise BadPeriods("periods by priority and whole ones exclude each other")
        return _parse_each(by_priority)
    total, last = (_seconds(it) for it in (whole, critical))
    if last > total:
        raise BadPeriods("the time of critical pods is a part of the whole, and not longer")
    if 0 < total < 1 or 0 < last < 1:
        raise BadPeriods("a period is at least one second")
    if not total:
        return ()
    return Period(0, total - last), Period(SYSTEM_CRITICAL, last)


def _parse_each(text: str) -> tuple[Period, ...]:
    found: dict[int, float] = {}
    for part in text.split(","):
        priority, _, period = part.partition("=")
        try:
            number = int(priority)
        except ValueError:
            raise BadPeriods(f"{part!r} is no PRIORITY=PERIOD") from None
        if number in found:
            raise BadPeriods(f"the priority {number} is given twice")
        found[number] = _seconds(period)
    return tuple(Period(it, found[it]) for it in sorted(found))


def _seconds(text: str) -> float:
    try:
        return parse_duration(text) if text else 0.0
    except ValueError as error:
        raise BadPeriods(str(error)) from None


def own_periods(pods: Iterable[Cared]) -> tuple[Period, ...]:
    """Returns periods in which each pod has the time that it wants itself: ordinary ones first,
    then critical ones."""
    found = {0: 0.0, SYSTEM_CRITICAL: 0.0}
    for one in pods:
        spec = one.pod.spec
        priority = SYSTEM_CRITICAL if spec.priority >= SYSTEM_CRITICAL else 0
        seconds = spec.termination_grace_period_seconds + KILL_SECONDS
        found[priority] = max(found[priority], float(seconds))
    return tuple(Period(*it) for it in found.items())


def group(periods: tuple[Period, ...], pods: Iterable[One]) -> list[tuple[Period, list[One]]]:
    """Returns the pods of each period, in the order in which they end; those below the lowest
    priority are of the first."""
    found: list[tuple[Period, list[One]]] = [(it, []) for it in periods]
    bounds = [it.priority for it in periods]
    for one in pods:
        place = max(bisect_right(bounds, one.pod.spec.priority) - 1, 0)
        found[place][1].append(one)
    return found
