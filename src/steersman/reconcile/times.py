"""Times as documents hold them (metav1.Time, metav1.MicroTime) from cluster time, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def rfc3339(seconds: float) -> str:
    """Returns a time as metav1.Time writes it: whole seconds, UTC."""
    return _second(int(seconds))


@lru_cache(maxsize=8)  # one status says the same time again and again
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:-6]}Z"


def rfc3339_micro(seconds: float) -> str:
    """Returns a time as metav1.MicroTime writes it: six digits, UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat(timespec='microseconds')[:-6]}Z"


def seconds(time: datetime | None) -> float:
    """Returns cluster time of a view's field, 0 where it is absent."""
    return time.timestamp() if time is not None else 0.0
