"""OpenAPI version 2 in its binary form: what must stand under which number (gnostic's messages)."""

from __future__ import annotations

import pytest

from steersman.wire.protobuf.fields import fields
from steersman.wire.protobuf.openapi import encode


@pytest.mark.parametrize(
    ("place", "choice", "kind", "unique"),
    [("header", 1, 5, 20), ("formData", 2, 6, 21), ("query", 3, 6, 21), ("path", 4, 5, 20)],
)
def test_a_parameter_is_a_message_by_where_it_stands(
    place: str, choice: int, kind: int, unique: int
) -> None:
    parameter = {"name": "a", "in": place, "type": "string", "uniqueItems": True}
    item = {"parameters": [parameter]}
    body = encode(
        {
            "swagger": "2.0",
            "info": {"title": "", "version": ""},
            "paths": {"/a": item},
            "definitions": {},
        }
    )
    whole = dict(fields(body))
    named = dict(fields(dict(fields(whole[8]))[2]))
    ((number, told),) = fields(dict(fields(dict(fields(dict(fields(named[2]))[9]))[1]))[2])
    found = dict(fields(told))
    assert number == choice
    assert (bytes(found[2]).decode(), bytes(found[4]).decode()) == (place, "a")
    assert bytes(found[kind]).decode() == "string"
    assert found[unique] == 1
