"""Functions of lists: Kubernetes' own and those of cel-go's ext/lists.go, version 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cmp_to_key
from itertools import pairwise
from typing import Any, Final

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload, no_overload
from steersman.cel.library import arithmetic
from steersman.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    LIST,
    STRING,
    TIMESTAMP,
    UINT,
    A,
    Type,
    list_of,
)
from steersman.cel.values import Duration, Uint, compare, contains, equal

_COMPARABLE: Final = (INT, UINT, DOUBLE, BOOL, DURATION, TIMESTAMP, STRING, BYTES)
_ZEROS: Final = {INT: 0, UINT: Uint(0), DOUBLE: 0.0, DURATION: Duration(0)}
_MOST_RANGE: Final = 10_000  # items that lists.range makes; cel-go bounds them by cost


def order(left: Any, right: Any) -> int:
    """Returns how two values are ordered; raises EvaluationError where they are not."""
    if isinstance(left, bool) and isinstance(right, bool):
        return left - right
    found = compare(left, right)
    if found is None:
        raise no_overload("compare", (left, right))
    return found


def _is_sorted(items: Sequence[Any]) -> bool:
    return all(order(one, other) <= 0 for one, other in pairwise(items))


def _sum(zero: Any) -> Callable[[list[Any]], Any]:
    def total(items: list[Any]) -> Any:
        result = zero
        for item in items:
            result = _ADD[type(result)](result, item)
        return result

    return total


_ADD: Final[dict[type, Callable[..., Any]]] = dict(
    zip(
        (int, Uint, float, str, bytes, list, Duration),
        (overload.call for overload in arithmetic.FUNCTIONS["_+_"]),
        strict=False,
    )
)


def _extreme(name: str, sign: int) -> Callable[[list[Any]], Any]:
    def extreme(items: list[Any]) -> Any:
        if not items:
            raise EvaluationError(f"{name} called on empty list")
        best = items[0]
        for item in items[1:]:
            if order(item, best) * sign > 0:
                best = item
        return best

    return extreme


def _index_of(items: list[Any], wanted: Any) -> int:
    return next((place for place, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index_of(items: list[Any], wanted: Any) -> int:
    places = range(len(items) - 1, -1, -1)
    return next((place for place in places if equal(items[place], wanted)), -1)


def _includes(where: Any, wanted: Any) -> bool:
    if isinstance(where, list):
        if isinstance(wanted, list):
            return all(contains(where, item) for item in wanted)
        return contains(where, wanted)
    if isinstance(where, dict):
        return wanted in where
    return equal(where, wanted)


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    shown = f"cannot slice({start}, {end})"
    if start < 0 or end < 0:
        raise EvaluationError(f"{shown}, negative indexes not supported")
    if start > end:
        raise EvaluationError(f"{shown}, start index must be less than or equal to end index")
    if end > len(items):
        raise EvaluationError(f"{shown}, list is length {len(items)}")
    return items[start:end]


def _flatten(items: list[Any], level: int = 1) -> list[Any]:
    if level < 0:
        raise EvaluationError("level must be non-negative")
    found: list[Any] = []
    for item in items:
        if isinstance(item, list) and level > 0:
            found += _flatten(item, level - 1)
        else:
            found.append(item)
    return found


def _by_first(one: tuple[Any, Any], other: tuple[Any, Any]) -> int:
    return order(one[0], other[0])


def sort(items: list[Any], keys: list[Any] | None = None) -> list[Any]:
    """Returns items in the order of their keys, by default themselves; all of one type."""
    by = items if keys is None else keys
    if len({type(key) for key in by}) > 1:
        raise EvaluationError("list elements must have the same type")
    pairs: list[tuple[Any, Any]] = list(zip(by, items, strict=True))
    pairs.sort(key=cmp_to_key(_by_first))
    return [item for _, item in pairs]


def _range(count: int) -> list[int]:
    if count > _MOST_RANGE:
        raise EvaluationError(f"lists.range({count}) is over {_MOST_RANGE} items")
    return list(range(count))


def _distinct(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if not contains(found, item):
            found.append(item)
    return found


def _each(
    result: Type | None, call: Callable[..., Any], kinds: Sequence[Type] = _COMPARABLE
) -> tuple[Overload, ...]:
    return tuple(
        Overload((list_of(kind),), result or kind, call, member=True, scans=(0,)) for kind in kinds
    )


def _sums() -> tuple[Overload, ...]:
    return tuple(
        Overload((list_of(kind),), kind, _sum(zero), member=True, scans=(0,))
        for kind, zero in _ZEROS.items()
    )


FUNCTIONS: Final[Functions] = {
    "isSorted": _each(BOOL, _is_sorted),
    "sum": _sums(),
    "max": _each(None, _extreme("max", 1)),
    "min": _each(None, _extreme("min", -1)),
    "indexOf": (Overload((LIST, A), INT, _index_of, member=True, scans=(0,)),),
    "lastIndexOf": (Overload((LIST, A), INT, _last_index_of, member=True, scans=(0,)),),
    "includes": (Overload((DYN, DYN), BOOL, _includes, member=True, scans=(0,)),),
    "slice": (Overload((LIST, INT, INT), LIST, _slice, member=True, scans=(0,)),),
    "flatten": (
        Overload((list_of(LIST),), LIST, _flatten, member=True, scans=(0,)),
        Overload((list_of(DYN), INT), list_of(DYN), _flatten, member=True, scans=(0,)),
    ),
    "sort": tuple(
        Overload((list_of(kind),), list_of(kind), sort, True, (0, 0), 1) for kind in _COMPARABLE
    ),
    "lists.range": (Overload((INT,), list_of(INT), _range),),
    "reverse": (
        Overload((LIST,), LIST, lambda items: items[::-1], member=True, scans=(0,)),
        Overload((STRING,), STRING, lambda text: text[::-1], member=True, scans=(0,)),
    ),
    "distinct": (Overload((LIST,), LIST, _distinct, True, (0, 0), 1),),
}
