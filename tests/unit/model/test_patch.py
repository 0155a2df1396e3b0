"""JSON patch (the examples of RFC 6902) and JSON merge patch (those of RFC 7396)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from steersman.model import patch
from steersman.model.errors import BadRequest, Invalid, RequestTooLarge
from steersman.model.patch import PatchFailed, PatchMalformed, equal, json_patch, merge_patch

APPLIED: list[tuple[Any, list[dict[str, Any]], Any]] = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
    ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
    ({"a": [1]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2]}),
    ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": [2]}], {"a": [1, [2]]}),
    ({"a": [1, 2]}, [{"op": "add", "path": "/a/-1", "value": 3}], {"a": [1, 2, 3]}),
    ({"a": [1, 2]}, [{"op": "add", "path": "/a/-2", "value": 3}], {"a": [1, 3, 2]}),
    ({"a": 1}, [{"op": "add", "path": "/a", "value": None}], {"a": None}),
    ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
    ({"a": [1, 2, 3]}, [{"op": "remove", "path": "/a/1"}], {"a": [1, 3]}),
    ({"a": [1, 2, 3]}, [{"op": "remove", "path": "/a/-1"}], {"a": [1, 2]}),
    ({"a": 1}, [{"op": "replace", "path": "/a", "value": 2}], {"a": 2}),
    ({"a": [1, 2]}, [{"op": "replace", "path": "/a/-1", "value": 3}], {"a": [1, 3]}),
    ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
    ({"a": 1}, [{"op": "add", "path": "", "value": {"b": 2}}], {"b": 2}),
    ({"a": {"b": 1}, "c": {}}, [{"op": "move", "from": "/a/b", "path": "/c/d"}],
     {"a": {}, "c": {"d": 1}}),
    ({"a": [1, 2, 3]}, [{"op": "move", "from": "/a/0", "path": "/a/2"}], {"a": [2, 3, 1]}),
    ({"a": {"b": [1]}}, [{"op": "copy", "from": "/a", "path": "/c"},
                         {"op": "add", "path": "/a/b/-", "value": 2}],
     {"a": {"b": [1, 2]}, "c": {"b": [1]}}),
    ({"a": {"b": [1]}}, [{"op": "add", "path": "/a/b/-", "value": 2},
                         {"op": "copy", "from": "/a/b", "path": "/c"},
                         {"op": "add", "path": "/c/-", "value": 3}],
     {"a": {"b": [1, 2]}, "c": [1, 2, 3]}),
    ({"a/b": 1, "m~n": 2, "": 3}, [{"op": "test", "path": "/a~1b", "value": 1},
                                   {"op": "test", "path": "/m~0n", "value": 2},
                                   {"op": "test", "path": "/", "value": 3},
                                   {"op": "replace", "path": "/a~1b", "value": 4}],
     {"a/b": 4, "m~n": 2, "": 3}),
    ({"~1": 1}, [{"op": "remove", "path": "/~01"}], {}),
    ({"a": 1.0}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1.0}),
    ({}, [{"op": "test", "path": "/a", "value": None}], {}),
    ({}, [{"op": "test", "path": "/a"}], {}),
    ({"a": {"x": [1]}}, [{"op": "test", "path": "", "value": {"a": {"x": [1]}}}],
     {"a": {"x": [1]}}),
    ({"0": {"a": 1}}, [{"op": "remove", "path": "/0/a"}], {"0": {}}),
    ({}, [], {}),
]  # fmt: skip


@pytest.mark.parametrize(("document", "operations", "result"), APPLIED)
def test_a_json_patch_is_applied_and_changes_no_argument(
    document: Any, operations: list[dict[str, Any]], result: Any
) -> None:
    before = copy.deepcopy((document, operations))
    assert json_patch(document, operations) == result
    assert (document, operations) == before


FAILING: list[tuple[Any, dict[str, Any], str]] = [
    ({"a": 1}, {"op": "test", "path": "/a", "value": 2}, "testing value /a failed: test failed"),
    ({"a": 1}, {"op": "test", "path": "/a", "value": True}, "testing value /a failed"),
    ({"a": 1}, {"op": "test", "path": "/a", "value": "1"}, "testing value /a failed"),
    ({"a": 1}, {"op": "test", "path": "/a", "value": None}, "testing value /a failed"),
    ({"a": None}, {"op": "test", "path": "/a", "value": 1}, "testing value /a failed"),
    ({"a": 1}, {"op": "test", "path": "/b", "value": 1}, "testing value /b failed"),
    ({"a": {}}, {"op": "test", "path": "/b/c", "value": 1}, "test operation does not apply"),
    ({"a": [1]}, {"op": "test", "path": "/a/1", "value": None}, "invalid index: 1"),
    ({"a": 1}, {"op": "remove", "path": "/b"}, "nonexistent key: b"),
    ({"a": 1}, {"op": "remove", "path": ""}, "doc is missing path"),
    ({"a": [1]}, {"op": "remove", "path": "/a/1"}, "invalid index: 1"),
    ({"a": [1]}, {"op": "remove", "path": "/a/-2"}, "invalid index: -2"),
    ({"a": [1]}, {"op": "remove", "path": "/a/-"}, "not a proper array index: '-'"),
    ({"a": [1]}, {"op": "add", "path": "/a/2", "value": 1}, "invalid index: 2"),
    ({"a": [1]}, {"op": "add", "path": "/a/x", "value": 1}, "not a proper array index: 'x'"),
    ({"a": 1}, {"op": "add", "path": "/b/c", "value": 1}, "add operation does not apply"),
    ({"a": 1}, {"op": "add", "path": "/a/c", "value": 1}, "add operation does not apply"),
    ({"a": 1}, {"op": "add", "path": "/b"}, "missing value field"),
    ({"a": 1}, {"op": "add", "path": "b", "value": 1}, "missing path"),
    ({"a": 1}, {"op": "add", "value": 1}, "operation missing path field"),
    ({"a": 1}, {"op": "replace", "path": "/b", "value": 1}, "doc is missing key: /b"),
    ({"a": 1}, {"op": "move", "from": "/b", "path": "/c"}, "nonexistent key: b"),
    ({"a": {}}, {"op": "move", "from": "/a", "path": "/a/b"}, "moved into itself"),
    ({"a": 1}, {"op": "copy", "from": "/b", "path": "/c"}, "copy operation does not apply"),
    ({"a": 1}, {"op": "copy", "path": "/c"}, "operation missing from field"),
    ({"a": 1}, {"op": "merge", "path": "/a"}, "Unexpected kind: merge"),
    ({"a": 1}, {"path": "/a"}, "Unexpected kind: unknown"),
]


@pytest.mark.parametrize(("document", "operation", "why"), FAILING)
def test_a_json_patch_that_does_not_fit_is_unprocessable(
    document: Any, operation: dict[str, Any], why: str
) -> None:
    with pytest.raises(PatchFailed) as caught:
        json_patch(document, [operation])
    error = caught.value
    assert why in error.why
    assert isinstance(error, Invalid)
    assert error.message == "the server rejected our request due to an error in our request"
    assert error.status()["details"] == {}


def test_a_patch_that_fails_half_way_changes_nothing() -> None:
    document = {"a": {"b": 1}}
    operations = [{"op": "add", "path": "/a/c", "value": 2}, {"op": "remove", "path": "/x"}]
    with pytest.raises(PatchFailed):
        json_patch(document, operations)
    assert document == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("operations", "kind"), [({}, "object"), ("x", "value"), ([1], "value"), (None, "value")]
)
def test_what_is_no_list_of_operations_is_malformed(operations: Any, kind: str) -> None:
    with pytest.raises(PatchMalformed) as caught:
        json_patch({}, operations)
    assert isinstance(caught.value, BadRequest)
    assert f"cannot unmarshal {kind} into Go value of type jsonpatch.Patch" in caught.value.message


def test_a_patch_of_too_many_operations_is_refused() -> None:
    test = {"op": "test", "path": "/a", "value": 1}
    assert json_patch({"a": 1}, [test] * 10_000) == {"a": 1}
    with pytest.raises(RequestTooLarge) as caught:
        json_patch({"a": 1}, [test] * 10_001)
    assert caught.value.message == (
        "Request entity is too large: The allowed maximum operations in a JSON patch is 10000, "
        "got 10001"
    )


def test_copies_may_not_grow_a_document_beyond_the_bound() -> None:
    doubling = [
        {"op": "copy", "from": "", "path": f"/{'ab'[number % 2]}{number}"} for number in range(40)
    ]
    with pytest.raises(PatchFailed) as caught:
        json_patch({"x": "y" * 1000}, doubling)
    assert "exceeding the limit 3145728" in caught.value.why


def test_moves_may_not_nest_a_document_beyond_the_bound() -> None:
    deeper: list[dict[str, Any]] = []
    for _ in range(patch.MAX_DEPTH):
        deeper += [
            {"op": "add", "path": "/t", "value": {}},
            {"op": "move", "from": "/r", "path": "/t/r"},
            {"op": "move", "from": "/t", "path": "/r"},
        ]
    with pytest.raises(PatchFailed) as caught:
        json_patch({"r": {}}, deeper)
    assert "nests deeper" in caught.value.why
    assert json_patch({"r": {}}, deeper[:30])


def test_unchanged_parts_are_shared() -> None:
    document = {"a": {"b": 1}, "c": {"d": [1]}}
    patched = json_patch(document, [{"op": "replace", "path": "/a/b", "value": 2}])
    assert patched["c"] is document["c"]
    assert merge_patch(document, {"a": {"b": 2}})["c"] is document["c"]


MERGED: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    # upstream takes nulls out of the objects of a list too
    ({}, {"a": [None, {"b": None, "c": 1}]}, {"a": [None, {"c": 1}]}),
]


@pytest.mark.parametrize(("document", "change", "result"), MERGED)
def test_a_merge_patch_is_applied_and_changes_no_argument(
    document: Any, change: Any, result: Any
) -> None:
    before = copy.deepcopy((document, change))
    assert merge_patch(document, change) == result
    assert (document, change) == before


def test_json_values_are_equal_by_value_and_true_is_no_1() -> None:
    assert equal(1, 1.0)
    assert equal({"a": [1, None]}, {"a": [1, None]})
    assert not equal(True, 1)
    assert not equal([False], [0])
    assert not equal({"a": 1}, {"b": 1})
    assert not equal({"a": 1}, {"a": 1, "b": 1})
    assert not equal([1], [1, 2])
    assert not equal({}, [])
    assert not equal(None, {})
    assert not equal("1", 1)
