"""Times as documents hold them (metav1.Time, metav1.MicroTime) from cluster time, and back."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """Returns a time as metav1.Time writes it: whole seconds, UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(seconds: float) -> str:
    """Returns a time as metav1.MicroTime writes it: six digits, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(time: datetime | None) -> float:
    """Returns cluster time of a view's field, 0 where it is absent."""
    return time.timestamp() if time is not None else 0.0
