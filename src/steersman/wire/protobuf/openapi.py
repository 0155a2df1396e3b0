"""An OpenAPI v2 document in its Protocol Buffers form, which kubectl alone asks for.

Writes the fields that our documents have, by the numbers of gnostic's openapi.v2 messages; reading
is not served.
"""

from __future__ import annotations

from collections.abc import Iterator

from steersman.wire.protobuf.fields import delimited
from steersman.wire.protobuf.gnostic import (
    Document,
    anything,
    entries,
    extensions,
    flag,
    text,
    texts,
)

# Where a parameter may stand: by how much its later fields are shifted (some have one more,
# allow_empty_value), which of the messages it is, and the number of uniqueItems there
_PLACES = {"header": (0, 1, 20), "formData": (1, 2, 21), "query": (1, 3, 21), "path": (0, 4, 20)}
_VERBS = {"get": 2, "put": 3, "post": 4, "delete": 5, "head": 7, "patch": 8}


def encode(document: Document) -> bytes:
    """Returns the document as an openapi.v2.Document message."""
    info = document["info"]
    return b"".join(
        (
            text(1, document["swagger"]),
            delimited(2, text(1, info["title"]) + text(2, info["version"])),
            delimited(8, entries(2, document["paths"], _path)),
            delimited(9, entries(1, document["definitions"], _schema)),
            delimited(10, entries(1, document.get("parameters") or {}, _parameter)),
            *(delimited(12, _requirement(one)) for one in document.get("security", ())),
            delimited(13, entries(1, document.get("securityDefinitions") or {}, _security)),
        )
    )


def _path(item: Document) -> bytes:
    verbs = [(number, item[verb]) for verb, number in _VERBS.items() if verb in item]
    operations = (delimited(number, _operation(operation)) for number, operation in verbs)
    return b"".join(operations) + _parameters(9, item) + extensions(10, item)


def _operation(operation: Document) -> bytes:
    return b"".join(
        (
            texts(1, operation.get("tags")),
            text(3, operation.get("description")),
            text(5, operation.get("operationId")),
            texts(6, operation.get("produces")),
            texts(7, operation.get("consumes")),
            _parameters(8, operation),
            delimited(9, entries(1, operation.get("responses") or {}, _response)),
            texts(10, operation.get("schemes")),
            extensions(13, operation),
        )
    )


def _parameters(number: int, owner: Document) -> bytes:
    return b"".join(delimited(number, _parameter_item(one)) for one in owner.get("parameters", ()))


def _parameter_item(item: Document) -> bytes:
    if "$ref" in item:
        return delimited(2, text(1, item["$ref"]))
    return delimited(1, _parameter(item))


def _parameter(item: Document) -> bytes:
    place = item["in"]
    required = flag(4 if place == "body" else 1, item.get("required"))
    if place == "body":
        told = text(1, item.get("description")) + text(2, item["name"]) + text(3, place)
        return delimited(1, told + required + delimited(5, _schema(item["schema"])))
    told = text(2, place) + text(3, item.get("description")) + text(4, item["name"])
    shift, choice, unique = _PLACES[place]
    kind = text(5 + shift, item.get("type")) + text(6 + shift, item.get("format"))
    return delimited(
        2, delimited(choice, required + told + kind + flag(unique, item.get("uniqueItems")))
    )


def _response(response: Document) -> bytes:
    schema = response.get("schema")
    shown = b"" if schema is None else delimited(2, delimited(1, _schema(schema)))
    return delimited(1, text(1, response.get("description")) + shown)


def _schema(schema: Document) -> bytes:
    return b"".join(_schema_fields(schema))


def _schema_fields(schema: Document) -> Iterator[bytes]:
    for number, name in ((1, "$ref"), (2, "format"), (3, "title"), (4, "description")):
        yield text(number, schema.get(name))
    if "default" in schema:
        yield delimited(5, anything(schema["default"]))
    yield texts(19, schema.get("required"))
    yield from (delimited(20, anything(value)) for value in schema.get("enum", ()))
    more = schema.get("additionalProperties")
    if more is not None:
        yield delimited(
            21, flag(2, more) if isinstance(more, bool) else delimited(1, _schema(more))
        )
    if "type" in schema:
        yield delimited(22, text(1, schema["type"]))
    if "items" in schema:
        yield delimited(23, delimited(1, _schema(schema["items"])))
    yield from (delimited(24, _schema(one)) for one in schema.get("allOf", ()))
    if "properties" in schema:
        yield delimited(25, entries(1, schema["properties"], _schema))
    yield extensions(31, schema)


def _requirement(requirement: Document) -> bytes:
    return entries(1, requirement, lambda scopes: texts(1, scopes))


def _security(definition: Document) -> bytes:
    names = ("type", "name", "in", "description")
    fields = (text(number, definition.get(name)) for number, name in enumerate(names, start=1))
    return delimited(2, b"".join(fields))
