"""Printer columns of custom resources: a JSON path each.

Shown as apiextensions' table convertor shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from steersman.model.gotext import printed, shown
from steersman.model.kind import Column, Document
from steersman.model.kinds.customresourcedefinition import CREATED_TEXT, NAME_TEXT
from steersman.model.kinds.printing import UNKNOWN, since
from steersman.model.mistakes import canonical_time
from steersman.model.structural import fieldpath, numbers

_AGE: Final = {
    "name": "Age",
    "type": "date",
    "description": CREATED_TEXT,
    "jsonPath": ".metadata.creationTimestamp",
}
_NAME: Final = Column(
    "Name", lambda document, _now: document["metadata"]["name"], "string", "name", NAME_TEXT
)


def columns(given: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Returns the columns of a version; where none are declared, the age."""
    return (_NAME, *(_column(one) for one in [*given] or [_AGE]))


def _column(given: Mapping[str, Any]) -> Column:
    path = given["jsonPath"]
    described = f"Custom resource definition column (in JSONPath format): {path}"
    return Column(
        given["name"],
        _value(path, given["type"]),
        given["type"],
        given.get("format") or "",
        given.get("description") or described,
        given.get("priority") or 0,
    )


def _value(path: str, kind: str) -> Callable[[Document, float], Any]:
    def value(document: Document, now: float) -> Any:
        found = fieldpath.read(document, path)
        if not found:
            return None
        return _text(found[0]) if kind == "string" else _cell(kind, found[0], now)

    return value


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        return shown(value)
    if value is None:
        return "<no value>"
    return numbers.printed(value) if isinstance(value, float) else printed(value)


def _cell(kind: str, value: Any, now: float) -> Any:
    if kind == "date":
        return _age(value, now) if isinstance(value, str) else None
    if isinstance(value, bool):
        return value if kind == "boolean" else None
    if not isinstance(value, int | float):
        return None
    if kind == "integer":
        return int(value)
    return float(value) if kind == "number" else None


def _age(text: str, now: float) -> str:
    if text in ("", "null"):
        return UNKNOWN
    time = canonical_time(text)
    return since(time, now) if time is not None else "<invalid>"
