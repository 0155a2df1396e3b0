"""Indexes of a Job as its spec and status write them, `0,2-5`, with upstream's words for what is
no such text (validateIndexesFormat in pkg/apis/batch/validation)."""

from __future__ import annotations

import re
from typing import Final

from steersman.model.gotext import quote

_NUMBER: Final = re.compile(r"[+-]?[0-9]+")
_MOST_DIGITS: Final = 19  # Go's int; what has more is none

Interval = tuple[int, int]  # first and last


def count(text: str, completions: int) -> int:
    """Returns how many indexes a text names; raises ValueError where it is no such text."""
    total, last = 0, None
    for part in text.split(",") if text else ():
        first, end = _interval(part, completions)
        if last is not None and last >= first:
            raise ValueError(f"non-increasing order, previous: {last}, current: {first}")
        total += end - first + 1
        last = end
    return total


def overlap(completed: str, failed: str, completions: int) -> int | None:
    """Returns an index that two texts name both, None where there is none.

    What cannot be read is passed over: it is told where the texts are counted.
    """
    ours, theirs = _intervals(completed, completions), _intervals(failed, completions)
    mine = other = 0
    while mine < len(ours) and other < len(theirs):
        (first, last), (from_there, to_there) = ours[mine], theirs[other]
        if first <= to_there and from_there <= last:
            return max(first, from_there)
        if first <= from_there:
            mine += 1
        else:
            other += 1
    return None


def _intervals(text: str, completions: int) -> list[Interval]:
    found = []
    for part in text.split(",") if text else ():
        try:
            found.append(_interval(part, completions))
        except ValueError:
            continue
    return found


def _interval(part: str, completions: int) -> Interval:
    limits = part.split("-")
    if len(limits) > 2:
        raise ValueError(
            f"the fragment {quote(part)} violates the requirement that an index interval can have "
            "at most two parts separated by '-'"
        )
    first, last = (_index(limit, completions) for limit in (limits[0], limits[-1]))
    if len(limits) > 1 and first >= last:
        raise ValueError(f"non-increasing order, previous: {first}, current: {last}")
    return first, last


def _index(text: str, completions: int) -> int:
    if not _NUMBER.fullmatch(text) or len(text) > _MOST_DIGITS:
        raise ValueError(f"cannot convert string to integer for index: {quote(text)}")
    if int(text) >= completions:
        raise ValueError(f"too large index: {quote(text)}")
    return int(text)
