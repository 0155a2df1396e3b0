"""Every built-in kind comes back from its Protocol Buffers form as it went."""

from __future__ import annotations

import random
from typing import Any

import pytest

from steersman.model import builtin, numbers, schema
from steersman.model.kind import Kind
from steersman.model.schema import Node
from steersman.wire.protobuf.objects import decode
from steersman.wire.protobuf.writer import message

DOCUMENTS = 12
# Deeper than this a document gets empty objects: schemas of schemas never end
DEEPEST = 12
_SCHEMA = {"type": "string"}
_STRINGS = ("a", "é", "x" * 200)
_INTEGERS = (1, 127, 128, 300, -1, 2**40, -(2**40))


def document(node: Node, chance: random.Random, depth: int = 0) -> Any:
    """Returns a value for a place in a schema, nowhere zero and nowhere empty: these have no form
    of their own."""
    if node.type == "array":
        assert node.items is not None
        return [document(node.items, chance, depth + 1) for _ in range(chance.randint(1, 2))]
    if node.type == "object":
        if node.values is not None:
            keys = chance.sample("abc", 2)
            return {key: document(node.values, chance, depth + 1) for key in keys}
        known = names(node.definition) if depth < DEEPEST else ()
        chosen = [name for name in known if chance.random() < 0.5]
        return {name: document(node.fields[name], chance, depth + 1) for name in chosen}
    return chance.choice(_choices(node))


def _choices(node: Node) -> tuple[Any, ...]:
    if node.format == "byte":
        return ("aGk=", "AP8=")
    if node.format == "date-time":
        micro = node.definition.endswith("MicroTime")
        return ("2026-01-02T03:04:05.000006Z" if micro else "2026-01-02T03:04:05Z",)
    if node.definition.endswith("OrBool"):
        return (True, False, _SCHEMA)
    if node.definition.endswith("OrArray"):
        return (_SCHEMA, [_SCHEMA, _SCHEMA])
    if node.definition.endswith("OrStringArray"):
        return (_SCHEMA, ["a", "b"])
    others: dict[str, tuple[Any, ...]] = {
        "string": _STRINGS,
        "integer": _INTEGERS,
        "boolean": (True,),
        "number": (1.5, -2, 1e300),
        "quantity": ("5m",),
        "int-or-string": (1, -1, "25%"),
        "any": ({"a": [1, None]}, [1], "text"),
    }
    return others[node.type]


def names(definition: str) -> list[str]:
    """Returns the fields of a definition that have a number, those of embedded ones too."""
    node, found = schema.builtin().definition(definition), []
    waiting = [definition]
    while waiting:
        for field in (numbers.of(waiting.pop()) or {}).values():
            if field.embedded:
                waiting.append(field.embedded)
            elif field.name in node.fields:
                found.append(field.name)
    return found


@pytest.mark.parametrize("kind", builtin.all(), ids=lambda kind: f"{kind.group}/{kind.name}")
def test_what_is_written_is_read_back(kind: Kind) -> None:
    for version in kind.versions:
        node = schema.builtin().definition(version.definition)
        for seed in range(DOCUMENTS):
            made = document(node, random.Random(seed))
            raw = message(version.definition)(made)
            assert decode(version.definition, raw) == made, (version.name, seed)
