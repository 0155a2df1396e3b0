"""Messages of D-Bus, as far as logind is spoken to: calls with texts, answers and signals.

Pure. Little-endian alone, since both ends are of this machine. Source: the D-Bus specification,
"Message Protocol" and "Type System".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

import msgspec

CALL: Final = 1
RETURN: Final = 2
ERROR: Final = 3
SIGNAL: Final = 4
# The specification allows 128 MiB; what is heard of logind is a hundred bytes
MOST_BYTES: Final = 1 << 16
_FIXED: Final = struct.Struct("<cBBBIII")
_HEAD_BYTES: Final = _FIXED.size
_VERSION: Final = 1
# Header fields: name, code, type
_FIELDS: Final = {
    "path": (1, "o"),
    "interface": (2, "s"),
    "member": (3, "s"),
    "error": (4, "s"),
    "reply_to": (5, "u"),
    "destination": (6, "s"),
    "sender": (7, "s"),
    "signature": (8, "g"),
}
_NAMES: Final = {code: name for name, (code, _) in _FIELDS.items()}
_NUMBERS: Final = {"y": "B", "b": "I", "u": "I", "i": "i", "h": "I", "t": "Q", "x": "q", "d": "d"}


class BadMessage(ValueError):
    """The bytes are no message that is understood here."""


class Message(msgspec.Struct, frozen=True):
    """One message; `body` has its values, a file descriptor as its number among those sent."""

    kind: int
    serial: int = 0
    path: str = ""
    interface: str = ""
    member: str = ""
    destination: str = ""
    reply_to: int = 0
    error: str = ""
    sender: str = ""
    body: tuple[Any, ...] = ()


def encode(message: Message, signature: str = "") -> bytes:
    """Returns a message; `signature` has the types of its body, of those in `_put`."""
    body = bytearray()
    for kind, value in zip(signature, message.body, strict=True):
        _put(body, kind, value)
    fields = bytearray()
    for name, (code, kind) in _FIELDS.items():
        value = signature if name == "signature" else getattr(message, name)
        if value:
            _pad(fields, 8)
            fields.append(code)
            _put(fields, "g", kind)
            _put(fields, kind, value)
    head = _FIXED.pack(b"l", message.kind, 0, _VERSION, len(body), message.serial, len(fields))
    found = bytearray(head + fields)
    _pad(found, 8)
    return bytes(found + body)


def size_of(head: bytes) -> int:
    """Returns the bytes of a whole message from its first 16; raises BadMessage."""
    order, _, _, version, body, _, fields = _FIXED.unpack(head)
    size = _HEAD_BYTES + -(-fields // 8) * 8 + body
    if order != b"l" or version != _VERSION or int(size) > MOST_BYTES:
        raise BadMessage("no message of this protocol, or one too long")
    return int(size)


def decode(data: bytes) -> Message:
    """Returns a message; raises BadMessage. Values of types not known here are left out, with all
    that follow."""
    if len(data) < _HEAD_BYTES or len(data) != size_of(data[:_HEAD_BYTES]):
        raise BadMessage("a message of another length than it says")
    _, kind, _, _, size, serial, fields = _FIXED.unpack_from(data)
    try:
        found = _header(_Reader(data[: _HEAD_BYTES + fields], _HEAD_BYTES))
        signature = found.pop("signature", "")
        body = _body(_Reader(data[len(data) - size :], 0), signature)
    except (struct.error, IndexError, UnicodeDecodeError):
        raise BadMessage("a message that ends within a value") from None
    return Message(kind, serial, body=body, **found)


def _header(reader: _Reader) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while not reader.ended:
        reader.align(8)
        code, value = reader.take("y"), reader.variant()
        if code in _NAMES:
            found[_NAMES[code]] = value
    return found


def _body(reader: _Reader, signature: str) -> tuple[Any, ...]:
    values = []
    for kind in signature:
        if kind not in _NUMBERS and kind not in "sogv":
            break
        values.append(reader.variant() if kind == "v" else reader.take(kind))
    return tuple(values)


class _Reader:
    """Reads values in their places."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data = data
        self._place = place

    @property
    def ended(self) -> bool:
        """Whether all was read."""
        return self._place >= len(self._data)

    def align(self, size: int) -> None:
        """Passes over what fills up."""
        self._place = -(-self._place // size) * size

    def variant(self) -> Any:
        """Reads a value that brings its type."""
        kind: str = self.take("g")
        if kind not in _NUMBERS and kind not in ("s", "o", "g"):
            raise BadMessage(f"a variant of type {kind!r}")
        return self.take(kind)

    def take(self, kind: str) -> Any:
        """Reads a value of a type."""
        if kind in _NUMBERS:
            form = struct.Struct(f"<{_NUMBERS[kind]}")
            self.align(form.size)
            (value,) = form.unpack_from(self._data, self._place)
            self._place += form.size
            return bool(value) if kind == "b" else value
        size = self.take("y" if kind == "g" else "u")
        text = self._data[self._place : self._place + size]
        if len(text) != size:
            raise IndexError
        self._place += size + 1
        return text.decode()


def _put(out: bytearray, kind: str, value: Any) -> None:
    if kind in _NUMBERS:
        form = struct.Struct(f"<{_NUMBERS[kind]}")
        _pad(out, form.size)
        out += form.pack(value)
        return
    text = value.encode()
    _put(out, "y" if kind == "g" else "u", len(text))
    out += text + b"\0"


def _pad(out: bytearray, size: int) -> None:
    out += bytes(-len(out) % size)


def match_rule(interface: str, member: str, path: str) -> str:
    """Returns the rule by which a bus sends a signal on."""
    return f"type='signal',interface='{interface}',member='{member}',path='{path}'"


def texts(values: Sequence[str]) -> str:
    """Returns the signature of so many texts."""
    return "s" * len(values)
