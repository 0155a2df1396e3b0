"""What the messages of gnostic have in common, in which OpenAPI documents are Protocol Buffers.

Written alone, never read: absent fields and empty ones are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from steersman.wire.protobuf.fields import delimited, varint

Document = Mapping[str, Any]
Write = Callable[[Any], bytes]


def entries(number: int, items: Document, write: Write) -> bytes:
    """Returns the entries of a map, each a message of its name and its value."""
    named = (text(1, str(name)) + delimited(2, write(value)) for name, value in items.items())
    return b"".join(delimited(number, entry) for entry in named)


def extensions(number: int, owner: Document) -> bytes:
    """Returns what an object says beyond OpenAPI."""
    named = {name: value for name, value in owner.items() if name.startswith("x-")}
    return entries(number, named, anything)


def anything(value: Any) -> bytes:
    """Returns a value as YAML in an Any; JSON is YAML."""
    return text(2, orjson.dumps(value).decode())


def texts(number: int, values: Any) -> bytes:
    """Returns a repeated field of texts."""
    return b"".join(delimited(number, value.encode()) for value in values or ())


def text(number: int, value: str | None) -> bytes:
    """Returns a field that is a text."""
    return delimited(number, value.encode()) if value else b""


def flag(number: int, value: bool | None) -> bytes:
    """Returns a field that is true or false."""
    return varint(number << 3) + b"\x01" if value else b""
