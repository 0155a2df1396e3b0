"""Messages of Protocol Buffers as frozen structs: the number of a field stands beside its type.

    class Topology(msgspec.Struct, frozen=True):
        segments: Annotated[Mapping[str, str], 1] = {}

Types: str, bytes, bool, int (of any varint, read as a signed one), float (a double), another
message or None, `tuple[X, ...]` for repeated ones, `Mapping[str, X]` for maps. Fields at their
default are left out, unknown ones are skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    NamedTuple,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from steersman.wire.http2.grpc import INTERNAL, Failed
from steersman.wire.protobuf.fields import Malformed, delimited, fields, numbers, varint

_VARINT, _FIXED64 = 0, 1
MAX_DEPTH: Final = 32  # messages in messages; the deepest that is known has six
Q = TypeVar("Q")
A = TypeVar("A")
M = TypeVar("M")


class Rpc(NamedTuple, Generic[Q, A]):
    """A method of a service: its path, and what its messages are."""

    path: str
    ask: type[Q]
    answer: type[A]


class _Field(NamedTuple):
    name: str
    number: int
    kind: type
    many: bool
    of_map: bool
    default: Any


@cache
def _fields_of(kind: type) -> tuple[_Field, ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple(_field(it.name, hints[it.name], it.default) for it in msgspec.structs.fields(kind))


def _field(name: str, hint: Any, default: Any) -> _Field:
    assert get_origin(hint) is Annotated, f"{name} has no number"
    inner, number = get_args(hint)
    arguments = get_args(inner)
    if get_origin(inner) is tuple:
        return _Field(name, number, arguments[0], True, False, ())
    if get_origin(inner) is Mapping:
        return _Field(name, number, arguments[1], False, True, {})
    if get_origin(inner) is UnionType:
        inner = next(it for it in arguments if it is not NoneType)
    return _Field(name, number, inner, False, False, default)


def encode(message: object) -> bytes:
    """Returns a message (a struct whose fields have numbers) as bytes."""
    known = _fields_of(type(message))  # type: ignore[arg-type]  # mypy: a class has no hash
    return b"".join(_encode_field(it, getattr(message, it.name)) for it in known)


def _encode_field(field: _Field, value: Any) -> bytes:
    if value is None or (not field.many and not field.of_map and value == field.default):
        return b""
    if field.of_map:
        return b"".join(_encode_entry(field, key, one) for key, one in value.items())
    if field.many:
        return _encode_many(field, value)
    return _encode_one(field.kind, field.number, value)


def _encode_many(field: _Field, values: Iterable[Any]) -> bytes:
    if field.kind in (int, bool):  # numbers are packed
        packed = b"".join(varint(it) for it in values)
        return delimited(field.number, packed) if packed else b""
    return b"".join(_encode_one(field.kind, field.number, it) for it in values)


def _encode_entry(field: _Field, key: str, value: Any) -> bytes:
    return delimited(field.number, delimited(1, key.encode()) + _encode_one(field.kind, 2, value))


def _encode_one(kind: type, number: int, value: Any) -> bytes:
    if kind is str:
        return delimited(number, value.encode())
    if kind is bytes:
        return delimited(number, value)
    if kind is float:
        return varint(number << 3 | _FIXED64) + struct.pack("<d", value)
    if issubclass(kind, int):
        return varint(number << 3 | _VARINT) + varint(int(value))
    return delimited(number, encode(value))


def decode(kind: type[M], data: bytes | memoryview) -> M:
    """Returns the message that bytes are; raises Failed, in grpc-go's words."""
    try:
        found: M = _decode(kind, data, MAX_DEPTH)
        return found
    except (Malformed, UnicodeDecodeError, struct.error) as error:
        raise Failed(
            INTERNAL, f"grpc: failed to unmarshal the received message: {error}"
        ) from error


def _decode(kind: Any, data: bytes | memoryview, depth: int) -> Any:
    if not depth:
        raise Malformed("messages are nested too deeply")
    known = _numbers(kind)
    found: dict[str, Any] = {}
    for number, raw in fields(data):
        if (field := known.get(number)) is None:
            continue
        if field.of_map:
            key, value = _entry(field, raw, depth)
            found.setdefault(field.name, {})[key] = value
        elif field.many:
            found.setdefault(field.name, []).extend(_many(field, raw, depth))
        else:
            found[field.name] = _one(field.kind, raw, depth)
    return kind(**{key: tuple(it) if isinstance(it, list) else it for key, it in found.items()})


@cache
def _numbers(kind: type) -> Mapping[int, _Field]:
    return {field.number: field for field in _fields_of(kind)}


def _many(field: _Field, raw: Any, depth: int) -> list[Any]:
    if field.kind in (int, bool) and not isinstance(raw, int):
        return [_one(field.kind, it, depth) for it in numbers(raw)]
    return [_one(field.kind, raw, depth)]


def _entry(field: _Field, raw: Any, depth: int) -> tuple[str, Any]:
    key, value = "", field.kind()
    for number, part in fields(_bytes(raw)):
        if number == 1:
            key = _one(str, part, depth)
        elif number == 2:
            value = _one(field.kind, part, depth)
    return key, value


def _one(kind: type, raw: Any, depth: int) -> Any:
    if kind is str:
        return str(_bytes(raw), "utf-8")
    if kind is bytes:
        return bytes(_bytes(raw))
    if kind is float:
        return struct.unpack("<d", _bytes(raw))[0]
    if kind is bool:
        return bool(_number(raw))
    if kind is int:
        number = _number(raw)
        return number - (1 << 64) if number >> 63 else number
    return _decode(kind, _bytes(raw), depth - 1)


def _number(raw: Any) -> int:
    if not isinstance(raw, int):
        raise Malformed("a number was expected")
    return raw


def _bytes(raw: Any) -> Any:
    if isinstance(raw, int):
        raise Malformed("bytes were expected")
    return raw
