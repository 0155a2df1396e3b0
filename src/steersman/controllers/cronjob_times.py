"""When a cron job is due: the next time of a schedule in its zone, and times that were missed.

Follows robfig/cron's SpecSchedule and pkg/controller/cronjob/utils.go. Hours pass as they do on a
clock on the wall: one that daylight saving skips is not run, one that it repeats runs twice.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from steersman.model.kinds.cronjob import CronJob
from steersman.model.times import seconds
from steersman.model.types.schedule import Schedule

MOST_YEARS = 5  # robfig/cron looks no further ahead
TOO_MANY = 100  # missed times above which people are told
DELTA_SECONDS = 0.1  # upstream nextScheduleDelta: so much later the job is looked at
_HOUR = 3600
# A cron job is looked at five times for each of its jobs, and asks for the same times each time
KNOWN = 4096


class NeverDue(ValueError):
    """A schedule names no time that ever comes; the message is upstream's."""


def zone_of(name: str | None) -> tzinfo | None:
    """Returns a time zone, None where there is none of that name; no name means UTC."""
    if not name or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a name may be a folder's
        return None


@lru_cache(maxsize=KNOWN)
def following(schedule: Schedule, zone: tzinfo, after: float) -> float | None:
    """Returns the first time of a schedule after a time, None where none comes within years."""
    if schedule.every:
        return math.floor(after) + schedule.every
    last = datetime.fromtimestamp(after, zone).year + MOST_YEARS
    time = math.floor(after) + 1
    while (local := datetime.fromtimestamp(time, zone)).year <= last:
        later = _later(schedule, local, time)
        if later == time:
            return float(time)
        time = later
    return None


def _later(schedule: Schedule, local: datetime, time: int) -> int:
    """Returns the time itself where the schedule names it, else the next that it might."""
    if local.month not in schedule.months:
        return _midnight((local.replace(day=1) + timedelta(days=32)).replace(day=1))
    if not _is_day(schedule, local):
        return _midnight(local + timedelta(days=1))
    if local.hour not in schedule.hours:
        return time - time % 60 - 60 * local.minute + _HOUR
    if local.minute not in schedule.minutes:
        return time - time % 60 + 60
    return time if local.second == 0 else time - time % 60 + 60


def _midnight(local: datetime) -> int:
    """Returns when a day begins; where daylight saving skips midnight, at its first hour."""
    start = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return math.ceil(start.timestamp())


def _is_day(schedule: Schedule, local: datetime) -> bool:
    day = local.day in schedule.days
    weekday = local.isoweekday() % 7 in schedule.weekdays
    either = not schedule.any_day and not schedule.any_weekday
    return (day or weekday) if either else (day and weekday)


class Recent(msgspec.Struct, frozen=True):
    """The last time a cron job was due and not started, None where there is none; `earliest` is
    since when times count, `missed` about how many passed."""

    earliest: float
    due: float | None = None
    missed: int = 0


def recent(
    job: CronJob, schedule: Schedule, zone: tzinfo, now: float, *, deadline: bool = True
) -> Recent:
    """Returns what is due now; raises NeverDue. `deadline` leaves out what is too late to start."""
    earliest = _earliest(job, now, deadline)
    first = following(schedule, zone, earliest)
    second = following(schedule, zone, first) if first is not None else None
    if first is None or second is None:
        raise NeverDue("time difference between two schedules is less than 1 second")
    if now < first:
        return Recent(earliest)
    if now < second:
        return Recent(earliest, first, 1)
    # Missed times are estimated from the distance of two, so that years cost no more than days
    distance = int(second - first)
    missed = int(now - first) // distance + 1
    due, time = None, following(schedule, zone, first + (missed - 2) * distance)
    while time is not None and time <= now:
        due, time = time, following(schedule, zone, time)
    return Recent(earliest, due, missed)


def _earliest(job: CronJob, now: float, deadline: bool) -> float:
    began = seconds(job.status.last_schedule_time or job.metadata.creation_timestamp)
    limit = job.spec.starting_deadline_seconds
    return max(began, now - limit) if deadline and limit is not None else began


def due_in(job: CronJob, schedule: Schedule, zone: tzinfo, now: float) -> float | None:
    """Returns the seconds until a cron job is to be looked at again."""
    try:
        found = recent(job, schedule, zone, now, deadline=False)
    except NeverDue:
        since = now
    else:
        since = found.due or (now if found.missed else found.earliest)
    time = following(schedule, zone, since)
    return None if time is None else max(0.0, time + DELTA_SECONDS - now)
