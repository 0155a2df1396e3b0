"""Messages of Protocol Buffers over their tables of fields; known bytes are protoc's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
import pytest

from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc.messages import MAX_DEPTH, decode, encode


class Inner(msgspec.Struct, frozen=True):
    name: Annotated[str, 1] = ""
    inner: Annotated[Inner | None, 2] = None


class Whole(msgspec.Struct, frozen=True):
    text: Annotated[str, 1] = ""
    count: Annotated[int, 2] = 0
    yes: Annotated[bool, 3] = False
    raw: Annotated[bytes, 4] = b""
    ratio: Annotated[float, 5] = 0.0
    inner: Annotated[Inner | None, 6] = None
    names: Annotated[tuple[str, ...], 7] = ()
    numbers: Annotated[tuple[int, ...], 8] = ()
    pairs: Annotated[Mapping[str, str], 9] = {}
    inners: Annotated[Mapping[str, Inner], 100] = {}
    many: Annotated[tuple[Inner, ...], 11] = ()


FULL = Whole(
    "é",
    300,
    True,
    b"\0\xff",
    0.5,
    Inner("a", Inner("b")),
    ("x", ""),
    (1, 300, -1),
    {"k": "v", "e": ""},
    {"k": Inner("z"), "e": Inner()},
    (Inner(), Inner("y")),
)


def test_a_message_comes_back_as_it_was() -> None:
    assert decode(Whole, encode(FULL)) == FULL
    assert decode(Whole, encode(Whole())) == Whole()
    assert encode(Whole()) == b""


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (Whole(text="hi"), b"\x0a\x02hi"),
        (Whole(count=300), b"\x10\xac\x02"),
        (Whole(count=-1), b"\x10" + b"\xff" * 9 + b"\x01"),
        (Whole(yes=True), b"\x18\x01"),
        (Whole(ratio=1.0), b"\x29\0\0\0\0\0\0\xf0\x3f"),
        (Whole(inner=Inner()), b"\x32\0"),
        (Whole(numbers=(1, 300)), b"\x42\x03\x01\xac\x02"),
        (Whole(names=("a", "b")), b"\x3a\x01a\x3a\x01b"),
        (Whole(pairs={"a": "b"}), b"\x4a\x06\x0a\x01a\x12\x01b"),
        (Whole(inners={"a": Inner()}), b"\xa2\x06\x05\x0a\x01a\x12\0"),
    ],
)
def test_bytes_are_those_of_protocol_buffers(message: Whole, data: bytes) -> None:
    assert encode(message) == data
    assert decode(Whole, data) == message


def test_numbers_may_come_one_by_one_and_unknown_fields_are_skipped() -> None:
    assert decode(Whole, b"\x40\x05\x40\x06\xf8\x07\x01\xfa\x07\x01x") == Whole(numbers=(5, 6))


def test_the_last_of_several_counts() -> None:
    assert decode(Whole, b"\x0a\x01a\x0a\x01b") == Whole(text="b")


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\x05hi",  # cut off
        b"\x0a\x01\xff",  # no UTF-8
        b"\x08\x01",  # a number for a text
        b"\x12\x01x",  # bytes for a number
        b"\x2d\0\0\0\0",  # four bytes for a double
        b"\x42\x01\xff",  # a packed number without an end
        b"\x42\x0b" + b"\xff" * 10 + b"\x01",  # one with more than 64 bits
        b"\x32\x02\x0a\x05",  # cut off inside
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(Failed, match="code = Internal desc = grpc: failed to unmarshal"):
        decode(Whole, data)


def test_messages_in_messages_are_bounded() -> None:
    data = b""
    for _ in range(MAX_DEPTH - 1):
        data = b"\x12" + _length(data) + data
    decode(Inner, data)
    with pytest.raises(Failed, match="nested too deeply"):
        decode(Inner, b"\x12" + _length(data) + data)


def _length(data: bytes) -> bytes:
    size = len(data)
    return bytes((size,)) if size < 128 else bytes((size & 0x7F | 0x80, size >> 7))
