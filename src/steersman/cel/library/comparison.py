"""Operators that compare or look up: == < in [] ! ?:, and size (cel-spec)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload, no_overload
from steersman.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    LIST,
    MAP,
    STRING,
    TIMESTAMP,
    UINT,
    A,
    B,
    Type,
    optional_of,
)
from steersman.cel.values import NONE, Optional, compare, contains, equal

_NUMBERS: Final = (INT, UINT, DOUBLE)
_ORDERED: Final = (BOOL, STRING, BYTES, TIMESTAMP, DURATION)


def _ordering(name: str, holds: Callable[[int], bool]) -> tuple[Overload, ...]:
    def ordered(left: Any, right: Any) -> bool:
        if isinstance(left, bool) and isinstance(right, bool):
            return holds(left - right)
        found = compare(left, right)
        if found is not None:
            return holds(found)
        if isinstance(left, float) or isinstance(right, float):
            return False  # NaN has no order
        raise no_overload(name, (left, right))

    pairs: list[tuple[Type, Type]] = [(one, one) for one in _ORDERED]
    pairs += [(one, other) for one in _NUMBERS for other in _NUMBERS]
    return tuple(
        Overload(pair, BOOL, ordered, scans=(0, 1) if pair[0] in (STRING, BYTES) else ())
        for pair in pairs
    )


def _item(items: list[Any], index: int) -> Any:
    if 0 <= index < len(items):
        return items[index]
    raise EvaluationError(f"index out of bounds: {index}")


def _value(entries: Mapping[Any, Any], key: Any) -> Any:
    try:
        found = entries[key]
    except (KeyError, TypeError):
        raise EvaluationError(f"no such key: {key}") from None
    return found


def _at(items: list[Any], index: int) -> Optional:
    return Optional(items[index], True) if 0 <= index < len(items) else NONE


def _under(entries: Mapping[Any, Any], key: Any) -> Optional:
    return Optional(entries[key], True) if key in entries else NONE


def _of_optional(held: Optional, key: Any) -> Optional:
    if not held.present:
        return NONE
    return _at(held.value, key) if isinstance(held.value, list) else _under(held.value, key)


def _size(value: Any) -> int:
    return len(value)


def _sizes() -> tuple[Overload, ...]:
    kinds = (STRING, BYTES, LIST, MAP)
    return tuple(
        Overload((kind,), INT, _size, member, scans=(0,) if kind == STRING else ())
        for kind in kinds
        for member in (False, True)
    )


FUNCTIONS: Final[Functions] = {
    "_==_": (Overload((A, A), BOOL, equal),),
    "_!=_": (Overload((A, A), BOOL, lambda a, b: not equal(a, b)),),
    "_<_": _ordering("_<_", lambda found: found < 0),
    "_<=_": _ordering("_<=_", lambda found: found <= 0),
    "_>_": _ordering("_>_", lambda found: found > 0),
    "_>=_": _ordering("_>=_", lambda found: found >= 0),
    "@in": (
        Overload((A, LIST), BOOL, lambda item, items: contains(items, item), scans=(1,)),
        Overload((A, MAP), BOOL, lambda key, entries: key in entries),
    ),
    "_[_]": (
        Overload((LIST, INT), A, _item),
        Overload((MAP, A), B, _value),
        Overload((optional_of(LIST), INT), optional_of(A), _of_optional),
        Overload((optional_of(MAP), A), optional_of(B), _of_optional),
    ),
    "_[?_]": (
        Overload((LIST, INT), optional_of(A), _at),
        Overload((optional_of(LIST), INT), optional_of(A), _of_optional),
        Overload((MAP, A), optional_of(B), _under),
        Overload((optional_of(MAP), A), optional_of(B), _of_optional),
    ),
    "!_": (Overload((BOOL,), BOOL, lambda a: not a),),
    "_?_:_": (Overload((BOOL, A, A), A, lambda test, one, other: one if test else other),),
    "size": _sizes(),
}
