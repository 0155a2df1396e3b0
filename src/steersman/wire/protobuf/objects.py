"""Kubernetes' Protocol Buffers form of objects, read into documents; writing is `protobuf_writer`.

client-go sends it for built-in kinds (kubectl create, auth can-i). Field types come from the
schema, numbers from `model.numbers`. Nesting and sizes are bounded by the body.
"""

from __future__ import annotations

import base64
import math
import struct
from datetime import UTC, datetime
from typing import Any, NamedTuple

from steersman.model import numbers, schema
from steersman.model.schema import Node
from steersman.wire import json
from steersman.wire.protobuf.fields import Malformed, fields

MAGIC = b"k8s\x00"
# As deep as the JSON parser goes; the deepest built-in kind has some thirty levels
DEEPEST = 128
_EMPTY = {"string": "", "integer": 0, "boolean": False}
_APIEXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
SCHEMA_PROPS = f"{_APIEXTENSIONS}JSONSchemaProps"
# What stands in JSON as a schema or something else, by the number under which a message holds the
# schema; the other number holds what else it can be
SCHEMA_OR = {
    f"{SCHEMA_PROPS}OrArray": 1,
    f"{SCHEMA_PROPS}OrBool": 2,
    f"{SCHEMA_PROPS}OrStringArray": 1,
}
_TIME_FORMATS = {"io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "%Y-%m-%dT%H:%M:%S.%fZ"}


class Unknown(NamedTuple):
    """The envelope (runtime.Unknown): what kind the bytes inside are."""

    api_version: str
    kind: str
    raw: bytes


def unwrap(body: bytes) -> Unknown:
    """Reads the envelope of a body; raises Malformed."""
    if not body.startswith(MAGIC):
        raise Malformed("provided data does not appear to be a protobuf message")
    parts = dict(fields(memoryview(body)[len(MAGIC) :]))
    meta = dict(fields(_message(parts.get(1, b""))))
    texts = [_text(meta.get(number, b"")) for number in (1, 2)]
    return Unknown(texts[0], texts[1], bytes(_message(parts.get(2, b""))))


def decode(definition: str, raw: bytes) -> dict[str, Any]:
    """Reads a message of a definition; raises Malformed, KeyError for one without this form."""
    node = schema.builtin().definition(definition)
    if numbers.of(definition) is None:
        raise KeyError(definition)
    document: dict[str, Any] = {}
    _read_object(node, definition, memoryview(raw), document, 0)
    return document


def decode_list(definition: str, raw: bytes) -> dict[str, Any]:
    """Reads a list of messages of a definition, which has its metadata and items alone; raises
    what `decode` raises."""
    metadata: dict[str, Any] = {}
    items = []
    for number, value in fields(memoryview(raw)):
        if number == 1:
            metadata = decode(
                "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta", bytes(_message(value))
            )
        elif number == 2:
            items.append(decode(definition, bytes(_message(value))))
    return {"metadata": metadata, "items": items}


def _read_object(
    node: Node, definition: str, data: memoryview, into: dict[str, Any], depth: int
) -> None:
    if depth > DEEPEST:
        raise Malformed("the message nests too deep")
    known = numbers.of(definition) or {}
    for number, value in fields(data):
        field = known.get(number)
        if field is None:
            continue
        if field.embedded:
            _read_object(node, field.embedded, _message(value), into, depth + 1)
            continue
        child = node.fields.get(field.name)
        if child is not None:
            _put(child, field, value, into, depth)


def _put(
    child: Node, field: numbers.Numbered, value: Any, into: dict[str, Any], depth: int
) -> None:
    name = field.name
    if child.type == "array":
        assert child.items is not None
        into.setdefault(name, []).append(_value(child.items, value, depth))
    elif child.type == "object" and child.values is not None:
        key, entry = _entry(child.values, value, depth)
        into.setdefault(name, {})[key] = entry
    else:
        found = _value(child, value, depth)
        if found is None or (not field.keeps_zero and found == _EMPTY.get(child.type)):
            return
        into[name] = found


def _entry(values: Node, value: Any, depth: int) -> tuple[str, Any]:
    """Returns a map's key and value; a map of lists wraps each list in a message."""
    parts = list(fields(_message(value)))
    key = next((_text(part) for number, part in parts if number == 1), "")
    inner = next((part for number, part in parts if number == 2), b"")
    if values.type == "array":
        assert values.items is not None
        items = [_value(values.items, part, depth + 1) for _, part in fields(_message(inner))]
        return key, items
    return key, _value(values, inner, depth + 1)


def _value(node: Node, value: Any, depth: int) -> Any:
    kind = node.type
    if kind == "string":
        return _string(node, value)
    if kind in ("integer", "boolean"):
        return _scalar(kind, value)
    data = _message(value)
    if kind == "number":
        return _double(data)
    if kind == "quantity":
        return _text(dict(fields(data)).get(1, b""))
    if kind == "int-or-string":
        return _int_or_string(data)
    if kind == "any":
        union = node.definition in SCHEMA_OR
        return _schema_or(node.definition, data, depth) if union else _raw(data)
    document: dict[str, Any] = {}
    _read_object(node, node.definition, data, document, depth + 1)
    return document


def _string(node: Node, value: Any) -> Any:
    if node.format == "byte":
        return base64.b64encode(_message(value)).decode()
    if node.format == "date-time":
        return _time(node, _message(value))
    return _text(value)


def _scalar(kind: str, value: Any) -> Any:
    if not isinstance(value, int):
        raise Malformed(f"a field of type {kind} has the wrong wire type")
    if kind == "boolean":
        return bool(value)
    return value - (1 << 64) if value >> 63 else value


def _double(data: memoryview) -> float:
    if len(data) != 8:
        raise Malformed("a field of type number has the wrong wire type")
    (number,) = struct.unpack("<d", data)
    if not math.isfinite(number):
        raise Malformed(f"the number {number} has no form in JSON")
    return int(number) if number.is_integer() else float(number)


def _schema_or(definition: str, data: memoryview, depth: int) -> Any:
    """Returns a schema, or a truth or a list that stands in its place."""
    number, parts = SCHEMA_OR[definition], list(fields(data))
    inner = next((part for at, part in parts if at == number), None)
    if inner is not None:
        return _props(inner, depth)
    if number == 2:
        return bool(_scalar("boolean", dict(parts).get(1, 0)))
    others = [part for at, part in parts if at == 2]
    if definition.endswith("OrStringArray"):
        return [_text(part) for part in others]
    return [_props(part, depth) for part in others]


def _props(data: Any, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    node = schema.builtin().definition(SCHEMA_PROPS)
    _read_object(node, SCHEMA_PROPS, _message(data), found, depth + 1)
    return found


def _time(node: Node, data: memoryview) -> str | None:
    if not data:
        return None
    parts = dict(fields(data))
    seconds, nanos = _scalar("integer", parts.get(1, 0)), _scalar("integer", parts.get(2, 0))
    try:
        when = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanos // 1000 % 1_000_000)
    except (OverflowError, ValueError, OSError) as error:
        raise Malformed(f"the time {seconds} is out of range") from error
    return when.strftime(_TIME_FORMATS.get(node.definition, "%Y-%m-%dT%H:%M:%SZ"))


def _int_or_string(data: memoryview) -> int | str:
    parts = dict(fields(data))
    if parts.get(1, 0) == 1:
        return _text(parts.get(3, b""))
    number: int = _scalar("integer", parts.get(2, 0))
    return number


def _raw(data: memoryview) -> Any:
    """Returns JSON that stands inside a message (RawExtension, FieldsV1, JSON)."""
    inner = bytes(_message(dict(fields(data)).get(1, b"")))
    try:
        return json.load(inner) if inner else None
    except json.BadJSON as error:
        raise Malformed(f"raw JSON: {error}") from error


def _text(value: Any) -> str:
    try:
        return bytes(_message(value)).decode()
    except UnicodeDecodeError as error:
        raise Malformed("a string is not UTF-8") from error


def _message(value: Any) -> memoryview:
    if isinstance(value, int):
        raise Malformed("a message has the wrong wire type")
    return memoryview(value)
