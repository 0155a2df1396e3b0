"""Operators that compute: + - * / % and the minus in front, with 64-bit bounds (cel-spec)."""

from __future__ import annotations

import math
from typing import Any, Final

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload, room
from steersman.cel.types import (
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    LIST,
    STRING,
    TIMESTAMP,
    UINT,
)
from steersman.cel.values import (
    INT_MAX,
    INT_MIN,
    Duration,
    MapList,
    SetList,
    Timestamp,
    Uint,
    checked_int,
    checked_uint,
    merge_sets,
)

# 0001-01-01 to 9999-12-31 (google.protobuf.Timestamp)
_FIRST, _LAST = -62135596800 * 10**9, 253402300799 * 10**9 + 999_999_999


def timestamp(nanos: int) -> Timestamp:
    """Returns a moment of the years 1 to 9999; raises EvaluationError."""
    if _FIRST <= nanos <= _LAST:
        return Timestamp(nanos)
    raise EvaluationError("timestamp overflow")


def duration(nanos: int) -> Duration:
    """Returns a duration that fits into 64 bits of nanoseconds; raises EvaluationError."""
    if INT_MIN <= nanos <= INT_MAX:
        return Duration(nanos)
    raise EvaluationError("duration overflow")


def _quotient(left: int, right: int) -> int:
    """Returns the quotient rounded towards zero, as Go divides."""
    if right == 0:
        raise EvaluationError("division by zero")
    found = abs(left) // abs(right)
    return checked_int(-found if (left < 0) != (right < 0) else found)


def _remainder(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("modulus by zero")
    found = abs(left) % abs(right)
    return -found if left < 0 else found


def _divide(left: float, right: float) -> float:
    if right:
        return left / right
    if math.isnan(left) or not left:
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1, right)


def _joined(left: list[Any], right: list[Any]) -> list[Any]:
    """Returns two lists as one; what stands for a set or a map is merged."""
    if isinstance(left, SetList):
        return merge_sets(left, right)
    if isinstance(left, MapList):
        items = {left.key(item): item for item in left}
        items.update((left.key(item), item) for item in right)
        return MapList(list(items.values()), left.keys)
    room(len(left) + len(right))
    return [*left, *right]


def _unsigned(left: Uint, right: Uint) -> Uint:
    if right == 0:
        raise EvaluationError("division by zero")
    return Uint(int(left) // int(right))


def _unsigned_remainder(left: Uint, right: Uint) -> Uint:
    if right == 0:
        raise EvaluationError("modulus by zero")
    return Uint(int(left) % int(right))


FUNCTIONS: Final[Functions] = {
    "_+_": (
        Overload((INT, INT), INT, lambda a, b: checked_int(a + b)),
        Overload((UINT, UINT), UINT, lambda a, b: checked_uint(int(a) + int(b))),
        Overload((DOUBLE, DOUBLE), DOUBLE, lambda a, b: a + b),
        Overload((STRING, STRING), STRING, lambda a, b: a + b, scans=(0, 1)),
        Overload((BYTES, BYTES), BYTES, lambda a, b: a + b, scans=(0, 1)),
        Overload((LIST, LIST), LIST, _joined, makes=True),
        Overload((DURATION, DURATION), DURATION, lambda a, b: duration(a.nanos + b.nanos)),
        Overload((TIMESTAMP, DURATION), TIMESTAMP, lambda a, b: timestamp(a.nanos + b.nanos)),
        Overload((DURATION, TIMESTAMP), TIMESTAMP, lambda a, b: timestamp(a.nanos + b.nanos)),
    ),
    "_-_": (
        Overload((INT, INT), INT, lambda a, b: checked_int(a - b)),
        Overload((UINT, UINT), UINT, lambda a, b: checked_uint(int(a) - int(b))),
        Overload((DOUBLE, DOUBLE), DOUBLE, lambda a, b: a - b),
        Overload((DURATION, DURATION), DURATION, lambda a, b: duration(a.nanos - b.nanos)),
        Overload((TIMESTAMP, DURATION), TIMESTAMP, lambda a, b: timestamp(a.nanos - b.nanos)),
        Overload((TIMESTAMP, TIMESTAMP), DURATION, lambda a, b: duration(a.nanos - b.nanos)),
    ),
    "_*_": (
        Overload((INT, INT), INT, lambda a, b: checked_int(a * b)),
        Overload((UINT, UINT), UINT, lambda a, b: checked_uint(int(a) * int(b))),
        Overload((DOUBLE, DOUBLE), DOUBLE, lambda a, b: a * b),
    ),
    "_/_": (
        Overload((INT, INT), INT, _quotient),
        Overload((UINT, UINT), UINT, _unsigned),
        Overload((DOUBLE, DOUBLE), DOUBLE, _divide),
    ),
    "_%_": (
        Overload((INT, INT), INT, _remainder),
        Overload((UINT, UINT), UINT, _unsigned_remainder),
    ),
    "-_": (
        Overload((INT,), INT, lambda a: checked_int(-a)),
        Overload((DOUBLE,), DOUBLE, lambda a: -a),
        Overload((DURATION,), DURATION, lambda a: duration(-a.nanos)),
    ),
    "dyn": (Overload((DYN,), DYN, lambda a: a),),
}
