"""`'%s'.format([...])`: clauses as cel-go's ext/formatting.go reads them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from steersman.cel.errors import BudgetExceeded, EvaluationError
from steersman.cel.library import times
from steersman.cel.values import Duration, Timestamp, TypeValue, type_name

_CLAUSE = re.compile(r"%(?:%|(?:\.(\d+))?(.)|$)", re.DOTALL)
_MOST_PRECISION: Final = 1000
# Characters that one call writes at most, far above what a message may have
_MOST_WRITTEN: Final = 1_000_000
_DEFAULT_PRECISION: Final = 6


def format_string(text: str, arguments: list[Any]) -> str:
    """Returns the text with its clauses replaced by arguments; raises EvaluationError."""
    given = iter(enumerate(arguments))
    written = 0

    def clause(match: re.Match[str]) -> str:
        nonlocal written
        if match.group() == "%%":
            return "%"
        kind = match[2]
        if kind not in _CLAUSES:
            shown = kind or ""
            raise EvaluationError(f'could not parse formatting clause: unrecognized "{shown}"')
        place, value = next(given, (-1, None))
        if place < 0:
            raise EvaluationError(f"index {len(arguments)} out of range")
        shown = _CLAUSES[kind](value, _precision(match[1]))
        written = _room(written + len(shown))
        return shown

    return _CLAUSE.sub(clause, text)


def _precision(text: str | None) -> int:
    if text is None:
        return _DEFAULT_PRECISION
    if len(text) > 4 or int(text) > _MOST_PRECISION:
        raise EvaluationError(f"precision {text} is over {_MOST_PRECISION}")
    return int(text)


def show(value: Any) -> str:
    """Returns a value's text as %s writes it."""
    if isinstance(value, list):
        return f"[{_listed(map(show, value))}]"
    if isinstance(value, dict):
        return f"{{{_listed(_entries(value))}}}"
    for kind, shown in _SHOWN.items():
        if isinstance(value, kind):
            return shown(value)
    raise EvaluationError(
        "error during formatting: string clause can only be used on strings, bools, bytes, ints,"
        f" doubles, maps, lists, types, durations, and timestamps, was given {type_name(value)}"
    )


def _entries(value: Mapping[Any, Any]) -> Iterator[str]:
    """Yields the entries of a map in the order of their keys' texts."""
    shown = {show(key): item for key, item in value.items()}
    for key in sorted(shown):
        yield f"{key}: {show(shown[key])}"


def _listed(texts: Iterable[str]) -> str:
    """Joins texts by commas; gives up, while they are made, when they get too long."""
    made, written = [], 0
    for text in texts:
        written = _room(written + len(text) + 2)
        made.append(text)
    return ", ".join(made)


def _room(written: int) -> int:
    if written > _MOST_WRITTEN:
        raise BudgetExceeded
    return written


def _show_float(number: float) -> str:
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    return f"{number:.6f}".rstrip("0").rstrip(".") if abs(number) < 1e21 else f"{number:e}"


_SHOWN: Final[Mapping[type, Callable[[Any], str]]] = {
    bool: lambda value: "true" if value else "false",
    int: lambda value: str(int(value)),
    float: _show_float,
    str: lambda value: str(value),
    bytes: lambda value: value.decode(errors="replace"),
    type(None): lambda _: "null",
    Timestamp: times.show_timestamp,
    Duration: times.show_duration,
    TypeValue: lambda value: str(value.name),
}


def _number(value: Any, clause: str, wanted: str) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise EvaluationError(
        f"error during formatting: {clause} clause can only be used on {wanted},"
        f" was given {type_name(value)}"
    )


def _decimal(value: Any, _: int) -> str:
    return show(_number(value, "decimal", "integers"))


def _fixed(value: Any, precision: int) -> str:
    return _written(_number(value, "fixed-point", "doubles"), f".{precision}f")


def _scientific(value: Any, precision: int) -> str:
    return _written(_number(value, "scientific", "doubles"), f".{precision}e")


def _written(number: float, style: str) -> str:
    return format(float(number), style) if math.isfinite(number) else _show_float(number)


def _whole(value: Any, clause: str) -> int:
    number = value if isinstance(value, bool) else _number(value, clause, "integers")
    if isinstance(number, float):
        raise EvaluationError(
            f"error during formatting: {clause} clause can only be used on integers,"
            " was given double"
        )
    return int(number)


def _binary(value: Any, _: int) -> str:
    return f"{_whole(value, 'binary'):b}"


def _octal(value: Any, _: int) -> str:
    return f"{_whole(value, 'octal'):o}"


def _hexadecimal(value: Any, _: int) -> str:
    if isinstance(value, str):
        return value.encode().hex()
    if isinstance(value, bytes):
        return value.hex()
    return f"{_whole(value, 'hex'):x}"


_CLAUSES: Final[Mapping[str | None, Callable[[Any, int], str]]] = {
    "s": lambda value, _: show(value),
    "d": _decimal,
    "f": _fixed,
    "e": _scientific,
    "b": _binary,
    "o": _octal,
    "x": _hexadecimal,
    "X": lambda value, precision: _hexadecimal(value, precision).upper(),
}
