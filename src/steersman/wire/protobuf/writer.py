"""Kubernetes' Protocol Buffers form of objects, written from documents; reading is `protobuf`.

A definition becomes one function for each of its fields when it is first written, so that an object
costs a look-up and a call a field. Fields that have no number are left out, as upstream leaves out
what its own messages do not know.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any

import orjson

from steersman.model import numbers, schema
from steersman.model.schema import Node
from steersman.wire.protobuf.fields import delimited, varint
from steersman.wire.protobuf.objects import MAGIC, SCHEMA_OR, SCHEMA_PROPS

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
METADATA = f"{META}PartialObjectMetadata"
# Groups whose definitions do not stand in a package named after them
_PACKAGES = {
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
    "meta.k8s.io": "io.k8s.apimachinery.pkg.apis.meta",
}
# Kinds of apimachinery that are answered in the version of the group they are asked in
_OF_META = ("Status", "APIGroup", "APIGroupList", "APIResourceList", "APIVersions")
# Times of one second that are remembered: objects that were made together share theirs
TIMES_KEPT = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Document = Mapping[str, Any]
Write = Callable[[Any], bytes]


def encode(document: Document) -> bytes:
    """Returns an object or a list with its envelope (runtime.Unknown).

    Raises KeyError for a kind that has no such form. Some documents of discovery have no
    apiVersion.
    """
    api_version, kind = document.get("apiVersion", ""), document["kind"]
    if kind.endswith("List") and "items" in document:
        write = message(definition_of(api_version, kind.removesuffix("List")))
        return encode_list(api_version, kind, document["metadata"], map(write, document["items"]))
    return envelope(api_version, kind, message(definition_of(api_version, kind))(document))


def encode_list(api_version: str, kind: str, metadata: Document, items: Iterable[bytes]) -> bytes:
    """Returns a list of encoded items with its envelope."""
    head = delimited(1, message(META + "ListMeta")(metadata))
    return envelope(api_version, kind, b"".join([head, *(delimited(2, item) for item in items)]))


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    """Returns a message in its envelope; a watch's events alone go without."""
    return b"%b%b%b\x1a\x00\x22\x00" % (MAGIC, _type_meta(api_version, kind), delimited(2, raw))


def event(kind: str, encoded: bytes) -> bytes:
    """Returns one frame of a watch: a WatchEvent behind its length, big-endian in four bytes."""
    body = delimited(1, kind.encode()) + delimited(2, delimited(1, encoded))
    return struct.pack(">I", len(body)) + body


def definition_of(api_version: str, kind: str) -> str:
    """Returns the name of a kind's definition; raises KeyError where it has no such form."""
    group, _, version = api_version.rpartition("/")
    package = _PACKAGES.get(group) or f"io.k8s.api.{group.partition('.')[0] or 'core'}"
    if kind == "PartialObjectMetadata":  # its one field is that of every object
        return METADATA
    name = f"{META}{kind}" if kind in _OF_META else f"{package}.{version}.{kind}"
    if numbers.of(name) is None:
        raise KeyError(name)
    return name


@cache
def message(definition: str) -> Write:
    """Returns what writes the fields of a definition, without a tag of its own."""
    if definition == METADATA:  # the published schema has no such definition
        known = {1: numbers.Numbered("metadata", "", False)}
        return _writer_of(schema.builtin().definition("io.k8s.api.core.v1.ConfigMap"), known)
    return _writer_of(schema.builtin().definition(definition), numbers.of(definition) or {})


def _writer_of(node: Node, known: numbers.Numbers) -> Write:
    fields: dict[str, Write] | None = None
    embedded: list[tuple[int, Write]] = []

    def write(document: Document) -> bytes:
        nonlocal fields
        if fields is None:  # a definition may hold itself: what it needs is looked up when used
            fields = {
                field.name: _field_writer(node.fields[field.name], number)
                for number, field in known.items()
                if field.name in node.fields
            }
            for number, field in known.items():
                if field.embedded:
                    embedded.append((number, _embedded(node, field.embedded)))
        parts = []
        for name, value in document.items():
            found = fields.get(name)
            if found is not None and value is not None:
                parts.append(found(value))
        for number, inner in embedded:
            if part := inner(document):
                parts.append(delimited(number, part))
        return b"".join(parts)

    return write


def _embedded(node: Node, definition: str) -> Write:
    return _writer_of(node, numbers.of(definition) or {})


def _field_writer(node: Node, number: int) -> Write:
    """Returns what writes a field with its tag; of a list and a map, all of it."""
    if node.type == "array":
        assert node.items is not None
        item = _field_writer(node.items, number)
        return lambda values: b"".join(map(item, values))
    if node.type == "object" and node.values is not None:
        return _map_writer(node.values, number)
    if node.type in ("integer", "boolean"):
        tag = varint(number << 3)
        return lambda value: tag + varint(value)
    if node.type == "number":
        tag = varint(number << 3 | 1)
        return lambda value: tag + struct.pack("<d", value)
    tag, write = varint(number << 3 | 2), _value_writer(node)

    def field(value: Any) -> bytes:
        data = write(value)
        size = len(data)
        return b"%b%c%b" % (tag, size, data) if size < 0x80 else tag + varint(size) + data

    return field


def _map_writer(values: Node, number: int) -> Write:
    wrapped = values.type == "array"  # each list of a map of lists is in a message
    value = _field_writer(values, 1 if wrapped else 2)

    def entry(key: str, found: Any) -> bytes:
        data = value(found)
        return delimited(
            number, delimited(1, key.encode()) + (delimited(2, data) if wrapped else data)
        )

    return lambda entries: b"".join(entry(*found) for found in entries.items())


def _value_writer(node: Node) -> Write:
    """Returns what writes a value that stands behind its length."""
    kind = node.type
    if kind == "string":
        if node.format == "byte":
            return base64.b64decode
        return _time if node.format == "date-time" else str.encode
    if kind == "quantity":
        return lambda value: delimited(1, str(value).encode())
    if kind == "int-or-string":
        return _int_or_string
    if kind == "any":
        union = SCHEMA_OR.get(node.definition)
        return _union_writer(union) if union else lambda value: delimited(1, orjson.dumps(value))
    return message(node.definition)


def _union_writer(number: int) -> Write:
    """Returns what writes a JSON schema, or what may stand in its place (SCHEMA_OR)."""
    props = message(SCHEMA_PROPS)

    def write(value: Any) -> bytes:
        if isinstance(value, bool):
            return varint(1 << 3) + varint(value)
        if isinstance(value, list):
            texts = (item.encode() if isinstance(item, str) else props(item) for item in value)
            return b"".join(delimited(2, text) for text in texts)
        allows = varint(1 << 3) + varint(1) if number == 2 else b""
        return allows + delimited(number, props(value))

    return write


@lru_cache(TIMES_KEPT)
def _time(text: str) -> bytes:
    if not text:
        return b""
    since = datetime.fromisoformat(text) - _EPOCH
    seconds = since // timedelta(seconds=1)
    return b"\x08%b\x10%b" % (varint(seconds), varint(since.microseconds * 1000))


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, str):
        return b"\x08\x01\x10\x00" + delimited(3, value.encode())
    return b"\x08\x00\x10" + varint(value) + b"\x1a\x00"


@lru_cache(256)
def _type_meta(api_version: str, kind: str) -> bytes:
    return delimited(1, delimited(1, api_version.encode()) + delimited(2, kind.encode()))
