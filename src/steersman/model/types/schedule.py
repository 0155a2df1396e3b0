"""The schedule of a CronJob: five fields or a descriptor, read into the times that it names.

The grammar and the errors are those of robfig/cron's ParseStandard, which upstream uses. Pure: the
time zone and what comes next are the reader's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from steersman.model.duration import parse_go


class ScheduleError(ValueError):
    """A text is no schedule; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one field may name."""

    low: int
    high: int
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """The minutes, hours, days, months and weekdays that are named.

    every: a span in seconds instead of these, 0 where there is none
    any_day, any_weekday: the field is `*`; where neither is, either of the two suffices
    """

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = True
    any_weekday: bool = True
    every: float = 0


_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final = (
    Bounds(0, 59),
    Bounds(0, 23),
    Bounds(1, 31),
    Bounds(1, 12, _MONTHS),
    Bounds(0, 6, _WEEKDAYS),
)
_DESCRIPTORS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY: Final = "@every "
_ZONE: Final = re.compile(r"(?:CRON_)?TZ=(\S*) +(.*)", re.DOTALL)
# int64's digits: a longer number is out of range, and Python would read it slowly
_MOST_DIGITS: Final = 19
# Schedules that stay read: a cron job's is asked for again with every change of its jobs
KNOWN: Final = 1024


def zone_of(text: str) -> str | None:
    """Returns the time zone that stands in front of a schedule, None where there is none."""
    found = _ZONE.fullmatch(text)
    return found[1] if found else None


@lru_cache(maxsize=KNOWN)
def parse(text: str) -> Schedule:
    """Reads a schedule; raises ScheduleError."""
    if not text:
        raise ScheduleError("empty spec string")
    if found := _ZONE.fullmatch(text):
        text = found[2].strip()
    if text.startswith("@"):
        if text.startswith(_EVERY):
            return Schedule(every=_span(text))
        if text not in _DESCRIPTORS:
            raise ScheduleError(f"unrecognized descriptor: {text}")
        text = _DESCRIPTORS[text]
    fields = text.split()
    if len(fields) != len(_FIELDS):
        wanted, listed = len(_FIELDS), " ".join(fields)
        raise ScheduleError(f"expected exactly {wanted} fields, found {len(fields)}: [{listed}]")
    read = [_field(one, bounds) for one, bounds in zip(fields, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = (numbers for numbers, _star in read)
    return Schedule(minutes, hours, days, months, weekdays, read[2][1], read[4][1])


def _field(text: str, bounds: Bounds) -> tuple[frozenset[int], bool]:
    """Returns the numbers that a field names, and whether it is a star."""
    found: set[int] = set()
    star = False
    for part in filter(None, text.split(",")):
        numbers, is_star = _range(part, bounds)
        found.update(numbers)
        star = star or is_star
    return frozenset(found), star


def _range(text: str, bounds: Bounds) -> tuple[range, bool]:
    parts = text.split("/")
    ends = parts[0].split("-")
    star = ends[0] in ("*", "?")
    if star:
        low, high = bounds.low, bounds.high
    else:
        low = high = _number(ends[0], text, bounds)
        if len(ends) == 2:
            high = _number(ends[1], text, bounds)
        elif len(ends) > 2:
            raise ScheduleError(f"too many hyphens: {text}")
    step = 1
    if len(parts) == 2:
        step = _number(parts[1], text, None)
        high = bounds.high if len(ends) == 1 else high
    elif len(parts) > 2:
        raise ScheduleError(f"too many slashes: {text}")
    _check_range(text, bounds, low, high, step)
    return range(low, high + 1, step), star and step == 1


def _check_range(text: str, bounds: Bounds, low: int, high: int, step: int) -> None:
    if low < bounds.low:
        raise ScheduleError(f"beginning of range ({low}) below minimum ({bounds.low}): {text}")
    if high > bounds.high:
        raise ScheduleError(f"end of range ({high}) above maximum ({bounds.high}): {text}")
    if low > high:
        raise ScheduleError(f"beginning of range ({low}) beyond end of range ({high}): {text}")
    if step == 0:
        raise ScheduleError(f"step of range should be a positive number: {text}")


def _number(text: str, whole: str, bounds: Bounds | None) -> int:
    if bounds is not None and text.lower() in bounds.words:
        return bounds.low + bounds.words.index(text.lower())
    digits = text.removeprefix("-").removeprefix("+") if text[:2] not in ("-+", "+-") else ""
    if not (digits.isascii() and digits.isdigit()):
        why = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise ScheduleError(f"failed to parse int from {whole}: {why}")
    if len(digits.lstrip("0")) > _MOST_DIGITS:
        why = f'strconv.Atoi: parsing "{text}": value out of range'
        raise ScheduleError(f"failed to parse int from {whole}: {why}")
    number = int(text)
    if number < 0:
        raise ScheduleError(f"negative number ({number}) not allowed: {whole}")
    return number


def _span(text: str) -> float:
    """Returns Go's duration in whole seconds, one at least (time.ParseDuration, cron.Every)."""
    given = text.removeprefix(_EVERY)
    try:
        seconds = parse_go(given)
    except ValueError as error:
        raise ScheduleError(f"failed to parse duration {text}: {error}") from error
    return max(1.0, float(int(seconds)))
