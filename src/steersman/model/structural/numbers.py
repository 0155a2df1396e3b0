"""Numbers as Go and kube-openapi see them: how they print, what counts as an integer."""

from __future__ import annotations

from decimal import Decimal
from math import isfinite
from typing import Any

# The largest integers that a float64 holds without a gap (swag.IsFloat64AJSONInteger)
_WHOLE = 2.0**53 - 1
_CLOSE = 1e-9
# strconv prints exponents outside of these
_LEAST_EXPONENT, _MOST_EXPONENT = -4, 21

BOUNDS = {"int32": 2**31, "int64": 2**63}
_LARGEST_FLOAT32 = 3.4028234663852886e38


def printed(value: float) -> str:
    """Returns a float64 as `%v` prints it."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isfinite(value):
        return {"inf": "+Inf", "-inf": "-Inf"}.get(str(value), "NaN")
    number = Decimal(repr(value))
    exponent = number.adjusted() if value else 0
    if _LEAST_EXPONENT <= exponent < _MOST_EXPONENT:
        text = format(number, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    digits = "".join(map(str, number.as_tuple().digits)).rstrip("0") or "0"
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    sign = "-" if value < 0 else ""
    return f"{sign}{mantissa}e{'+' if exponent >= 0 else '-'}{abs(exponent):02d}"


def is_whole(value: float) -> bool:
    """Says whether a float64 is an integer, as near as a float can say."""
    if not isfinite(value) or abs(value) > _WHOLE:
        return False
    whole = round(value)
    difference = abs(value - whole)
    return difference == 0 or difference / max(abs(value), 1.0) < _CLOSE


def kind_of(value: Any) -> str:
    """Returns the type of a JSON value in a schema's words."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -(2**63) <= value < 2**63 else "number"
    names = {float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def in_range(value: float, kind: str, form: str) -> bool:
    """Says whether a number can be held by a type and format."""
    if kind == "integer":
        bound = BOUNDS.get(form, BOUNDS["int64"])
        return value == int(value) and -bound <= value < bound if isfinite(value) else False
    return form != "float" or abs(value) <= _LARGEST_FLOAT32
