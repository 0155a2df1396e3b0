"""Schemas as types: what expressions see of them, and what documents become."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.cel.declared import Declaration, declare, escape
from steersman.cel.environment import Environment
from steersman.cel.errors import CompileError
from steersman.cel.estimate import LARGEST

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["replicas"],
    "properties": {
        "replicas": {"type": "integer"},
        "ratio": {"type": "number"},
        "when": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "wait": {"type": "string", "format": "duration"},
        "blob": {"type": "string", "format": "byte"},
        "port": {"x-kubernetes-int-or-string": True},
        "a-b.c/d__e": {"type": "string"},
        "namespace": {"type": "string"},
        "7up": {"type": "string"},
        "free": {"x-kubernetes-preserve-unknown-fields": True},
        "names": {
            "type": "array",
            "x-kubernetes-list-type": "set",
            "items": {"type": "string"},
        },
        "items": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
            },
        },
        "map": {"type": "object", "additionalProperties": {"type": "number"}},
        "pod": {"type": "object", "x-kubernetes-embedded-resource": True},
    },
}


def declared(schema: Any = SCHEMA, **options: Any) -> Declaration:
    found = declare(schema, **options)
    assert found is not None
    return found


def value(text: str, document: Any, old: Any = None) -> Any:
    declaration = declared()
    environment = Environment({"self": declaration.type, "oldSelf": declaration.type})
    program = environment.compile(text)
    values = {"self": declaration.value(document), "oldSelf": declaration.value(old or {})}
    return program.evaluate(values)


@pytest.mark.parametrize(
    ("text", "document", "expected"),
    [
        ("self.replicas > 1", {"replicas": 2}, True),
        ("self.ratio / 2.0", {"ratio": 5}, 2.5),
        ("self.when.getFullYear()", {"when": "2024-01-01T00:00:00Z"}, 2024),
        ("self.day.getMonth()", {"day": "2024-03-01"}, 2),
        ("self.wait > duration('1m')", {"wait": "90s"}, True),
        ("self.blob == b'hi'", {"blob": "aGk="}, True),
        ("type(self.port) == int ? self.port > 1 : self.port == '80%'", {"port": "80%"}, True),
        ("self.a__dash__b__dot__c__slash__d__underscores__e", {"a-b.c/d__e": "x"}, "x"),
        ("self.__namespace__", {"namespace": "n"}, "n"),
        ("self.names == ['b', 'a']", {"names": ["a", "b"]}, True),
        ("self.names + ['a', 'c']", {"names": ["a", "b"]}, ["a", "b", "c"]),
        ("self.map.all(k, self.map[k] < 2.0)", {"map": {"a": 1}}, True),
        ("self.pod.metadata.name", {"pod": {"metadata": {"name": "p"}}}, "p"),
        ("has(self.ratio)", {}, False),
    ],
)
def test_a_document_is_seen_by_its_schema(text: str, document: Any, expected: Any) -> None:
    assert value(text, document) == expected


def test_lists_that_are_maps_compare_and_merge_by_their_keys() -> None:
    one = {"items": [{"name": "a", "n": 1}, {"name": "b", "n": 2}]}
    other = {"items": [{"name": "b", "n": 2}, {"name": "a", "n": 1}]}
    assert value("self.items == oldSelf.items", one, other) is True
    changed = {"items": [{"name": "b", "n": 3}, {"name": "c", "n": 4}]}
    assert value("self.items == oldSelf.items", one, changed) is False
    assert value("self.items + oldSelf.items", one, changed) == [
        {"name": "a", "n": 1},
        {"name": "b", "n": 3},
        {"name": "c", "n": 4},
    ]


@pytest.mark.parametrize("text", ["self.free", "self.other", "self.replicas.x", "self.7up"])
def test_what_has_no_schema_or_no_name_is_not_seen(text: str) -> None:
    with pytest.raises(CompileError):
        value(text, {})


def test_the_root_shows_kind_and_name_whatever_its_schema_says() -> None:
    declaration = declared({"type": "object"}, root=True)
    environment = Environment({"self": declaration.type})
    program = environment.compile("self.kind + self.apiVersion + self.metadata.name")
    document = {"kind": "K", "apiVersion": "v", "metadata": {"name": "n"}}
    assert program.evaluate({"self": declaration.value(document)}) == "Kvn"
    with pytest.raises(CompileError, match="undefined field 'labels'"):
        environment.compile("self.metadata.labels")


def test_sizes_come_from_bounds_or_from_what_a_request_can_hold() -> None:
    assert declared({"type": "string", "maxLength": 10}).type.max_size == 40
    assert declared({"type": "string", "enum": ["a", "abc"]}).type.max_size == 3
    assert declared({"type": "string"}).type.max_size == LARGEST - 2
    assert declared({"type": "array", "items": {"type": "string"}}).type.max_size == 1048575
    bounded = {"type": "array", "maxItems": 7, "items": {"type": "string"}}
    assert declared(bounded).type.max_size == 7
    assert declared(SCHEMA).least == 2 + len("replicas") + 1 + 4


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("plain", "plain"),
        ("in", "__in__"),
        ("a__b", "a__underscores__b"),
        ("a.b", "a__dot__b"),
        ("", None),
        ("1a", None),
        ("a b", None),
        ("é", None),
    ],
)
def test_a_property_is_escaped_to_an_identifier(name: str, escaped: str | None) -> None:
    assert escape(name) == escaped
