"""OpenAPI documents of version 2 made one."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some

from steersman.api.aggregation.merging import DEEPEST, merge, read

Document = dict[str, Any]
GVK = "x-kubernetes-group-version-kind"
ROOT = "/apis/example.com/v1"


def path(definition: str, word: str = "read") -> Document:
    schema = {"$ref": f"#/definitions/{definition}"}
    responses = {"200": {"description": word, "schema": schema}}
    return {"get": {"operationId": word, "responses": responses}}


def refers(definition: str, **more: Any) -> Document:
    inner = {"x": {"items": {"$ref": f"#/definitions/{definition}"}, "type": "array"}}
    return {"type": "object", "properties": inner, **more}


def said(paths: Document, **definitions: Any) -> bytes:
    named = {name.replace("_", "."): one for name, one in definitions.items()}
    return orjson.dumps({"swagger": "2.0", "paths": paths, "definitions": named})


def test_of_a_document_what_is_below_its_root_is_read_with_what_that_needs() -> None:
    found = read(
        said(
            {f"{ROOT}/a": path("one"), "/apis/other/v1/b": path("two"), "/version": path("four")},
            one=refers("three"),
            two=refers("three"),
            three={"type": "string"},
            four={"type": "string"},
            unused={"type": "string"},
        ),
        ROOT,
    )
    assert list(found["paths"]) == [f"{ROOT}/a"]
    assert set(found["definitions"]) == {"one", "three", "unused"}


def test_a_group_whose_name_begins_alike_is_another() -> None:
    assert read(said({f"{ROOT}beta1/a": path("one")}), ROOT)["paths"] == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"paths": [1]}',
        b'{"definitions": 1}',
        b'{"paths": {"%s/a": 1}}' % ROOT.encode(),
        b'{"paths": {"%s/a": {"get": 1}}}' % ROOT.encode(),
        b'{"paths": {"%s/a": {"parameters": [{"in": "nowhere", "name": "a"}]}}}' % ROOT.encode(),
        b'{"definitions": {"a": 1}}',
        b'{"definitions": {"a": {"properties": [1]}}}',
        b'{"definitions": {"a": ' + b'{"items":' * DEEPEST + b"1" + b"}" * DEEPEST + b"}}",
    ],
)
def test_what_is_no_document_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        read(body, ROOT)


_TEXTS = ("#/definitions/a", "")
_VALUES = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-9, 9)
    | some.sampled_from(("#/definitions/a", "")),
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.dictionaries(
            some.sampled_from(
                (
                    "$ref",
                    "a",
                    "get",
                    "items",
                    "properties",
                    "parameters",
                    "in",
                    "schema",
                    GVK,
                    "type",
                )
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(some.dictionaries(some.just("a"), _VALUES), some.dictionaries(some.just("a"), _VALUES))
def test_whatever_a_server_says_is_refused_or_can_be_merged(one: Any, other: Any) -> None:
    body = orjson.dumps({"paths": {f"{ROOT}/{key}": it for key, it in one.items()},
                         "definitions": other})  # fmt: skip
    try:
        found = read(body, ROOT)
    except ValueError:
        return
    whole: Document = {"paths": {}, "definitions": {"a": {"type": "object", GVK: [{"kind": "A"}]}}}
    merge(whole, found)
    assert set(whole["paths"]) == set(found["paths"])


def test_paths_of_the_whole_win_with_the_definitions_that_only_the_others_need() -> None:
    whole: Document = {"paths": {"/a": path("mine", "first")}, "definitions": {"mine": {}}}
    other = {
        "paths": {"/a": path("theirs"), "/b": path("shared")},
        "definitions": {"theirs": {}, "shared": {}, "unused": {}},
    }
    merge(whole, other)
    assert whole["paths"]["/a"]["get"]["operationId"] == "first"
    assert set(whole["definitions"]) == {"mine", "shared", "unused"}
    before = orjson.dumps(whole)
    merge(whole, {"paths": {"/a": path("new")}, "definitions": {"new": {}}})
    assert orjson.dumps(whole) == before


def test_definitions_of_one_name_that_say_other_things_get_a_number() -> None:
    whole: Document = {
        "paths": {},
        "definitions": {"meta": {"type": "object"}, "meta_v2": {"type": "integer"}, "same": {}},
    }
    other = {
        "paths": {"/b": path("user")},
        "definitions": {"meta": {"type": "string"}, "user": refers("meta"), "same": {}},
    }
    merge(whole, other)
    assert whole["definitions"]["meta"] == {"type": "object"}
    assert whole["definitions"]["meta_v3"] == {"type": "string"}
    assert whole["definitions"]["user"] == refers("meta_v3")
    assert "same_v2" not in whole["definitions"]
    third = {"paths": {"/c": path("meta")}, "definitions": {"meta": {"type": "string"}}}
    merge(whole, third)
    assert whole["paths"]["/c"] == path("meta_v3")
    assert "meta_v4" not in whole["definitions"]


def test_a_number_that_the_others_use_themselves_is_not_taken() -> None:
    whole: Document = {"paths": {}, "definitions": {"a": {"type": "object"}}}
    own = {"a": {"type": "string"}, "a_v2": {"type": "boolean"}}
    merge(whole, {"paths": {"/b": path("a")}, "definitions": own})
    assert whole["definitions"]["a_v3"] == {"type": "string"}
    assert whole["definitions"]["a_v2"] == {"type": "boolean"}


def test_definitions_that_differ_in_their_kinds_alone_are_one_for_all_of_them() -> None:
    one, two, three = {"kind": "A"}, {"kind": "B"}, {"kind": "C"}
    whole: Document = {
        "paths": {},
        "definitions": {"o": {"type": "object", GVK: [one, two]}, "n": {}},
    }
    added = {"o": {"type": "object", GVK: [two, three]}, "n": {GVK: [one]}}
    merge(whole, {"paths": {"/b": path("o")}, "definitions": added})
    assert whole["definitions"] == {
        "o": {"type": "object", GVK: [one, two, three]},
        "n": {GVK: [one]},
    }
