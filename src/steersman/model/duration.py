"""Durations as people write them: Go's (1h30m, 90s), and days (3d, 1d12h)."""

from __future__ import annotations

import re
from typing import Final

from steersman.model.gotext import quote

SECONDS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PIECE: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|d|h|m|s)", re.ASCII)

_UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_SPAN: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]*)([^0-9.]*)", re.ASCII)


def parse_duration(text: str) -> float:
    """Returns the seconds of a duration, which is not negative; raises ValueError."""
    total, place = 0.0, 0
    while (match := _PIECE.match(text, place)) is not None:
        total += float(match[1]) * SECONDS[match[2]]
        place = match.end()
    if place != len(text) or not text:
        raise ValueError(f"{text!r} is no duration: it is written as in 3d, 12h30m or 90s")
    return total


def parse_go(text: str) -> float:
    """Returns the seconds of a duration as Go writes it (1h30m, 1.5s, -2m); raises ValueError in
    Go's words (time.ParseDuration)."""
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0.0
    seconds, wrong = 0.0, "" if rest else f"invalid duration {quote(text)}"
    while rest and not wrong:
        found = _SPAN.match(rest)
        if found is None or found[1] == ".":
            wrong = f"invalid duration {quote(text)}"
        elif not found[2]:
            wrong = f"missing unit in duration {quote(text)}"
        elif found[2] not in _UNITS:
            wrong = f"unknown unit {quote(found[2])} in duration {quote(text)}"
        else:
            seconds += float(found[1]) * _UNITS[found[2]]
            rest = rest[found.end() :]
    if wrong:
        raise ValueError(f"time: {wrong}")
    return sign * seconds
