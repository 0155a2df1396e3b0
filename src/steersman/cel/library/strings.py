"""Functions of strings (cel-spec and cel-go's ext/strings.go, version 2)."""

from __future__ import annotations

from typing import Final

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload, room
from steersman.cel.library.formatting import format_string
from steersman.cel.types import BOOL, DYN, INT, STRING, list_of

_UPPER: Final = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_QUOTED: Final = {
    ord(raw): shown
    for raw, shown in zip(
        '\a\b\f\n\r\t\v\\"',
        (r"\a", r"\b", r"\f", r"\n", r"\r", r"\t", r"\v", r"\\", r"\""),
        strict=True,
    )
}


def _bounded(index: int, length: int) -> int:
    if 0 <= index <= length:
        return index
    raise EvaluationError(f"index out of range: {index}")


def _not_before(index: int) -> None:
    """Refuses a place before the text; beyond it nothing is found."""
    if index < 0:
        raise EvaluationError(f"index out of range: {index}")


def _char_at(text: str, index: int) -> str:
    _bounded(index, len(text))
    return text[index : index + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not part:
        return start
    _not_before(start)
    return text.find(part, start)


def _last_index_of(text: str, part: str, last: int | None = None) -> int:
    if not part:
        return len(text) if last is None else last
    last = len(text) - 1 if last is None else last
    _not_before(last)
    return text.rfind(part, 0, last + len(part)) if last < len(text) else -1


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    return text[_bounded(start, len(text)) : _bounded(end, len(text))]


def _split(text: str, separator: str, most: int = -1) -> list[str]:
    if most == 0:
        return []
    if most == 1:
        return [text]
    if separator:
        return text.split(separator, most - 1 if most > 0 else -1)
    characters = list(text)
    if 0 < most < len(characters):
        return [*characters[: most - 1], "".join(characters[most - 1 :])]
    return characters


def _join(items: list[str], separator: str = "") -> str:
    for item in items:
        if not isinstance(item, str):
            raise EvaluationError(f"join: invalid input: {item}")
    room(sum(map(len, items)) + len(separator) * len(items))
    return separator.join(items)


def _replace(text: str, old: str, new: str, most: int = -1) -> str:
    found = text.count(old)
    room(len(text) + (found if most < 0 else min(found, most)) * (len(new) - len(old)))
    return text.replace(old, new, most)


def _quote(text: str) -> str:
    return f'"{text.translate(_QUOTED)}"'


_SCAN: Final = (0,)
FUNCTIONS: Final[Functions] = {
    "contains": (Overload((STRING, STRING), BOOL, lambda a, b: b in a, True, _SCAN),),
    "startsWith": (Overload((STRING, STRING), BOOL, str.startswith, True, (1,)),),
    "endsWith": (Overload((STRING, STRING), BOOL, str.endswith, True, (1,)),),
    "charAt": (Overload((STRING, INT), STRING, _char_at, True, _SCAN),),
    "indexOf": (
        Overload((STRING, STRING), INT, _index_of, True, _SCAN),
        Overload((STRING, STRING, INT), INT, _index_of, True, _SCAN),
    ),
    "lastIndexOf": (
        Overload((STRING, STRING), INT, _last_index_of, True, _SCAN),
        Overload((STRING, STRING, INT), INT, _last_index_of, True, _SCAN),
    ),
    "lowerAscii": (Overload((STRING,), STRING, lambda a: a.translate(_LOWER), True, _SCAN),),
    "upperAscii": (Overload((STRING,), STRING, lambda a: a.translate(_UPPER), True, _SCAN),),
    "replace": (
        Overload((STRING, STRING, STRING), STRING, _replace, True, _SCAN, makes=True),
        Overload((STRING, STRING, STRING, INT), STRING, _replace, True, _SCAN, makes=True),
    ),
    "split": (
        Overload((STRING, STRING), list_of(STRING), _split, True, _SCAN),
        Overload((STRING, STRING, INT), list_of(STRING), _split, True, _SCAN),
    ),
    "substring": (
        Overload((STRING, INT), STRING, _substring, True, _SCAN),
        Overload((STRING, INT, INT), STRING, _substring, True, _SCAN),
    ),
    "trim": (Overload((STRING,), STRING, str.strip, True, _SCAN),),
    "join": (
        Overload((list_of(STRING),), STRING, _join, True, _SCAN, makes=True),
        Overload((list_of(STRING), STRING), STRING, _join, True, _SCAN, makes=True),
    ),
    "format": (Overload((STRING, list_of(DYN)), STRING, format_string, True, _SCAN, makes=True),),
    "strings.quote": (Overload((STRING,), STRING, _quote, False, _SCAN),),
}
