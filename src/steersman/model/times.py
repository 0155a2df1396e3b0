"""Times as documents hold them (metav1.Time, metav1.MicroTime) from cluster time, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

# isoformat, which is many times as fast as strftime, up to the zone
_SECONDS: Final = len("2026-01-01T00:00:00")
_MICROSECONDS: Final = len("2026-01-01T00:00:00.000000")
# Moments whose text is kept: an object's conditions have few, and are written over and over
_KEPT: Final = 1024


def rfc3339(seconds: float) -> str:
    """Returns a time as metav1.Time writes it: whole seconds, UTC."""
    return _second(int(seconds))


@lru_cache(_KEPT)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:_SECONDS] + "Z"


def rfc3339_micro(seconds: float) -> str:
    """Returns a time as metav1.MicroTime writes it: six digits, UTC."""
    whole = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    return whole[:_MICROSECONDS] + "Z"


def seconds_of(text: str) -> float:
    """Returns cluster time of a time that a document holds."""
    return datetime.fromisoformat(text).timestamp()


def seconds(time: datetime | None) -> float:
    """Returns cluster time of a view's field, 0 where it is absent."""
    return time.timestamp() if time is not None else 0.0
