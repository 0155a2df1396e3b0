"""OpenAPI version 3 in its binary form: what must stand under which number (gnostic's messages)."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from steersman.wire.protobuf.fields import fields
from steersman.wire.protobuf.openapi_v3 import encode

DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.0",
    "info": {"title": "Kubernetes", "version": "v1.37.0"},
    "paths": {
        "/a": {
            "parameters": [
                {"name": "n", "in": "path", "required": True, "schema": {"type": "string"}}
            ],
            "patch": {
                "operationId": "patchA",
                "tags": ["a"],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/b"}}},
                    "required": True,
                },
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-action": "patch",
            },
        }
    },
    "components": {
        "schemas": {},
        "securitySchemes": {"BearerToken": {"type": "apiKey", "name": "authorization"}},
    },
}


def inside(body: Any, *numbers: int) -> Any:
    """Returns what stands under a number, in that under the next, and so on."""
    for number in numbers:
        (body,) = [value for found, value in fields(body) if found == number]
    return body


def text(body: Any, *numbers: int) -> str:
    return bytes(inside(body, *numbers)).decode()


def test_a_document_has_its_parts() -> None:
    body = encode(DOCUMENT)
    assert text(body, 1) == "3.0.0"
    assert (text(body, 2, 1), text(body, 2, 6)) == ("Kubernetes", "v1.37.0")
    assert text(body, 5, 7, 1, 1) == "BearerToken"
    assert text(body, 5, 7, 1, 2, 1, 3) == "authorization"
    assert text(body, 4, 1, 1) == "/a"


def test_an_operation_has_its_parts() -> None:
    path = inside(encode(DOCUMENT), 4, 1, 2)
    assert (text(path, 13, 1, 1), text(path, 13, 1, 2)) == ("n", "path")
    assert inside(path, 13, 1, 4) == 1
    assert text(path, 13, 1, 10, 1, 25) == "string"
    assert (text(path, 10, 1), text(path, 10, 5)) == ("a", "patchA")
    assert text(path, 10, 7, 1, 2, 1, 1) == "application/json"
    assert text(path, 10, 7, 1, 2, 1, 2, 1, 2, 1) == "#/b"
    assert inside(path, 10, 7, 1, 3) == 1
    assert (text(path, 10, 8, 2, 1), text(path, 10, 8, 2, 2, 1, 1)) == ("200", "OK")
    assert text(path, 10, 13, 1) == "x-kubernetes-action"
    assert text(path, 10, 13, 2, 2) == '"patch"'


def schema(given: dict[str, Any]) -> Any:
    """Returns the Schema that one is written as."""
    components = {"schemas": {"S": given}}
    return inside(encode({**DOCUMENT, "components": components}), 5, 1, 1, 2, 1)


@pytest.mark.parametrize(
    ("field", "value", "numbers", "found"),
    [
        ("nullable", True, (1,), 1),
        ("maxLength", 300, (15,), 300),
        ("minimum", -1, (13,), struct.pack("<d", -1.0)),
        ("required", ["a"], (23,), b"a"),
        ("enum", ["a"], (24, 2), b'"a"'),
        ("oneOf", [{"type": "string"}], (27, 1, 25), b"string"),
        ("not", {"pattern": "a"}, (29, 17), b"a"),
        ("items", {"$ref": "#/b"}, (30, 1, 2, 1), b"#/b"),
        ("properties", {"a": {"format": "int32"}}, (31, 1, 2, 1, 35), b"int32"),
        ("additionalProperties", {"title": "a"}, (32, 1, 1, 9), b"a"),
        ("additionalProperties", False, (32, 2), 0),
        ("default", False, (33, 2), 0),
        ("default", "", (33, 3), b""),
        ("default", 80, (33, 1), struct.pack("<d", 80.0)),
        ("x-kubernetes-list-type", "map", (36, 2, 2), b'"map"'),
    ],
)
def test_a_schema_has_its_fields(
    field: str, value: Any, numbers: tuple[int, ...], found: bytes | int
) -> None:
    assert inside(schema({field: value}), *numbers) == found


def test_a_default_that_is_an_object_is_left_out() -> None:
    assert bytes(schema({"default": {}})) == b""
