"""Timestamps and durations: texts, conversions, parts by time zone (cel-spec; RFC 3339)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload
from steersman.cel.library.arithmetic import duration, timestamp
from steersman.cel.types import DURATION, INT, STRING, TIMESTAMP
from steersman.cel.values import Duration, Timestamp

_SECOND: Final = 10**9
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_UNITS: Final = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": _SECOND,
    "m": 60 * _SECOND, "h": 3600 * _SECOND,
}  # fmt: skip
_PIECE = re.compile(r"(\d+)?(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_OFFSET = re.compile(r"([+-]?)(\d\d?):(\d\d)", re.ASCII)
_MOST_DIGITS: Final = 40  # longer numbers are no duration


def parse_timestamp(text: str) -> Timestamp:
    """Reads a moment as RFC 3339 writes it; raises EvaluationError."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise EvaluationError(f"invalid timestamp {text!r}")
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone.upper().replace('Z', '+00:00')}")
    except ValueError:
        raise EvaluationError(f"invalid timestamp {text!r}") from None
    nanos = int((fraction or "0").ljust(9, "0"))
    return timestamp((moment - _EPOCH) // timedelta(seconds=1) * _SECOND + nanos)


def parse_duration(text: str) -> Duration:
    """Reads a duration as Go writes it (1h30m, 1.5s, -2m); raises EvaluationError."""
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return Duration(0)
    total, place = 0, 0
    while place < len(rest):
        match = _PIECE.match(rest, place)
        if match is None or not (match[1] or match[2]) or match.end() - place > _MOST_DIGITS:
            raise EvaluationError(f'time: invalid duration "{text}"')
        unit = _UNITS[match[3]]
        fraction = match[2] or ""
        total += int(match[1] or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
        place = match.end()
    if not rest:
        raise EvaluationError(f'time: invalid duration "{text}"')
    return duration(sign * total)


def show_timestamp(moment: Timestamp) -> str:
    """Returns a moment's text in UTC, with as many digits as it needs."""
    seconds, nanos = divmod(moment.nanos, _SECOND)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return text + _fraction(nanos) + "Z"


def show_duration(length: Duration) -> str:
    """Returns a duration's text in seconds."""
    sign = "-" if length.nanos < 0 else ""
    seconds, nanos = divmod(abs(length.nanos), _SECOND)
    return f"{sign}{seconds}{_fraction(nanos)}s"


def _fraction(nanos: int) -> str:
    return f".{nanos:09d}".rstrip("0") if nanos else ""


def zone(name: str) -> tzinfo:
    """Returns a time zone by its name or its offset; raises EvaluationError."""
    if (match := _OFFSET.fullmatch(name)) is not None:
        minutes = int(match[2]) * 60 + int(match[3])
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise EvaluationError(f"unknown time zone {name}") from None


def _part(read: Callable[[datetime], int]) -> tuple[Overload, ...]:
    def part(moment: Timestamp, name: str = "") -> int:
        seconds = moment.nanos // _SECOND
        try:
            return read((_EPOCH + timedelta(seconds=seconds)).astimezone(zone(name)))
        except OverflowError:
            raise EvaluationError("timestamp overflow") from None

    return (
        Overload((TIMESTAMP,), INT, part, member=True),
        Overload((TIMESTAMP, STRING), INT, part, member=True),
    )


def _length(unit: int) -> Overload:
    def whole(length: Duration) -> int:
        found = abs(length.nanos) // unit
        return -found if length.nanos < 0 else found

    return Overload((DURATION,), INT, whole, member=True)


def _milliseconds(moment: Timestamp, name: str = "") -> int:
    zone(name)  # a wrong name is an error here too
    return moment.nanos % _SECOND // 10**6


def _milliseconds_of(length: Duration) -> int:
    found = abs(length.nanos) % _SECOND // 10**6
    return -found if length.nanos < 0 else found


FUNCTIONS: Final[Functions] = {
    "getFullYear": _part(lambda at: at.year),
    "getMonth": _part(lambda at: at.month - 1),
    "getDayOfYear": _part(lambda at: at.timetuple().tm_yday - 1),
    "getDayOfMonth": _part(lambda at: at.day - 1),
    "getDate": _part(lambda at: at.day),
    "getDayOfWeek": _part(lambda at: at.isoweekday() % 7),
    "getHours": (*_part(lambda at: at.hour), _length(3600 * _SECOND)),
    "getMinutes": (*_part(lambda at: at.minute), _length(60 * _SECOND)),
    "getSeconds": (*_part(lambda at: at.second), _length(_SECOND)),
    "getMilliseconds": (
        Overload((TIMESTAMP,), INT, _milliseconds, member=True),
        Overload((TIMESTAMP, STRING), INT, _milliseconds, member=True),
        Overload((DURATION,), INT, _milliseconds_of, member=True),
    ),
}
