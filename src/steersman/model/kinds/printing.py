"""How `kubectl get` shows values: ages, selectors, lists cut short; columns that kinds share.

Source: pkg/printers/internalversion/printers.go, apimachinery/pkg/util/duration. Documents are as
stored; `now` is cluster time in seconds. Every column is always in the table; priority 1 shows with
`-o wide`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from steersman.model import selectors
from steersman.model.kind import Column, Document
from steersman.model.selectors import SelectorError
from steersman.model.times import seconds_of

Value = Callable[[Document, float], Any]

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_YEAR_DAYS: Final = 365
NONE: Final = "<none>"
UNSET: Final = "<unset>"
UNKNOWN: Final = "<unknown>"
# more endpoints, ports or hosts than this are counted, not listed
MOST_LISTED: Final = 3


def human_duration(seconds: float) -> str:
    """Returns a span in two units at most, as coarse as it is long (duration.HumanDuration)."""
    whole = int(seconds)
    if whole < 0:
        return "<invalid>" if whole < -1 else "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    minutes, hours = whole // _MINUTE, whole // _HOUR
    if minutes < 10:
        return _two(minutes, "m", whole % _MINUTE, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 2 * _YEAR_DAYS:
        return f"{days}d"
    years = days // _YEAR_DAYS
    return _two(years, "y", days % _YEAR_DAYS, "d") if years < 8 else f"{years}y"


def _two(first: int, unit: str, second: int, smaller: str) -> str:
    return f"{first}{unit}{second}{smaller}" if second else f"{first}{unit}"


def since(timestamp: str | None, now: float) -> str:
    """Returns how long ago a time was."""
    return human_duration(now - seconds_of(timestamp)) if timestamp else UNKNOWN


def at(document: Any, *path: str) -> Any:
    """Returns what stands at a path, None where nothing does."""
    for name in path:
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document


def field(*path: str, default: Any = "") -> Value:
    """Returns the value function of a plain field."""

    def value(document: Document, _now: float) -> Any:
        found = at(document, *path)
        return default if found is None or found == "" else found

    return value


def count(*path: str) -> Value:
    """Returns the value function of a list's or map's length."""
    return lambda document, _now: len(at(document, *path) or ())


def age(document: Document, now: float) -> str:
    """Returns how long ago the object was made."""
    return since(at(document, "metadata", "creationTimestamp"), now)


def labels(found: Mapping[str, str] | None) -> str:
    """Returns labels sorted (labels.FormatLabels)."""
    return ",".join(f"{key}={found[key]}" for key in sorted(found)) if found else NONE


def selector(found: Mapping[str, Any] | None) -> str:
    """Returns a label selector as text (metav1.FormatLabelSelector)."""
    try:
        return str(selectors.of_document(found)) or NONE
    except SelectorError:
        return "<error>"


def listed(found: Sequence[str], total: int, *, empty: str = UNSET) -> str:
    """Returns the first of a list and how many there are beyond."""
    shown = ",".join(found[:MOST_LISTED])
    if total > MOST_LISTED:
        return f"{shown} + {total - MOST_LISTED} more..."
    return shown or empty


def boolean(value: bool | None) -> str:
    """Returns True, False or <unset>."""
    return UNSET if value is None else str(value)


def is_true(conditions: Iterable[Document] | None, type: str) -> bool:
    """Tells whether the first condition of a type is True."""
    found = next((one for one in conditions or () if one.get("type") == type), {})
    return found.get("status") == "True"


NAME: Final = Column("Name", lambda document, _now: document["metadata"]["name"], format="name")
AGE: Final = Column("Age", age)


def number(name: str, *path: str) -> Column:
    """Returns a column that shows a number, 0 where it is absent."""
    return Column(name, field(*path, default=0), type="integer")


def text(name: str, *path: str, default: str = "", priority: int = 0) -> Column:
    """Returns a column that shows a text."""
    return Column(name, field(*path, default=default), priority=priority)


def ready_of(name: str = "Ready") -> Column:
    """Returns the column "ready/desired" of a workload."""

    def value(document: Document, _now: float) -> str:
        ready = at(document, "status", "readyReplicas") or 0
        return f"{ready}/{at(document, 'spec', 'replicas') or 0}"

    return Column(name, value, description="Number of the pod with ready state")


def containers(*path: str) -> tuple[Column, Column]:
    """Returns the columns of names and images of a template's containers."""

    def join(name: str) -> Value:
        def value(document: Document, _now: float) -> str:
            found = at(document, *path, "spec", "containers") or ()
            return ",".join(one.get(name, "") for one in found)

        return value

    return (
        Column(
            "Containers",
            join("name"),
            priority=1,
            description="Names of each container in the template.",
        ),
        Column(
            "Images",
            join("image"),
            priority=1,
            description="Images referenced by each container in the template.",
        ),
    )


def selector_column(*path: str) -> Column:
    """Returns the column of a label selector."""
    return Column("Selector", lambda document, _now: selector(at(document, *path)), priority=1)
