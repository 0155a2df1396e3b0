"""Values against schemas: each keyword, and the words in which upstream refuses."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.model.structural import numbers
from steersman.model.structural.results import causes_of
from steersman.model.structural.validation import ABSENT, Validator

Case = tuple[dict[str, Any], Any, list[str]]


def said(raw: dict[str, Any], value: Any, old: Any = ABSENT) -> list[str]:
    whole = {"type": "object", "properties": {"a": raw}}
    before = ABSENT if old is ABSENT else {"a": old}
    result = Validator(whole).validate({"a": value}, before)
    return [f"{cause.field}: {cause.message}" for cause in causes_of(result)]


CASES: list[Case] = [
    ({"type": "string"}, "x", []),
    (
        {"type": "string"},
        1,
        ['a: Invalid value: "integer": a in body must be of type string: "integer"'],
    ),
    (
        {"type": "string"},
        None,
        ['a: Invalid value: "null": a in body must be of type string: "null"'],
    ),
    ({"type": "string", "nullable": True}, None, []),
    ({"type": "integer"}, 3.0, []),
    ({"type": "number"}, 3, []),
    (
        {"type": "boolean"},
        0,
        ['a: Invalid value: "integer": a in body must be of type boolean: "integer"'],
    ),
    (
        {"type": "integer", "format": "int32"},
        2**31,
        ['<nil>: Invalid value: "": Checked value must be of type integer with format int32 in a'],
    ),
    ({"type": "string", "maxLength": 2}, "ééé", ["a: Too long: may not be more than 2 bytes"]),
    (
        {"type": "string", "minLength": 2},
        "x",
        ['a: Invalid value: "x": a in body should be at least 2 chars long'],
    ),
    (
        {"type": "string", "pattern": "^a$"},
        "b",
        ["a: Invalid value: \"b\": a in body should match '^a$'"],
    ),
    ({"type": "string", "pattern": "a"}, "xay", []),
    ({"type": "string", "maxLength": 2, "minLength": 2}, "éé", []),
    ({"type": "string", "nullable": True, "enum": ["x"]}, None,
     ['a: Unsupported value: null: supported values: "x"']),
    ({}, None, []),
    ({"x-kubernetes-preserve-unknown-fields": True}, None, []),
    ({"type": "integer"}, 3.5,
     ['a: Invalid value: "number": a in body must be of type integer: "number"',
      '<nil>: Invalid value: "": Checked value must be of type integer (default format) in a']),
    ({"type": "number"}, "3",
     ['a: Invalid value: "string": a in body must be of type number: "string"']),
    ({"type": "integer", "format": "int32"}, 2**31 - 1, []),
    ({"type": "integer", "format": "int32"}, -(2**31), []),
    ({"type": "integer", "format": "int32"}, -(2**31) - 1,
     ['<nil>: Invalid value: "": Checked value must be of type integer with format int32 in a']),
    ({"type": "integer", "format": "int32"}, "x",
     ['a: Invalid value: "string": a in body must be of type integer: "string"']),
    ({"type": "integer", "format": "int32"}, True,
     ['a: Invalid value: "": a in body must be of type int32: ""']),
    ({"type": "integer"}, 2**63 - 1, []),
    ({"type": "integer"}, 2**63,
     ['a: Invalid value: "number": a in body must be of type integer: "number"',
      '<nil>: Invalid value: "": Checked value must be of type integer (default format) in a']),
    ({"type": "number", "format": "float"}, 3.4e38, []),
    ({"type": "number", "format": "float"}, 3.5e38,
     ['<nil>: Invalid value: "": Checked value must be of type number with format float in a']),
    ({"type": "string", "format": "date-time"}, 5,
     ['a: Invalid value: "int64": a in body must be of type date-time: "int64"']),
    ({"type": "number", "minimum": 0.5, "maximum": 0.5}, 0.5, []),
    ({"type": "integer", "minimum": 3}, 3, []),
    ({"type": "integer", "maximum": 3, "exclusiveMaximum": True}, 2, []),
    ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, 4, []),
    ({"type": "integer", "multipleOf": 3}, 9, []),
    ({"type": "number", "multipleOf": 0.1}, 0.35,
     ["a: Invalid value: 0.35: a in body should be a multiple of 0.1"]),
    ({"type": "number", "multipleOf": 1.5}, 4.5, []),
    ({"type": "integer", "multipleOf": -1}, 4,
     ["a: Invalid value: 4: factor MultipleOf declared for a must be positive: -1"]),
    ({"type": "integer", "multipleOf": 0}, 4,
     ["a: Invalid value: 4: factor MultipleOf declared for a must be positive: 0"]),
    ({"type": "number", "enum": [1]}, 1.0, []),
    ({"type": "object", "enum": [{"x": 1}]}, {"x": 1}, []),
    ({"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1}, ["x"], []),
    ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, ["x", "y"], []),
    ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, ["x", "x"],
     ["a: Invalid value: \"\": a in body shouldn't contain duplicates"]),
    ({"type": "object", "minProperties": 1, "maxProperties": 1}, {"x": 1}, []),
    ({"type": "object", "properties": {"x": {}}, "additionalProperties": False}, {"x": 1, "y": 2},
     ['a: Invalid value: "y": a.y in body is a forbidden property']),
    ({"type": "object", "required": ["x"]}, {"x": None}, []),
    ({"x-kubernetes-int-or-string": True}, 5, []),
    ({"type": "integer", "not": {"enum": [1]}}, 2, []),
    ({"type": "integer", "allOf": [{"minimum": 5}, {"minimum": 6}]}, 4,
     ["a: Invalid value: 4: a in body should be greater than or equal to 5",
      "a: Invalid value: 4: a in body should be greater than or equal to 6",
      '<nil>: Invalid value: "": "a" must validate all the schemas (allOf). None validated']),
    ({"type": "integer", "allOf": [{"minimum": 2}, {"maximum": 3}]}, 3, []),
    ({"type": "integer", "oneOf": [{"minimum": 4}, {"maximum": 3}]}, 3, []),
    ({"type": "integer", "oneOf": [{"minimum": 5}, {"maximum": 3}]}, 4,
     ['<nil>: Invalid value: "": "a" must validate one and only one schema (oneOf). Found none '
      "valid",
      "a: Invalid value: 4: a in body should be greater than or equal to 5"]),
    ({"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]}, 1, []),
    (
        {"type": "string", "enum": ["x", "y"]},
        "z",
        ['a: Unsupported value: "z": supported values: "x", "y"'],
    ),
    (
        {"type": "integer", "enum": [1, 2]},
        3,
        ['a: Unsupported value: 3: supported values: "1", "2"'],
    ),
    ({"type": "integer", "maximum": 3}, 3, []),
    (
        {"type": "integer", "maximum": 3},
        4,
        ["a: Invalid value: 4: a in body should be less than or equal to 3"],
    ),
    (
        {"type": "integer", "maximum": 3, "exclusiveMaximum": True},
        3,
        ["a: Invalid value: 3: a in body should be less than 3"],
    ),
    (
        {"type": "number", "minimum": 0.5},
        0.25,
        ["a: Invalid value: 0.25: a in body should be greater than or equal to 0.5"],
    ),
    (
        {"type": "integer", "minimum": 3, "exclusiveMinimum": True},
        3,
        ["a: Invalid value: 3: a in body should be greater than 3"],
    ),
    (
        {"type": "integer", "multipleOf": 3},
        7,
        ["a: Invalid value: 7: a in body should be a multiple of 3"],
    ),
    ({"type": "number", "multipleOf": 0.1}, 0.3, []),
    (
        {"type": "array", "items": {"type": "string"}, "minItems": 2},
        ["x"],
        ["a: Invalid value: 1: a in body should have at least 2 items"],
    ),
    (
        {"type": "array", "items": {"type": "string"}, "maxItems": 1},
        ["x", "y"],
        ["a: Too many: 2: must have at most 1 item"],
    ),
    (
        {"type": "array", "items": {"type": "string"}},
        ["x", 1],
        ['a[1]: Invalid value: "integer": a[1] in body must be of type string: "integer"'],
    ),
    (
        {"type": "object", "maxProperties": 1},
        {"x": 1, "y": 2},
        ["a: Too many: 2: must have at most 1 item"],
    ),
    (
        {"type": "object", "minProperties": 1},
        {},
        ["a: Invalid value: 0: a in body should have at least 1 properties"],
    ),
    ({"type": "object", "required": ["x"]}, {}, ["a.x: Required value"]),
    (
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"k": "v"},
        ['a.k: Invalid value: "string": a.k in body must be of type integer: "string"'],
    ),
    ({"x-kubernetes-int-or-string": True}, "50%", []),
    (
        {"x-kubernetes-int-or-string": True},
        True,
        ['a: Invalid value: "boolean": a in body must be of type integer,string: "boolean"'],
    ),
    ({"type": "string", "format": "date-time"}, "2026-01-01T00:00:00Z", []),
    (
        {"type": "string", "format": "date-time"},
        "soon",
        ['a: Invalid value: "soon": a in body must be of type date-time: "soon"'],
    ),
    ({"type": "string", "format": "who-knows"}, "soon", []),
    (
        {"type": "integer", "not": {"enum": [1]}},
        1,
        ['<nil>: Invalid value: "": "a" must not validate the schema (not)'],
    ),
    (
        {"type": "integer", "allOf": [{"minimum": 2}, {"maximum": 3}]},
        4,
        [
            "a: Invalid value: 4: a in body should be less than or equal to 3",
            '<nil>: Invalid value: "": "a" must validate all the schemas (allOf)',
        ],
    ),
    (
        {"type": "integer", "oneOf": [{"minimum": 2}, {"maximum": 3}]},
        3,
        [
            '<nil>: Invalid value: "": "a" must validate one and only one schema (oneOf). '
            "Found 2 valid alternatives"
        ],
    ),
    (
        {"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]},
        3,
        [
            '<nil>: Invalid value: "": "a" must validate at least one schema (anyOf)',
            "a: Invalid value: 3: a in body should be greater than or equal to 5",
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "value", "expected"), CASES)
def test_a_value_is_refused_in_upstreams_words(
    raw: dict[str, Any], value: Any, expected: list[str]
) -> None:
    assert said(raw, value) == expected


def test_what_was_there_before_and_has_not_changed_is_excused() -> None:
    raw = {"type": "integer", "maximum": 3}
    assert said(raw, 9, 9) == []
    assert said(raw, 9, 8) != []
    assert said(raw, 9, None) != []


def test_a_broken_neighbour_does_not_stop_a_change() -> None:
    fields = {"x": {"type": "integer", "maximum": 3}, "y": {"type": "integer"}}
    raw = {"type": "object", "properties": fields, "required": ["z"]}
    assert said(raw, {"x": 9, "y": 2}, {"x": 9, "y": 1}) == ["a.z: Required value"]


def test_items_with_keys_are_excused_one_by_one_and_others_only_together() -> None:
    item = {
        "type": "object",
        "properties": {"k": {"type": "string"}, "n": {"maximum": 1, "type": "integer"}},
    }
    keyed = {
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
    }
    old, new = [{"k": "a", "n": 5}], [{"k": "b", "n": 1}, {"k": "a", "n": 5}]
    assert said(keyed, new, old) == []
    atomic = {"type": "array", "items": item}
    assert said(atomic, new, old) == [
        "a[1].n: Invalid value: 5: a[1].n in body should be less than or equal to 1"
    ]
    assert said(atomic, old, old) == []


def test_of_alternatives_the_one_that_fits_most_is_told_of() -> None:
    one, two = {"required": ["x"]}, {"required": ["y"], "properties": {"k": {}}}
    fields = {"k": {"type": "string"}, "x": {"type": "string"}, "y": {"type": "string"}}
    for word in ("anyOf", "oneOf"):
        raw = {"type": "object", "properties": fields, word: [one, two]}
        first, *rest = said(raw, {"k": "two"})
        assert f"({word})" in first
        assert rest == ["a.y: Required value"]


def test_what_was_there_before_is_found_under_its_name_and_in_order_only() -> None:
    least = {"type": "integer", "minimum": 5}
    values = {"type": "object", "additionalProperties": least}
    assert said(values, {"x": 1, "y": 9}, {"x": 1}) == []
    assert said(values, {"y": 1}, {"x": 1}) != []
    assert said(values, {"x": 1}, [1]) != []
    assert said({"type": "array", "items": least, "maxItems": 1}, [1], [1, 1]) != []


def test_numbers_print_as_in_go() -> None:
    shown = {0.0: "0", 3: "3", 1e20: "100000000000000000000", 1e21: "1e+21", 0.0001: "0.0001",
             0.00001: "1e-05", -1.5e-7: "-1.5e-07", 123456.75: "123456.75",
             float("inf"): "+Inf", float("-inf"): "-Inf"}  # fmt: skip
    assert {value: numbers.printed(value) for value in shown} == shown
    assert numbers.printed(float("nan")) == "NaN"
    assert numbers.is_whole(2.0**53 - 1) and not numbers.is_whole(2.0**53)
    assert numbers.is_whole(1 + 1e-12) and not numbers.is_whole(1.001)
    assert not numbers.is_whole(float("inf")) and not numbers.in_range(float("inf"), "integer", "")


def test_a_boolean_is_no_number_that_was_there_before() -> None:
    assert said({"type": "boolean"}, 1, True) != []
