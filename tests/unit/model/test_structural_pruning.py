"""What a schema does to a document: unknown fields and nulls go, defaults come, objects inside of
objects are taken into shape, and what stands twice or scales is checked.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from steersman.model.structural import defaulting, embedded, lists, pruning, scaling
from steersman.model.structural.scaling import MOST_REPLICAS, Scaling

STRING: dict[str, Any] = {"type": "string"}
KEEPS = {"x-kubernetes-preserve-unknown-fields": True}
EMBEDDED = {"type": "object", "x-kubernetes-embedded-resource": True}
KNOWN = {"type": "object", "properties": {"x": STRING}}


@pytest.mark.parametrize(
    ("raw", "value", "left", "removed"),
    [
        (STRING, "v", "v", []),
        (KNOWN, {"x": "v", "y": 1}, {"x": "v"}, ["a.y"]),
        ({**KNOWN, **KEEPS}, {"x": {"z": 1}, "y": 1}, {"x": {}, "y": 1}, ["a.x.z"]),
        ({"type": "object", "additionalProperties": KNOWN}, {"k": {"x": "v", "y": 1}},
         {"k": {"x": "v"}}, ["a.k.y"]),
        ({"type": "object", "additionalProperties": True}, {"k": {"y": 1}}, {"k": {}}, ["a.k.y"]),
        ({"type": "object", **KEEPS, "additionalProperties": KNOWN}, {"k": {"y": 1}}, {"k": {}},
         ["a.k.y"]),
        ({"type": "array", "items": KNOWN}, [{"y": 1}, {"x": "v"}], [{}, {"x": "v"}], ["a[0].y"]),
        ({"type": "array"}, [{"y": 1}], [{}], ["a[0].y"]),
        ({**KEEPS}, [{"y": 1}], [{"y": 1}], []),
        ({**KEEPS, "items": KNOWN}, [{"y": [1]}, 1], [{"y": [1]}, 1], []),
        ({**KEEPS, "items": {"properties": {"x": KNOWN}}}, [{"x": {"y": 1}}], [{"x": {}}],
         ["a[0].x.y"]),
        ({**EMBEDDED, "properties": {"x": STRING}},
         {"kind": "K", "apiVersion": "v1", "metadata": {"q": 1}, "y": 1},
         {"kind": "K", "apiVersion": "v1", "metadata": {"q": 1}}, ["a.y"]),
        ({**EMBEDDED, **KEEPS, "properties": {"metadata": KNOWN}}, {"metadata": {"q": 1}, "y": 1},
         {"metadata": {"q": 1}, "y": 1}, []),
        ({"type": "object"}, {"kind": "K"}, {}, ["a.kind"]),
    ],
)  # fmt: skip
def test_what_a_schema_does_not_name_goes(raw: Any, value: Any, left: Any, removed: Any) -> None:
    document = {"kind": "K", "metadata": {"q": 1}, "a": copy.deepcopy(value), "b": 1}
    schema = {"type": "object", "properties": {"a": raw}}
    assert pruning.prune(document, schema) == [*removed, "b"]
    assert document == {"kind": "K", "metadata": {"q": 1}, "a": left}


def test_a_value_that_is_no_object_of_its_own_keeps_no_kind() -> None:
    value = {"kind": "K", "x": "v"}
    pruning.prune_value(value, KNOWN)
    assert value == {"x": "v"}


@pytest.mark.parametrize(
    ("raw", "value", "left"),
    [
        (STRING, None, {}),
        ({**STRING, "nullable": True}, None, {"a": None}),
        ({**STRING, "default": "d"}, None, {"a": None}),
        ({"type": "array", "items": KNOWN}, [{"x": None}, None], {"a": [{}, None]}),
        ({"type": "object", "additionalProperties": STRING}, {"k": None}, {"a": {}}),
        ({"type": "object", **KEEPS}, {"k": None}, {"a": {"k": None}}),
    ],
)
def test_a_null_goes_that_is_neither_allowed_nor_defaulted(raw: Any, value: Any, left: Any) -> None:
    document = {"a": copy.deepcopy(value)}
    pruning.drop_nulls(document, {"type": "object", "properties": {"a": raw}})
    assert document == left


D = {"type": "string", "default": "d"}


@pytest.mark.parametrize(
    ("raw", "given", "left"),
    [
        (D, {}, {"a": "d"}),
        (D, {"a": "v"}, {"a": "v"}),
        (D, {"a": ""}, {"a": ""}),
        (D, {"a": None}, {"a": "d"}),
        ({**D, "nullable": True}, {"a": None}, {"a": None}),
        ({"type": "object", "properties": {"x": D}}, {}, {}),
        ({"type": "object", "properties": {"x": D}}, {"a": {}}, {"a": {"x": "d"}}),
        ({"type": "object", "default": {}, "properties": {"x": D}}, {}, {"a": {"x": "d"}}),
        ({"type": "array", "items": D}, {"a": [None, "v"]}, {"a": ["d", "v"]}),
        ({"type": "array", "items": {**D, "nullable": True}}, {"a": [None]}, {"a": [None]}),
        ({"type": "array", "items": {"properties": {"x": D}}}, {"a": [{}]}, {"a": [{"x": "d"}]}),
        ({"type": "object", "additionalProperties": D}, {"a": {"k": None}}, {"a": {"k": "d"}}),
        ({"type": "object", "additionalProperties": {**D, "nullable": True}}, {"a": {"k": None}},
         {"a": {"k": None}}),
        ({"additionalProperties": {"properties": {"x": D}}}, {"a": {"k": {}}},
         {"a": {"k": {"x": "d"}}}),
        ({"type": "array"}, {"a": [None]}, {"a": [None]}),
    ],
)  # fmt: skip
def test_what_is_left_out_or_null_has_its_default(raw: Any, given: Any, left: Any) -> None:
    schema = {"type": "object", "properties": {"a": raw}}
    document = copy.deepcopy(given)
    defaulting.default(document, schema)
    assert document == left
    has = "default" in str(raw)
    assert defaulting.has_defaults(schema) is has


def test_defaults_are_not_shared() -> None:
    raw = {"type": "object", "properties": {"a": {"type": "array", "default": [{"b": []}]}}}
    one: dict[str, Any] = {}
    defaulting.default(one, raw)
    one["a"][0]["b"].append(1)
    other: dict[str, Any] = {}
    defaulting.default(other, raw)
    assert other == {"a": [{"b": []}]}


OBJECT = {"apiVersion": "v1", "kind": "K"}


def wrong(value: Any, raw: Any = EMBEDDED) -> list[str]:
    schema = {"type": "object", "properties": {"a": raw}}
    return [f"{one.field}: {one.message}" for one in embedded.check({"a": value}, schema)]


def test_an_embedded_object_has_a_kind_and_good_metadata() -> None:
    assert wrong(OBJECT) == wrong({**OBJECT, "metadata": {"name": "n", "namespace": "s"}}) == []
    assert wrong({}) == ["a.apiVersion: Required value", "a.kind: Required value"]
    assert wrong({"apiVersion": 1, "kind": ""}) == [
        "a.apiVersion: Invalid value: 1: must be a string",
        'a.kind: Invalid value: "": must not be empty',
    ]
    assert wrong({"apiVersion": "g/v1", "kind": "K"}) == []
    assert wrong({"apiVersion": "g/h/v1", "kind": "K"}) == [
        'a.apiVersion: Invalid value: "g/h/v1": unexpected GroupVersion string: g/h/v1'
    ]
    assert wrong({**OBJECT, "kind": "1K"})[0].startswith(
        'a.kind: Invalid value: "1K": may have mixed case, but should otherwise match: '
    )
    assert wrong({**OBJECT, "metadata": {"name": "a/b"}})[0].startswith("a.metadata.name: ")
    assert wrong({**OBJECT, "metadata": {"labels": {"a b": ""}}})[0].startswith("a.metadata.labels")
    inner = {"type": "array", "items": EMBEDDED}
    assert wrong([OBJECT, {"kind": "K"}], inner) == ["a[1].apiVersion: Required value"]
    assert wrong([{}], {"type": "array"}) == wrong({}, {"type": "object"}) == []


def test_metadata_of_embedded_objects_is_pruned_and_told_of() -> None:
    raw = {"type": "object", "properties": {"a": {"type": "array", "items": EMBEDDED}}}
    value = {"a": [{**OBJECT, "metadata": {"name": "n", "odd": 1}}, {"metadata": None}, {}]}
    assert embedded.coerce(value, raw) == ["a[0].metadata.odd"]
    assert value == {"a": [{**OBJECT, "metadata": {"name": "n"}}, {"metadata": {}}, {}]}
    for bad, told in (
        ({"kind": 1}, "a[0].kind: Invalid value: 1: must be a string"),
        ({"apiVersion": []}, "a[0].apiVersion: Invalid value: []: must be a string"),
        ({"metadata": {"labels": {"a": 1}}}, "a[0].metadata: Invalid value: "),
    ):
        with pytest.raises(embedded.BadMetadata) as caught:
            embedded.coerce({"a": [bad]}, raw)
        assert str(caught.value).startswith(told)
    assert embedded.has_embedded(raw) and embedded.has_embedded({"additionalProperties": EMBEDDED})
    assert not embedded.has_embedded(KNOWN)


SET = {"type": "array", "x-kubernetes-list-type": "set", "items": STRING}
MAP = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["k", "l"],
    "items": {"type": "object", "properties": {"s": SET}},
}


@pytest.mark.parametrize(
    ("raw", "value", "expected"),
    [
        (SET, ["a", "b"], []),
        (SET, ["a", "b", "a", "a"], ['a[2]: Duplicate value: "a"']),
        (SET, [1, True, "1"], []),
        (SET, [{"a": 1, "b": 2}, {"b": 2, "a": 1}], ['a[1]: Duplicate value: {"b":2,"a":1}']),
        (MAP, [{"k": 1, "l": 1}, {"k": 1, "l": 2}, {"k": 1}], []),
        (MAP, [{"k": 1, "x": 1}, {"k": 1, "x": 2}], ['a[1]: Duplicate value: {"k":1}']),
        (MAP, [{"k": 1}, 5, {"k": 1}],
         ["a[1]: Invalid value: 5: must be an object for an array of list-type map"]),
        (MAP, [{"s": ["x", "x"]}], ['a[0].s[1]: Duplicate value: "x"']),
        ({"type": "object", "additionalProperties": SET}, {"k": ["x", "x"]},
         ['a.k[1]: Duplicate value: "x"']),
        ({"type": "array", "items": STRING}, ["x", "x"], []),
    ],
)  # fmt: skip
def test_what_stands_twice_is_told_once(raw: Any, value: Any, expected: list[str]) -> None:
    schema = {"type": "object", "properties": {"a": raw}}
    found = [f"{one.field}: {one.message}" for one in lists.check({"a": value}, schema)]
    assert found == expected
    assert lists.has_lists(schema) is ("x-kubernetes-list-type" in str(raw))


SCALING = Scaling(".spec.n", ".status.n", ".status.s")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, []),
        ({"spec": {"n": 0}, "status": {"n": MOST_REPLICAS, "s": "a=b"}}, []),
        ({"spec": None, "status": {"n": None, "s": None}}, []),
        ({"spec": {"n": -1}}, [".spec.n: Invalid value: -1: should be a non-negative integer"]),
        (
            {"status": {"n": MOST_REPLICAS + 1}},
            [".status.n: Invalid value: 2147483648: should be less than or equal to 2147483647"],
        ),
        (
            {"spec": {"n": True}},
            [
                ".spec.n: Invalid value: 0: .spec.n accessor error: true is of the type bool, "
                "expected int64"
            ],
        ),
        (
            {"spec": 5},
            [
                ".spec.n: Invalid value: 0: .spec.n accessor error: 5 is of the type int64, "
                "expected map[string]interface{}"
            ],
        ),
        (
            {"status": {"s": 1}},
            [
                '.status.s: Invalid value: "": .status.s accessor error: 1 is of the type int64, '
                "expected string"
            ],
        ),
    ],
)
def test_the_numbers_of_a_scale_are_checked(document: Any, expected: list[str]) -> None:
    found = scaling.check(document, SCALING, spec=True)
    assert [f"{one.field}: {one.message}" for one in found] == expected
    status = [text for text in expected if text.startswith(".status")]
    found = scaling.check(document, SCALING, spec=False)
    assert [f"{one.field}: {one.message}" for one in found] == status
