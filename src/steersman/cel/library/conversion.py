"""Conversions between types, and `type` (cel-spec, Standard Definitions)."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload
from steersman.cel.library import times
from steersman.cel.library.arithmetic import timestamp
from steersman.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    A,
    type_of,
)
from steersman.cel.values import (
    Duration,
    Timestamp,
    TypeValue,
    Uint,
    checked_int,
    checked_uint,
    type_name,
)

_INTEGER = re.compile(r"[+-]?\d{1,30}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(inf(inity)?)|nan", re.I)
_TRUE: Final = ("1", "t", "true", "TRUE", "True")
_FALSE: Final = ("0", "f", "false", "FALSE", "False")


def _whole(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise EvaluationError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return checked_int(int(text))


def _unsigned(text: str) -> Uint:
    if not _INTEGER.fullmatch(text) or text[0] in "+-":
        raise EvaluationError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    return checked_uint(int(text))


def _truncated(number: float) -> int:
    if not -(2.0**63) < number < 2.0**63:  # the lowest is refused too, as in cel-go
        raise EvaluationError("integer overflow")
    return int(number)


def _truncated_unsigned(number: float) -> Uint:
    if not math.isfinite(number) or number < 0:
        raise EvaluationError("unsigned integer overflow")
    return checked_uint(int(number))


def _double(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise EvaluationError(f'strconv.ParseFloat: parsing "{text}": invalid syntax')
    return float(text)


def _bool(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise EvaluationError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


def show_double(number: float) -> str:
    """Returns a number's shortest text, as Go's %g writes it."""
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
    text = repr(number)
    digits = text.removesuffix(".0")
    exponent = math.floor(math.log10(abs(number))) if number else 0
    if -5 < exponent < 21 and "e" not in digits:
        return digits
    if -5 < exponent < 21:
        return f"{number:.0f}"
    mantissa, _, power = f"{number:e}".partition("e")
    short = digits.partition("e")[0] if "e" in digits else mantissa.rstrip("0").rstrip(".")
    return f"{short}e{power}"


def _type(value: Any) -> TypeValue:
    return TypeValue(type_name(value))


def _seconds(number: int) -> Timestamp:
    return timestamp(number * 10**9)


def _floor(moment: Timestamp) -> int:
    return moment.nanos // 10**9


def _same(value: Any) -> Any:
    return value


FUNCTIONS: Final[Functions] = {
    "int": (
        Overload((INT,), INT, _same),
        Overload((UINT,), INT, lambda a: checked_int(int(a))),
        Overload((DOUBLE,), INT, _truncated),
        Overload((STRING,), INT, _whole),
        Overload((TIMESTAMP,), INT, _floor),
        Overload((DURATION,), INT, lambda a: a.nanos),
    ),
    "uint": (
        Overload((UINT,), UINT, _same),
        Overload((INT,), UINT, checked_uint),
        Overload((DOUBLE,), UINT, _truncated_unsigned),
        Overload((STRING,), UINT, _unsigned),
    ),
    "double": (
        Overload((DOUBLE,), DOUBLE, _same),
        Overload((INT,), DOUBLE, float),
        Overload((UINT,), DOUBLE, float),
        Overload((STRING,), DOUBLE, _double),
    ),
    "string": (
        Overload((STRING,), STRING, _same),
        Overload((BOOL,), STRING, lambda a: "true" if a else "false"),
        Overload((INT,), STRING, str),
        Overload((UINT,), STRING, lambda a: str(int(a))),
        Overload((DOUBLE,), STRING, show_double),
        Overload((BYTES,), STRING, _decoded, scans=(0,)),
        Overload((TIMESTAMP,), STRING, times.show_timestamp),
        Overload((DURATION,), STRING, times.show_duration),
    ),
    "bytes": (
        Overload((BYTES,), BYTES, _same),
        Overload((STRING,), BYTES, lambda a: a.encode(), scans=(0,)),
    ),
    "bool": (Overload((BOOL,), BOOL, _same), Overload((STRING,), BOOL, _bool)),
    "type": (Overload((A,), type_of(A), _type),),
    "timestamp": (
        Overload((TIMESTAMP,), TIMESTAMP, _same),
        Overload((STRING,), TIMESTAMP, times.parse_timestamp),
        Overload((INT,), TIMESTAMP, _seconds),
    ),
    "duration": (
        Overload((DURATION,), DURATION, _same),
        Overload((STRING,), DURATION, times.parse_duration),
        Overload((INT,), DURATION, Duration),
    ),
}
