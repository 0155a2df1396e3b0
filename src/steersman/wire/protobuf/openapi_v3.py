"""An OpenAPI v3 document in its Protocol Buffers form, one for each group and version.

Writes the fields that our documents have, by the numbers of gnostic's openapi.v3 messages; reading
is not served.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

from steersman.wire.protobuf.fields import delimited, varint
from steersman.wire.protobuf.gnostic import (
    Document,
    Write,
    anything,
    entries,
    extensions,
    flag,
    text,
    texts,
)

_VERBS: Final = {
    "get": 4, "put": 5, "post": 6, "delete": 7, "options": 8, "head": 9, "patch": 10,
}  # fmt: skip
_DOUBLE, _VARINT = 1, 0  # wire types


def encode(document: Document) -> bytes:
    """Returns the document as an openapi.v3.Document message."""
    info, components = document["info"], document["components"]
    held = delimited(1, entries(1, components["schemas"], _schema))
    secured = components.get("securitySchemes") or {}
    return b"".join(
        (
            text(1, document["openapi"]),
            delimited(2, text(1, info["title"]) + text(6, info["version"])),
            delimited(4, entries(1, document["paths"], _path)),
            delimited(5, held + delimited(7, entries(1, secured, _security))),
        )
    )


def _path(item: Document) -> bytes:
    verbs = [(number, item[verb]) for verb, number in _VERBS.items() if verb in item]
    operations = (delimited(number, _operation(operation)) for number, operation in verbs)
    return b"".join(operations) + _parameters(13, item) + extensions(14, item)


def _operation(operation: Document) -> bytes:
    body = operation.get("requestBody")
    return b"".join(
        (
            texts(1, operation.get("tags")),
            text(3, operation.get("description")),
            text(5, operation.get("operationId")),
            _parameters(6, operation),
            b"" if body is None else delimited(7, delimited(1, _body(body))),
            delimited(8, entries(2, operation.get("responses") or {}, _response)),
            extensions(13, operation),
        )
    )


def _parameters(number: int, owner: Document) -> bytes:
    given = owner.get("parameters", ())
    return b"".join(delimited(number, delimited(1, _parameter(one))) for one in given)


def _parameter(item: Document) -> bytes:
    named = text(1, item["name"]) + text(2, item["in"]) + text(3, item.get("description"))
    return named + flag(4, item.get("required")) + delimited(10, _schema(item["schema"]))


def _body(body: Document) -> bytes:
    told = text(1, body.get("description"))
    return told + delimited(2, _content(body)) + flag(3, body.get("required"))


def _response(response: Document) -> bytes:
    told = text(1, response.get("description"))
    content = delimited(3, _content(response)) if "content" in response else b""
    return delimited(1, told + content)


def _content(owner: Document) -> bytes:
    """Returns the media types of a body, each with its schema."""
    return entries(1, owner["content"], lambda media: delimited(1, _schema(media["schema"])))


def _security(definition: Document) -> bytes:
    names = ("type", "description", "name", "in")
    fields = (text(number, definition.get(name)) for number, name in enumerate(names, start=1))
    return delimited(1, b"".join(fields))


def _schema(schema: Document) -> bytes:
    """Returns a SchemaOrReference."""
    if "$ref" in schema:
        return delimited(2, text(1, schema["$ref"]))
    return delimited(1, b"".join(_fields(schema)))


def _fields(schema: Document) -> Iterator[bytes]:
    for name, value in schema.items():
        if (found := _FIELDS.get(name)) is not None:
            number, write = found
            yield write(number, value)
    yield extensions(36, schema)


def _schemas(number: int, schemas: list[Document]) -> bytes:
    return b"".join(delimited(number, _schema(one)) for one in schemas)


def _items(number: int, schema: Document) -> bytes:
    return delimited(number, delimited(1, _schema(schema)))


def _properties(number: int, properties: Document) -> bytes:
    return delimited(number, entries(1, properties, _schema))


def _more(number: int, more: Document | bool) -> bytes:
    if isinstance(more, bool):
        return delimited(number, varint(2 << 3 | _VARINT) + (b"\x01" if more else b"\x00"))
    return delimited(number, delimited(1, _schema(more)))


def _default(number: int, value: Any) -> bytes:
    """Returns a default; gnostic has none that are objects or lists."""
    if isinstance(value, bool):
        return delimited(number, varint(2 << 3 | _VARINT) + (b"\x01" if value else b"\x00"))
    if isinstance(value, str):
        return delimited(number, delimited(3, value.encode()))
    if isinstance(value, int | float):
        return delimited(number, _double(1, value))
    return b""


def _double(number: int, value: float) -> bytes:
    return varint(number << 3 | _DOUBLE) + struct.pack("<d", value)


def _whole(number: int, value: int) -> bytes:
    return varint(number << 3 | _VARINT) + varint(value)


def _not(number: int, schema: Document) -> bytes:
    return delimited(number, b"".join(_fields(schema)))


def _documents(number: int, told: Document) -> bytes:
    return delimited(number, text(1, told.get("description")) + text(2, told.get("url")))


def _one(write: Write) -> Callable[[int, Any], bytes]:
    return lambda number, value: delimited(number, write(value))


def _each(write: Write) -> Callable[[int, Any], bytes]:
    return lambda number, values: b"".join(delimited(number, write(one)) for one in values)


# The fields of a Schema: their number, and how they are written
_FIELDS: Final[dict[str, tuple[int, Callable[[int, Any], bytes]]]] = {
    "nullable": (1, flag),
    "externalDocs": (6, _documents),
    "example": (7, _one(anything)),
    "deprecated": (8, flag),
    "title": (9, text),
    "multipleOf": (10, _double),
    "maximum": (11, _double),
    "exclusiveMaximum": (12, flag),
    "minimum": (13, _double),
    "exclusiveMinimum": (14, flag),
    "maxLength": (15, _whole),
    "minLength": (16, _whole),
    "pattern": (17, text),
    "maxItems": (18, _whole),
    "minItems": (19, _whole),
    "uniqueItems": (20, flag),
    "maxProperties": (21, _whole),
    "minProperties": (22, _whole),
    "required": (23, texts),
    "enum": (24, _each(anything)),
    "type": (25, text),
    "allOf": (26, _schemas),
    "oneOf": (27, _schemas),
    "anyOf": (28, _schemas),
    "not": (29, _not),
    "items": (30, _items),
    "properties": (31, _properties),
    "additionalProperties": (32, _more),
    "default": (33, _default),
    "description": (34, text),
    "format": (35, text),
}
