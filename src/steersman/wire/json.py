"""JSON from clients, read as Go reads it: what is broken is said in encoding/json's words.

orjson reads; only a text that it refuses is looked at again here. Not used for our own documents.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from steersman.model.gotext import quote

# What orjson can nest; Go stops at 10,000 with the same words
DEEPEST = 1000
TOO_DEEP = "exceeded max depth"
ENDED = "unexpected end of JSON input"

# What is said at most of one body (sigs.k8s.io/json: maxStrictErrors)
MOST_FAULTS = 100
_ESCAPED_QUOTE = b"\\u0022"

_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(rb"[0-9]*")
_HEX = b"0123456789abcdefABCDEF"
_LITERALS = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}


class BadJSON(ValueError):
    """The text is not JSON; the message is Go's."""


def load(data: bytes) -> Any:
    """Returns the value of a JSON text; raises BadJSON.

    Go takes what is not UTF-8 and lone surrogates as U+FFFD; so do we.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        _Scan(data).check()
    text = data.decode("utf-8", "replace")
    value = json.loads(text, parse_float=_number, parse_int=_number)
    text = json.dumps(value, ensure_ascii=False)
    return orjson.loads(text.encode("utf-8", "replace"))


def may_repeat(data: bytes, value: Any) -> bool:
    """Says whether a text can hold a key twice in one object, of which its value has but one: each
    such key is two quotation marks that are missing when the value is written again."""
    return _ESCAPED_QUOTE in data or data.count(b'"') != orjson.dumps(value).count(b'"')


class Keys(NamedTuple):
    """The keys of a text in their order, as paths ("spec.containers[0].image"), and where among
    them those stand that had been given before."""

    order: dict[str, int]
    repeated: dict[str, int]

    def merge(self, unknown: Sequence[str]) -> tuple[str, ...]:
        """Returns what Go's strict decoder says of unknown and repeated fields of a struct, in the
        order of the text; what is in an unknown field it skips."""
        hidden = tuple(f"{path}{sign}" for path in unknown for sign in ".[")
        told = [
            (at, f'duplicate field "{path}"')
            for path, at in self.repeated.items()
            if path not in unknown and not path.startswith(hidden)
        ]
        told += [(self.order.get(path, -1), f'unknown field "{path}"') for path in unknown]
        return tuple(text for _, text in sorted(told)[:MOST_FAULTS])

    def told(self, whose: str = "") -> tuple[str, ...]:
        """Returns what it says of a map, where no field is unknown."""
        paths = list(self.repeated)[:MOST_FAULTS]
        return tuple(f'{whose}duplicate field "{path}"' for path in paths)


def keys(data: bytes) -> Keys:
    """Walks over a text that `load` has read and that nests no deeper than its callers allow."""
    found = Keys({}, {})
    text = data.decode("utf-8", "replace")
    _note(json.loads(text, object_pairs_hook=_Pairs), "", found)
    return found


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written."""


def _note(value: Any, path: str, into: Keys) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, inner in value:
            at = f"{path}.{key}" if path else key
            noted = into.repeated if key in seen else into.order
            noted.setdefault(at, len(into.order) + len(into.repeated))
            seen.add(key)
            _note(inner, at, into)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _note(inner, f"{path}[{number}]", into)


def _number(text: str) -> int | float:
    """Returns a number that a float64 can hold; raises BadJSON."""
    if math.isinf(number := float(text)):
        raise BadJSON(f"json: cannot unmarshal number {text} into Go value of type float64")
    return int(text) if text.removeprefix("-").isdigit() else number


class _Scan:
    """One walk over a text that raises at the first byte that Go would not read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._open: list[int] = []  # the brackets around the present place

    def check(self) -> None:
        """Walks to the end; raises BadJSON."""
        self._value()
        while self._open:
            self._space()
            inside = self._open[-1]
            sign = self._sign()
            if sign == ord(","):
                self._at += 1
                self._key() if inside == ord("{") else self._value()
            elif sign == inside + 2:  # the closing bracket of either kind
                self._at += 1
                self._open.pop()
            else:
                pair = inside == ord("{")
                raise self._bad("after object key:value pair" if pair else "after array element")
        self._space()
        if self._at < len(self._data):
            raise self._bad("after top-level value")

    def _value(self) -> None:
        """Walks over a value, or into as many brackets as open at its beginning."""
        while True:
            self._space()
            sign = self._sign()
            if sign not in b"{[":
                break
            self._at += 1
            self._space()
            if self._sign() == sign + 2:
                self._at += 1
                return
            self._open.append(sign)
            if len(self._open) > DEEPEST:
                raise BadJSON(TOO_DEEP)
            if sign == ord("{"):
                self._name()
        self._scalar(sign)

    def _key(self) -> None:
        self._space()
        self._name()
        self._value()

    def _name(self) -> None:
        """Walks over an object's key and its colon."""
        if self._sign() != ord('"'):
            raise self._bad("looking for beginning of object key string")
        self._string()
        self._space()
        if self._sign() != ord(":"):
            raise self._bad("after object key")
        self._at += 1

    def _scalar(self, sign: int) -> None:
        if sign == ord('"'):
            self._string()
        elif sign in _LITERALS:
            self._literal(_LITERALS[sign])
        elif sign in b"-0123456789":
            self._number()
        else:
            raise self._bad("looking for beginning of value")

    def _string(self) -> None:
        self._at += 1
        while True:
            self._skip(_PLAIN)
            sign = self._sign()
            if sign == ord('"'):
                self._at += 1
                return
            if sign != ord("\\"):
                raise self._bad("in string literal")
            self._at += 1
            self._escape()

    def _escape(self) -> None:
        sign = self._sign()
        if sign not in b'"\\/bfnrtu':
            raise self._bad("in string escape code")
        self._at += 1
        for _ in range(4 if sign == ord("u") else 0):
            if self._sign() not in _HEX:
                raise self._bad("in \\u hexadecimal character escape")
            self._at += 1

    def _literal(self, word: bytes) -> None:
        for expected in word[1:]:
            self._at += 1
            if self._sign() != expected:
                raise self._bad(f"in literal {word.decode()} (expecting {_shown(expected)})")
        self._at += 1

    def _number(self) -> None:
        if self._sign() == ord("-"):
            self._at += 1
            self._digit("in numeric literal")
        if self._sign() == ord("0"):
            self._at += 1
        else:
            self._skip(_DIGITS)
        if self._peek() == b".":
            self._at += 1
            self._digit("after decimal point in numeric literal")
            self._skip(_DIGITS)
        if self._peek() in (b"e", b"E"):
            self._at += 1
            if self._peek() in (b"+", b"-"):
                self._at += 1
            self._digit("in exponent of numeric literal")
            self._skip(_DIGITS)

    def _digit(self, where: str) -> None:
        if self._sign() not in b"0123456789":
            raise self._bad(where)

    def _space(self) -> None:
        self._skip(_SPACE)

    def _skip(self, pattern: re.Pattern[bytes]) -> None:
        found = pattern.match(self._data, self._at)
        assert found is not None
        self._at = found.end()

    def _peek(self) -> bytes:
        return self._data[self._at : self._at + 1]

    def _sign(self) -> int:
        """Returns the byte at the present place; raises BadJSON at the end."""
        if self._at >= len(self._data):
            raise BadJSON(ENDED)
        return self._data[self._at]

    def _bad(self, where: str) -> BadJSON:
        return BadJSON(f"invalid character {_shown(self._sign())} {where}")


def _shown(sign: int) -> str:
    """Returns a byte as Go quotes it, taken for a code point."""
    if sign == ord("'"):
        return "'\\''"
    if sign == ord('"'):
        return "'\"'"
    return f"'{quote(chr(sign))[1:-1]}'"
