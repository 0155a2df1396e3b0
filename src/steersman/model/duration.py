"""Durations as people write them: Go's (1h30m, 90s), and days (3d, 1d12h)."""

from __future__ import annotations

import re
from typing import Final

SECONDS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PIECE: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|d|h|m|s)", re.ASCII)


def parse_duration(text: str) -> float:
    """Returns the seconds of a duration, which is not negative; raises ValueError."""
    total, place = 0.0, 0
    while (match := _PIECE.match(text, place)) is not None:
        total += float(match[1]) * SECONDS[match[2]]
        place = match.end()
    if place != len(text) or not text:
        raise ValueError(f"{text!r} is no duration: it is written as in 3d, 12h30m or 90s")
    return total
