"""Sets of processors and NUMA nodes as the kernel writes them: `0-3,8` (cpuset(7), List format)."""

from __future__ import annotations

from collections.abc import Iterable

CPUs = frozenset[int]


def parse_list(text: str) -> CPUs:
    """Reads a list of numbers and ranges; empty for nothing. Raises ValueError."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        if not part:
            continue
        low, high = _number(first), _number(last if dash else first)
        if high < low:
            raise ValueError(f"invalid range {part!r} ({low} > {high})")
        found.update(range(low, high + 1))
    return frozenset(found)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a number")
    return int(text)


def render_list(numbers: Iterable[int]) -> str:
    """Returns numbers as a list, those in a row as a range."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)
