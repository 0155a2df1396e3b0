"""Completion indexes of an Indexed job: sets of numbers as ranges, `0,2-5` in a status.

Follows pkg/controller/job/indexed_job_utils.go. Sizes do not depend on the numbers, because a
status may say anything.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import msgspec

from steersman.model.kinds.pod import Pod

INDEX = "batch.kubernetes.io/job-completion-index"  # annotation and label of a pod
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
VARIABLE = "JOB_COMPLETION_INDEX"
MOST_PREFIX = 58  # apiserver names.MaxGeneratedNameLength: room for five random characters
_MOST = 2**31 - 1
_DIGITS = 10  # of that number; what has more is none

Range = tuple[int, int]  # first and last


class Indexes(msgspec.Struct, frozen=True):
    """A set of indexes: ranges in order that do not touch."""

    ranges: tuple[Range, ...] = ()

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __contains__(self, index: int) -> bool:
        place = bisect_right(self.ranges, (index, _MOST)) - 1
        return place >= 0 and index <= self.ranges[place][1]

    def __or__(self, other: Indexes) -> Indexes:
        return Indexes(_joined((*self.ranges, *other.ranges)))

    def __and__(self, other: Indexes) -> Indexes:
        mine, theirs, both = list(self.ranges[::-1]), list(other.ranges[::-1]), []
        while mine and theirs:
            first = max(mine[-1][0], theirs[-1][0])
            last = min(mine[-1][1], theirs[-1][1])
            if first <= last:
                both.append((first, last))
            (mine if mine[-1][1] == last else theirs).pop()
        return Indexes(_joined(both))

    def __str__(self) -> str:
        return ",".join(_shown(first, last) for first, last in self.ranges)


NONE = Indexes()


def _shown(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


def _joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)


def indexes(numbers: Iterable[int]) -> Indexes:
    """Returns the set of some numbers."""
    return Indexes(_joined((number, number) for number in numbers))


def parse(text: str, completions: int) -> Indexes:
    """Returns the indexes below `completions` that a status or a rule names; what is no number
    is passed over."""
    found = []
    for part in text.split(",") if text else ():
        low, dash, high = part.partition("-")
        first = _number(low)
        last = _number(high) if dash else first
        if first is None or last is None:
            continue
        if first >= completions:
            break
        found.append((first, min(last, completions - 1)))
    return Indexes(_joined(one for one in found if one[0] <= one[1]))


def index_of(pod: Pod) -> int | None:
    """Returns a pod's completion index, None where it has none."""
    return _number(pod.metadata.annotations.get(INDEX, ""))


def indexes_of(pods: Iterable[Pod]) -> Indexes:
    """Returns the indexes of pods."""
    return indexes(index for pod in pods if (index := index_of(pod)) is not None)


def pending(taken: Indexes, count: int, completions: int) -> list[int]:
    """Returns the first `count` indexes below `completions` that are not taken."""
    found: list[int] = []
    candidate = 0
    for first, last in (*taken.ranges, (completions, completions)):
        free = range(candidate, min(first, completions))
        found += free[: count - len(found)]
        candidate = max(candidate, last + 1)
    return found


def failures_of(pod: Pod) -> int:
    """Returns how often a pod's index had failed before it, not counting what was ignored."""
    return _number(pod.metadata.annotations.get(FAILURES, "")) or 0


def ignored_of(pod: Pod) -> int:
    """Returns how often a pod's index had failed before it without being counted."""
    return _number(pod.metadata.annotations.get(IGNORED, "")) or 0


def _number(text: str) -> int | None:
    if not text.isdecimal() or len(text) > _DIGITS:
        return None
    return number if (number := int(text)) <= _MOST else None


def prefix(job: str, index: int) -> str:
    """Returns how the name of an index's pod begins."""
    end = f"-{index}-"
    return job[: MOST_PREFIX - len(end)] + end
