"""YAML to JSON documents, as sigs.k8s.io/yaml reads them, and back; not a general YAML library.

YAML 1.1 booleans as go-yaml v2 knows them, timestamps stay strings, keys become strings, a key
given twice is an error. Nesting and aliases are bounded. PyYAML loads with the first use.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

# Deeper than any manifest; PyYAML's own composer recurses without a bound and overruns the stack
MAX_DEPTH = 300
# Values of a document with its aliases resolved; a bomb makes much of a small text
MAX_VALUES = 2_000_000
# Values that a text itself has: more take seconds to read, and no manifest has so many
MAX_WRITTEN = 250_000
# Only what aliases multiply by more than this factor is taken for a bomb, and nothing small
ALIAS_FACTOR = 10
FREE_VALUES = 100_000

# A number with more digits than a float64 can have is a text
MAX_DIGITS = 300

# go-yaml v2's resolve table: YAML 1.1's words, y and n among them
_TRUE = frozenset(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"))
_FALSE = frozenset(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"))
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_SPECIAL = {
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_BINARY = "tag:yaml.org,2002:binary"
_RESOLVED = frozenset(f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null"))
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


class BadYAML(ValueError):
    """The text is not YAML that can be read; the message says where and why."""


def load(text: bytes | str, repeated: list[str] | None = None) -> Any:
    """Returns the first document as a JSON value; raises BadYAML.

    With `repeated`, a key given twice is told there, and the last one counts.
    """
    return next(load_all(text, repeated), None)


def load_all(text: bytes | str, repeated: list[str] | None = None) -> Iterator[Any]:
    """Yields the documents of a stream as JSON values; raises BadYAML."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        events = loader(text.decode("utf-8") if isinstance(text, bytes) else text)
        try:
            yield from _documents(events, repeated)
        finally:
            events.dispose()
    except yaml.YAMLError as error:
        raise BadYAML(_one_line(error)) from None
    except UnicodeDecodeError:
        raise BadYAML("yaml: invalid leading UTF-8 octet") from None


def line_of(text: bytes, path: Sequence[str | int]) -> int:
    """Returns the line, from 1, in which an entry of a document that can be read begins; where
    there is none, that of the last one on the way."""
    import yaml

    node = yaml.compose(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    line = 1
    for step in path:
        found = _below(node, step)
        if found is None:
            break
        mark, node = found
        line = mark.line + 1
    return line


def _below(node: Any, step: str | int) -> tuple[Any, Any] | None:
    """Returns where an entry of a mapping or a list begins, and what it holds."""
    if isinstance(step, int):
        return node.value[step].start_mark, node.value[step]
    return next(((key.start_mark, value) for key, value in node.value if key.value == step), None)


def _documents(events: Any, repeated: list[str] | None) -> Iterator[Any]:
    from yaml.events import DocumentStartEvent, StreamEndEvent

    while not isinstance(event := events.get_event(), StreamEndEvent):
        if isinstance(event, DocumentStartEvent):
            yield _Reading(events, repeated).value(events.get_event(), 0)


class _Reading:
    """One document on its way from events to values."""

    def __init__(self, events: Any, repeated: list[str] | None) -> None:
        from yaml import events as kinds

        self._repeated = repeated

        self._kinds: Any = kinds
        self._events = events
        # What anchors name: the value and how many values it holds; None while it is being read
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        self._values = 0
        self._written = 0

    def value(self, event: Any, depth: int) -> Any:
        """Returns the value that begins with an event."""
        if depth > MAX_DEPTH:
            raise BadYAML(f"yaml: exceeded max depth of {MAX_DEPTH}")
        if isinstance(event, self._kinds.AliasEvent):
            return self._alias(event)
        self._written += 1
        if self._written > MAX_WRITTEN:
            raise BadYAML(f"yaml: document has over {MAX_WRITTEN} values")
        self._count(1)
        before = self._values
        if event.anchor:
            self._anchors[event.anchor] = None
        if isinstance(event, self._kinds.ScalarEvent):
            found = _scalar(event)
        elif isinstance(event, self._kinds.SequenceStartEvent):
            found = self._sequence(depth)
        else:
            found = self._mapping(depth)
        if event.anchor:
            self._anchors[event.anchor] = (found, self._values - before + 1)
        return found

    def _count(self, more: int) -> None:
        self._values += more
        bomb = self._values > FREE_VALUES and self._values > ALIAS_FACTOR * self._written
        if bomb or self._values > MAX_VALUES:
            raise BadYAML("yaml: document contains excessive aliasing")

    def _alias(self, event: Any) -> Any:
        name = event.anchor
        if name not in self._anchors:
            raise BadYAML(f"{_where(event)}: unknown anchor '{name}' referenced")
        if (known := self._anchors[name]) is None:
            raise BadYAML(f"{_where(event)}: anchor '{name}' value contains itself")
        value, size = known
        self._count(size)
        return _copy(value)

    def _sequence(self, depth: int) -> list[Any]:
        found = []
        while not isinstance(event := self._events.get_event(), self._kinds.SequenceEndEvent):
            found.append(self.value(event, depth + 1))
        return found

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(event := self._events.get_event(), self._kinds.MappingEndEvent):
            scalar = isinstance(event, self._kinds.ScalarEvent)
            if scalar and event.implicit[0] and event.value == "<<":
                merged = {**self._merged(event, depth), **merged}
                continue
            value = self.value(event, depth + 1)
            if isinstance(value, (dict, list)):
                raise BadYAML(f"{_where(event)}: invalid map key")
            if (key := _key(value)) in found:
                self._repeat(event, key)
            found[key] = self.value(self._events.get_event(), depth + 1)
        return {**merged, **found} if merged else found

    def _repeat(self, event: Any, key: str) -> None:
        if self._repeated is None:
            raise BadYAML(f'{_where(event)}: key "{key}" already set in map')
        self._repeated.append(f'line {event.start_mark.line + 1}: key "{key}" already set in map')

    def _merged(self, event: Any, depth: int) -> dict[str, Any]:
        """Returns what `<<` brings in; of several maps the first has the last word."""
        value = self.value(self._events.get_event(), depth + 1)
        merged: dict[str, Any] = {}
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                why = "map merge requires map or sequence of maps as the value"
                raise BadYAML(f"{_where(event)}: {why}")
            merged = {**source, **merged}
        return merged


def _copy(value: Any) -> Any:
    """Returns a value that shares nothing: documents are changed in place by their owners."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _scalar(event: Any) -> Any:
    tag = event.tag
    if tag is None:
        return _resolve(event.value) if event.implicit[0] else event.value
    if tag in _RESOLVED:
        return _resolve(event.value)
    return _binary(event) if tag == _BINARY else event.value


def _binary(event: Any) -> str:
    """Returns the bytes of a !!binary as text, as go-yaml does."""
    try:
        return base64.b64decode(event.value).decode("utf-8", "replace")
    except ValueError:
        raise BadYAML(f"{_where(event)}: !!binary value contains invalid base64 data") from None


def _resolve(text: str) -> Any:
    """Returns what a plain scalar means (go-yaml's resolve)."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text in _NULL:
        return None
    first = text[0]
    if not (first.isascii() and (first.isdigit() or first in "+-.")):
        return text
    if text in _SPECIAL:
        raise BadYAML(f"json: unsupported value: {text}")  # JSON has no such number
    if _INTEGER.fullmatch(text):
        return text if len(text) > MAX_DIGITS else _integer(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        number = float(text.replace("_", ""))
        return text if math.isinf(number) else _plain_number(number)
    return text


def _plain_number(number: float) -> int | float:
    """Returns a whole number as JSON writes it in Go: without a point."""
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _integer(text: str) -> int | float:
    """Returns a number in YAML 1.1's notations; beyond 64 bits it is a float, as in Go."""
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if digits[:2] in ("0b", "0o", "0x"):
        number = sign * int(digits, 0)
    elif len(digits) > 1 and digits.startswith("0"):
        number = sign * int(digits, 8)
    else:
        number = sign * int(digits)
    return number if -(1 << 63) <= number < 1 << 64 else float(number)


def _key(value: Any) -> str:
    """Returns a key as JSON's object has it (sigs.k8s.io/yaml converts scalars)."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    return str(value)


def _where(event: Any) -> str:
    return f"yaml: line {event.start_mark.line + 1}"


def _one_line(error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"yaml: line {mark.line + 1}: {problem}" if mark is not None else f"yaml: {problem}"


# What is a string without quotes: it begins like a word and means nothing else (y, no, null)
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_MEANING = _TRUE | _FALSE | _NULL
# What YAML 1.1 takes for the end of a line or does not take, JSON leaves as it is
_UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def dump(value: Any) -> str:
    """Returns a JSON value as YAML in lines."""
    if not value or not isinstance(value, (dict, list)):
        return f"{_shown(value)}\n"
    return "".join(_lines(value, ""))


def _lines(value: Any, indent: str) -> Iterator[str]:
    """Yields the lines of a map or a list that is not empty."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _entry(f"{indent}{_shown(key)}:", item, indent)
        return
    for item in value:
        if item and isinstance(item, (dict, list)):  # begins behind its dash
            inside = _lines(item, f"{indent}  ")
            yield f"{indent}- {next(inside)[len(indent) + 2 :]}"
            yield from inside
        else:
            yield f"{indent}- {_shown(item)}\n"


def _entry(head: str, item: Any, indent: str) -> Iterator[str]:
    if item and isinstance(item, dict):
        yield f"{head}\n"
        yield from _lines(item, f"{indent}  ")
    elif item and isinstance(item, list):
        yield f"{head}\n"
        yield from _lines(item, indent)
    else:
        yield f"{head} {_shown(item)}\n"


def _shown(value: Any) -> str:
    """Returns a scalar, or an empty map or list."""
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value not in _MEANING:
            return value
        text = orjson.dumps(value).decode()
        return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    text = orjson.dumps(value).decode()
    # without a point some take a number with an exponent for a text
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text
