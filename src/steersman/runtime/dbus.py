"""Messages of D-Bus, as far as logind and systemd are spoken to: values to bytes and back.

Pure, and of the standard library alone, since the runtime asks systemd for control groups; the
node takes it from here. Little-endian alone, since both ends are of this machine. Source: the D-Bus
specification, "Message Protocol" and "Type System".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

CALL: Final = 1
RETURN: Final = 2
ERROR: Final = 3
SIGNAL: Final = 4
# The specification allows 128 MiB; what is heard of logind and systemd is some hundred bytes
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
_NUMBERS: Final = {
    "y": "B",
    "b": "I",
    "u": "I",
    "i": "i",
    "h": "I",
    "t": "Q",
    "x": "q",
    "d": "d",
    "n": "h",
    "q": "H",
}
_TEXTS: Final = "sog"
_MOST_NESTED: Final = 32  # the specification's bound for arrays, and for structures


class BadMessage(ValueError):
    """The bytes are no message that is understood here."""


class Message(NamedTuple):
    """One message; `body` has its values: a list for an array, a tuple for a structure, for a
    variant its value alone (to be written: its type and its value), for a file descriptor its
    number among those sent."""

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
    """Returns a message; `signature` has the types of its body."""
    body = bytearray()
    for kind, value in zip(split(signature), message.body, strict=True):
        _put(body, kind, value)
    fields = bytearray()
    for name, (code, kind) in _FIELDS.items():
        value = signature if name == "signature" else getattr(message, name)
        if value:
            _pad(fields, 8)
            fields.append(code)
            _put(fields, "v", (kind, value))
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
    """Returns a message; raises BadMessage."""
    if len(data) < _HEAD_BYTES or len(data) != size_of(data[:_HEAD_BYTES]):
        raise BadMessage("a message of another length than it says")
    _, kind, _, _, size, serial, fields = _FIXED.unpack_from(data)
    try:
        found = _header(_Reader(data[: _HEAD_BYTES + fields], _HEAD_BYTES))
        reader = _Reader(data[len(data) - size :], 0)
        body = tuple(reader.take(it) for it in split(found.pop("signature", "")))
    except (struct.error, IndexError, UnicodeDecodeError):
        raise BadMessage("a message that ends within a value") from None
    return Message(kind, serial, body=body, **found)


def split(signature: str) -> Iterator[str]:
    """Yields the types of a signature one by one; raises BadMessage."""
    place = 0
    while place < len(signature):
        end = _end(signature, place, 0)
        yield signature[place:end]
        place = end


def _end(signature: str, place: int, nested: int) -> int:
    """Returns where a type ends that begins at a place."""
    if nested > 2 * _MOST_NESTED or place >= len(signature):
        raise BadMessage(f"no signature: {signature!r}")
    kind = signature[place]
    if kind == "a":
        return _end(signature, place + 1, nested + 1)
    if kind in ("(", "{"):
        close = ")" if kind == "(" else "}"
        place = _end(signature, place + 1, nested + 1)  # there are none without a part
        while signature[place : place + 1] != close:
            place = _end(signature, place, nested + 1)
        return place + 1
    if kind not in _NUMBERS and kind not in _TEXTS and kind != "v":
        raise BadMessage(f"no type: {kind!r}")
    return place + 1


def _header(reader: _Reader) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while not reader.ended:
        reader.align(8)
        code, value = reader.take("y"), reader.take("v")
        if code in _NAMES:
            found[_NAMES[code]] = value
    return found


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

    def take(self, kind: str) -> Any:
        """Reads a value of a type."""
        if kind[0] == "a":
            return self._array(kind[1:])
        if kind[0] in "({":
            self.align(8)
            return tuple(self.take(it) for it in split(kind[1:-1]))
        if kind == "v":
            return self.take(self._only(self.take("g")))
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

    def _array(self, kind: str) -> list[Any]:
        size = self.take("u")
        self.align(_alignment(kind))
        end = self._place + size
        if end > len(self._data):
            raise IndexError
        found = []
        while self._place < end:
            found.append(self.take(kind))
        return found

    def _only(self, signature: str) -> str:
        kinds = list(split(signature))
        if len(kinds) != 1 or "v" in signature:  # what holds itself could be nested for ever
            raise BadMessage(f"a variant of type {signature!r}")
        return kinds[0]


def _alignment(kind: str) -> int:
    if kind[0] in _NUMBERS:
        return struct.calcsize(f"<{_NUMBERS[kind[0]]}")
    return {"(": 8, "{": 8, "g": 1, "v": 1}.get(kind[0], 4)


def _put(out: bytearray, kind: str, value: Any) -> None:
    if kind[0] == "a":
        _put_array(out, kind[1:], value)
    elif kind[0] in "({":
        _pad(out, 8)
        for part, one in zip(split(kind[1:-1]), value, strict=True):
            _put(out, part, one)
    elif kind == "v":
        _put(out, "g", value[0])
        _put(out, value[0], value[1])
    elif kind in _NUMBERS:
        form = struct.Struct(f"<{_NUMBERS[kind]}")
        _pad(out, form.size)
        out += form.pack(value)
    else:
        text = value.encode()
        _put(out, "y" if kind == "g" else "u", len(text))
        out += text + b"\0"


def _put_array(out: bytearray, kind: str, values: Sequence[Any]) -> None:
    """Writes the values of an array behind their length, which does not count what fills up."""
    _put(out, "u", 0)
    place = len(out)
    _pad(out, _alignment(kind))
    start = len(out)
    for one in values:
        _put(out, kind, one)
    out[place - 4 : place] = struct.pack("<I", len(out) - start)


def _pad(out: bytearray, size: int) -> None:
    out += bytes(-len(out) % size)


def match_rule(interface: str, member: str, path: str) -> str:
    """Returns the rule by which a bus sends a signal on."""
    return f"type='signal',interface='{interface}',member='{member}',path='{path}'"


def texts(values: Sequence[str]) -> str:
    """Returns the signature of so many texts."""
    return "s" * len(values)
