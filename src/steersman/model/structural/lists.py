"""Lists whose items are told apart: no value twice in a set, no keys twice in a map.

After apiextensions' schema/listtype.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from steersman.model import causes
from steersman.model.errors import Cause
from steersman.model.structural.pruning import field_of

Raw = Mapping[str, Any]


def has_lists(raw: Any) -> bool:
    """Says whether a schema has such lists anywhere."""
    if not isinstance(raw, Mapping):
        return False
    if raw.get("x-kubernetes-list-type") in ("set", "map"):
        return True
    below = (*(raw.get("properties") or {}).values(), raw.get("items"))
    return any(map(has_lists, (*below, raw.get("additionalProperties"))))


def check(value: Any, raw: Raw | None, path: str = "") -> Iterator[Cause]:
    """Yields what stands twice in a list."""
    if raw is None:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            yield from check(item, field_of(raw, name), f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        kind = raw.get("x-kubernetes-list-type")
        if kind == "set":
            yield from (causes.duplicate(f"{path}[{at}]", value[at]) for at in _repeated(value))
        elif kind == "map":
            yield from _check_map(value, raw.get("x-kubernetes-list-map-keys") or (), path)
        items = raw.get("items")
        for index, item in enumerate(value if isinstance(items, Mapping) else ()):
            yield from check(item, items, f"{path}[{index}]")


def _check_map(value: Sequence[Any], names: Sequence[str], path: str) -> Iterator[Cause]:
    for index, item in enumerate(value):
        if item is not None and not isinstance(item, dict):
            text = "must be an object for an array of list-type map"
            yield causes.invalid(f"{path}[{index}]", item, text)
            return
    keys = [{name: item[name] for name in names if name in item} if item else {} for item in value]
    for index in _repeated(keys):
        yield causes.duplicate(f"{path}[{index}]", keys[index])


def _repeated(values: Sequence[Any]) -> list[int]:
    """Returns where values stand for the second time."""
    seen: dict[bytes, int] = {}
    found = []
    for index, value in enumerate(values):
        key = msgspec.json.encode(value, order="sorted")
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 2:
            found.append(index)
    return found
