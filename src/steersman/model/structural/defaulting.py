"""Sets the defaults of a schema where a field is absent, or null and may not be.

After apiextensions' schema/defaulting. Documents are changed in place; each gets copies of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Raw = Mapping[str, Any]


def has_defaults(raw: Any) -> bool:
    """Says whether a schema sets anything anywhere."""
    if not isinstance(raw, Mapping):
        return False
    fields = (raw.get("properties") or {}).values()
    if any(field.get("default") is not None or has_defaults(field) for field in fields):
        return True
    below = (raw.get("items"), raw.get("additionalProperties"))
    return any(
        isinstance(one, Mapping) and (one.get("default") is not None or has_defaults(one))
        for one in below
    )


def default(value: Any, raw: Raw | None) -> None:
    """Sets what is left out of a value."""
    if raw is None:
        return
    if isinstance(value, dict):
        _default_fields(value, raw)
    elif isinstance(value, list):
        items = raw.get("items")
        if not isinstance(items, Mapping):
            return
        for index, item in enumerate(value):
            if item is None and not items.get("nullable"):
                value[index] = copy(items.get("default"))
            default(value[index], items)


def _default_fields(value: dict[str, Any], raw: Raw) -> None:
    named, more = raw.get("properties") or {}, raw.get("additionalProperties")
    for name, field in named.items():
        if (given := field.get("default")) is None:
            continue
        if name not in value or (value[name] is None and not field.get("nullable")):
            value[name] = copy(given)
    for name in value:
        if name in named:
            default(value[name], named[name])
        elif isinstance(more, Mapping):
            if value[name] is None and not more.get("nullable"):
                value[name] = copy(more.get("default"))
            default(value[name], more)


def copy(value: Any) -> Any:
    """Returns a JSON value of its own."""
    if isinstance(value, dict):
        return {name: copy(item) for name, item in value.items()}
    return [copy(item) for item in value] if isinstance(value, list) else value
