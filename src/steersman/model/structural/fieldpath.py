"""Simple JSON paths in a definition: resolved in a schema, or read from a document.

`resolve` follows apiextensions' cel.ValidFieldPath; `read` follows client-go's jsonpath as far as
printer columns and selectable fields use it: fields, quoted keys, indices, `[*]` and filters on
equality. A path that reads nothing gives no values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

Raw = Mapping[str, Any]
Step = Callable[[Any], Iterator[Any]]

# Steps of one path; a schema nests less
_MOST_STEPS: Final = 200
_CACHED: Final = 1024
_TOKEN: Final = re.compile(r"'(?:[^'\\]|\\.)*'|[.\[\]]|[^.\[\]]+")
_STEP: Final = re.compile(
    r"""
    \.\.(?P<deep>[\w*$-]+)
    | \.(?P<name>(?:[^.\[\\]|\\.)+)
    | \[\s*(?P<quote>['"])(?P<key>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)\s*\]
    | \[\s*(?P<index>-?\d{1,9})\s*\]
    | \[\s*(?P<slice>-?\d{0,9}:-?\d{0,9}(?::\d{0,9})?)\s*\]
    | \[\s*(?P<all>\*)\s*\]
    | \[\?\(\s*@\.(?P<field>[\w.\\/-]+)\s*(?P<sign>==|!=)\s*
        (?P<value>"[^"]*"|'[^']*'|[\w.-]+)\s*\)\]
    | (?P<dot>\.)$
    """,
    re.VERBOSE,
)


class BadPath(ValueError):
    """A path that does not fit; the text is upstream's."""


def resolve(path: str, raw: Raw, *, arrays: bool = True) -> tuple[tuple[str, ...], Raw]:
    """Returns the names of a path and the schema it leads to; raises BadPath."""
    tokens = _TOKEN.findall(path)
    names: list[str] = []
    at = 0
    while at < len(tokens):
        if tokens[at] == "[":
            if not arrays:
                raise BadPath("array notation is not allowed")
            name, at = _quoted(tokens, at + 1)
        elif tokens[at] == ".":
            if at + 1 >= len(tokens):
                raise BadPath("unexpected end of JSON path")
            name, at = tokens[at + 1], at + 2
        else:
            raise BadPath(f"expected [ or . but got: {tokens[at]}")
        raw = _below(raw, name)
        names.append(name)
    return tuple(names), raw


def _quoted(tokens: Sequence[str], at: int) -> tuple[str, int]:
    if at >= len(tokens):
        raise BadPath("unexpected end of JSON path")
    token = tokens[at]
    if len(token) < 2 or token[0] != "'" or token[-1] != "'":
        raise BadPath(f"expected single quoted string but got {token}")
    if at + 1 >= len(tokens):
        raise BadPath("unexpected end of JSON path")
    if tokens[at + 1] != "]":
        raise BadPath(f"expected ] but got {tokens[at + 1]}")
    return re.sub(r"\\(.)", r"\1", token[1:-1]), at + 2


def _below(raw: Raw, name: str) -> Raw:
    more = raw.get("additionalProperties")
    if properties := raw.get("properties"):
        if name not in properties:
            raise BadPath("does not refer to a valid field")
        found: Raw = properties[name]
        return found
    if more is None:
        raise BadPath("does not refer to a valid field")
    return more if isinstance(more, Mapping) else {}


@lru_cache(_CACHED)
def compiled(path: str) -> tuple[Step, ...] | None:
    """Returns the steps of a path, None for one that is not understood."""
    steps: list[Step] = []
    at = 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or found.end() == at or len(steps) >= _MOST_STEPS:
            return None
        if found["dot"] is None:
            steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def read(document: Any, path: str) -> list[Any]:
    """Returns the values that a path leads to."""
    steps = compiled(path)
    values = [document] if steps is not None else []
    for step in steps or ():
        values = [found for value in values for found in step(value)]
    return values


def _step(found: re.Match[str]) -> Step:
    if (name := found["name"]) is not None:
        name = re.sub(r"\\(.)", r"\1", name)
        return _every if name == "*" else lambda value: _field(value, name)
    if (key := found["key"]) is not None:
        key = re.sub(r"\\(.)", r"\1", key)
        return lambda value: _field(value, key)
    if (index := found["index"]) is not None:
        return lambda value: _item(value, int(index))
    if (bounds := found["slice"]) is not None:
        return lambda value: _slice(value, bounds)
    if found["all"] is not None:
        return _every
    if (deep := found["deep"]) is not None:
        return lambda value: _deep(value, deep)
    return _filter(found["field"], found["sign"], found["value"])


def _field(value: Any, name: str) -> Iterator[Any]:
    if isinstance(value, dict) and name in value:
        yield value[name]


def _item(value: Any, index: int) -> Iterator[Any]:
    if isinstance(value, list) and -len(value) <= index < len(value):
        yield value[index]


def _slice(value: Any, bounds: str) -> Iterator[Any]:
    if isinstance(value, list):
        start, end, *step = (int(part) if part else None for part in bounds.split(":"))
        yield from value[start : end : (step[0] if step else None) or 1]


def _every(value: Any) -> Iterator[Any]:
    yield from value.values() if isinstance(value, dict) else ()
    yield from value if isinstance(value, list) else ()


def _deep(value: Any, name: str) -> Iterator[Any]:
    if name == "*" or (isinstance(value, dict) and name in value):
        yield from _every(value) if name == "*" else (value[name],)
    for inner in _every(value):
        yield from _deep(inner, name)


def _filter(field: str, sign: str, text: str) -> Step:
    wanted: Any = text[1:-1] if text[0] in "'\"" else _literal(text)
    names = tuple(re.sub(r"\\(.)", r"\1", part) for part in re.split(r"(?<!\\)\.", field))

    def step(value: Any) -> Iterator[Any]:
        for item in value if isinstance(value, list) else ():
            found = item
            for name in names:
                found = found.get(name) if isinstance(found, dict) else None
            if found is not None and (found == wanted) == (sign == "=="):
                yield item

    return step


def _literal(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text
