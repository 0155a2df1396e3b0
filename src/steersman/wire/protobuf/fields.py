"""Protocol Buffers on the wire: tags, numbers and bytes, without any message's meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Malformed(ValueError):
    """The bytes are not a message of the kind."""


def fields(data: bytes | memoryview) -> Iterator[tuple[int, Any]]:
    """Yields field numbers and values: an int or a view of the bytes. Raises Malformed."""
    data = memoryview(data)
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise Malformed(f"wire type {kind} is not known")
        if at + length > end:
            raise Malformed("unexpected EOF")
        yield number, data[at : at + length]
        at += length


def numbers(data: memoryview) -> Iterator[int]:
    """Yields numbers that stand packed in one field. Raises Malformed."""
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise Malformed("unexpected EOF")
        if shift > 63:
            raise Malformed("integer overflow")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def varint(value: int) -> bytes:
    """Returns a number as Protocol Buffers write it; a negative one takes ten bytes."""
    if 0 <= value < 0x80:
        return _SMALL[value]
    value &= 0xFFFFFFFFFFFFFFFF
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


_SMALL = [bytes((value,)) for value in range(0x80)]


def delimited(number: int, data: bytes) -> bytes:
    """Returns bytes behind their tag and length."""
    return varint(number << 3 | 2) + varint(len(data)) + data
