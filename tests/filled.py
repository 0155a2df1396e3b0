"""Documents that have a value at every field of their schema, and what is wrong with a place: other
types, empty and huge values, nulls, texts that look like what they are not."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from steersman.model.schema import Node

Json = Any

# Leaves a field or an item out
ABSENT: Final = object()
TEXTS: Final = (
    *("", " ", "a\nb", "-1", "1e9999", "9" * 40, "/", "a/b/c", "{", '{"a":1}', "[null]", "null"),
    *("²", "٣%", "0-²", "1_0", "nan", "%zz", "\x00", "é" * 300, "$(", "[::1", "10.0.0.0/99", "::"),
    *("https://a:²/", "http://[", "a=b", "..", "² * * * *", "@every 1h", "5%%", "*"),
)
NUMBERS: Final = (-1, 0, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 2**70, 1.5, True)
TIMES: Final = ("", "x", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-02-30T00:00:00Z")
QUANTITIES: Final = ("1e30", "-1", "0", "1e-9999", "1e9999", "0.0000000001m", 0.1, 10**30, "²")
OTHERS: Final = (None, ABSENT, [], {}, "x", 1, [None], [{}], [{}, {}], {"a": None})
_SOUND: Final = {"byte": "eA==", "date-time": "2026-01-01T00:00:00Z"}
_PLAIN: Final = {"integer": 1, "number": 1, "boolean": True, "int-or-string": 1, "quantity": "1"}


class Place(NamedTuple):
    """Where a value stands, and what it should be."""

    path: tuple[str | int, ...]
    node: Node


def filled(node: Node, within: tuple[str, ...] = ()) -> Json:
    """Returns a value with every field that the schema has; what holds itself is left empty."""
    if node.type == "object":
        if node.definition and node.fields:
            if node.definition in within:
                return {}
            deeper = (*within, node.definition)
            return {name: filled(field, deeper) for name, field in node.fields.items()}
        return {"a": filled(node.values, within) if node.values is not None else 1}
    if node.type == "array":
        return [filled(node.items, within)] if node.items is not None else []
    if node.type == "string":
        return _SOUND.get(node.format, "x")
    return _PLAIN.get(node.type, {"a": 1})


def places(node: Node, value: Json, path: tuple[str | int, ...] = ()) -> Iterator[Place]:
    """Yields every place of a document; of lists the first item."""
    if path:
        yield Place(path, node)
    if isinstance(value, dict):
        for name, inner in value.items():
            field = node.fields.get(name) or node.values
            if field is not None:
                yield from places(field, inner, (*path, name))
    elif isinstance(value, list) and value and node.items is not None:
        yield from places(node.items, value[0], (*path, 0))


def wrong(node: Node) -> tuple[Json, ...]:
    """Returns what may be put where a node stands and hardly belongs there."""
    if node.type == "string":
        return (*OTHERS, *(TIMES if node.format == "date-time" else TEXTS))
    if node.type == "quantity":
        return (*OTHERS, *QUANTITIES)
    if node.type == "int-or-string":
        return (*OTHERS, *NUMBERS, *TEXTS)
    if node.type in ("integer", "number"):
        return (*OTHERS, *NUMBERS)
    if node.type == "array" and node.items is not None:
        items = [one for one in wrong(node.items) if one is not ABSENT]
        twice = filled(node.items)
        return (*OTHERS, *([one] for one in items), [twice, copy.deepcopy(twice)])
    if node.type == "object" and node.values is not None:
        values = [one for one in wrong(node.values) if one is not ABSENT]
        keys = ({key: filled(node.values)} for key in ("", "a/b/c", "²"))
        return (*OTHERS, *({"a": one} for one in values), *keys)
    return OTHERS


def replaced(document: Json, path: tuple[str | int, ...], value: Json) -> Json:
    """Returns a document with another value at a place; the argument is not changed."""
    made = copy.deepcopy(document)
    at = made
    for step in path[:-1]:
        at = at[step]
    if value is ABSENT:
        del at[path[-1]]
    else:
        at[path[-1]] = copy.deepcopy(value)
    return made
