"""Kubernetes quantities (`100m`, `1Gi`, `1e3`) as exact numbers.

Every quantity is a whole number of nanos, because upstream rounds finer amounts away from zero to
one nano. Texts print as upstream prints them (apimachinery/pkg/api/resource/quantity.go), a text
that already is canonical is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

Format = Literal["DecimalSI", "BinarySI", "DecimalExponent"]

NANO: Final = 10**9
_CACHED_TEXTS: Final = 4096  # distinct texts in a big cluster are some hundreds
_CACHED_LENGTH: Final = 64  # longer texts are hostile or typing errors: not kept in memory
_MAX_LENGTH: Final = 1024  # Python's integer parsing is quadratic; no honest text is this long
_MAX_EXPONENT: Final = 1024  # 1e1000000000 would take gigabytes as an exact number
_MAX_BINARY: Final = (2**63 - 1) * NANO  # upstream caps binary texts here, and only those

_PATTERN = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_SCAN = re.compile(r"([+-]?)([0-9]*)(\.[0-9]*)?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_EXPONENT = re.compile(r"[eE]([-+]?[0-9]+)", re.ASCII)

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {0: "", **{exponent // 10: suffix for suffix, exponent in _BINARY.items()}}


class QuantityError(ValueError):
    """A text is no quantity; the message is upstream's."""


_WRONG_FORMAT = f"quantities must match the regular expression '{_PATTERN}'"
_WRONG_NUMBER = "unable to parse numeric part of quantity"
_WRONG_SUFFIX = "unable to parse quantity's suffix"


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """An exact amount; compares and hashes by amount alone, prints in its format."""

    nanos: int
    format: Format = field(default="DecimalSI", compare=False)
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.text or _render(self.nanos, self.format)

    def __bool__(self) -> bool:
        return self.nanos != 0

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos + other.nanos, self.format if self.nanos else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos - other.nanos, self.format if self.nanos else other.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nanos, self.format)

    def milli(self) -> int:
        """Returns thousandths, rounded away from zero (Quantity.MilliValue)."""
        return _away(self.nanos, 10**6)

    def in_thousandths(self) -> Quantity:
        """Returns it rounded to thousandths, away from zero (Quantity.RoundUp)."""
        rounded = self.milli() * 10**6
        return self if rounded == self.nanos else Quantity(rounded, self.format)

    def value(self) -> int:
        """Returns units, rounded away from zero (Quantity.Value)."""
        return _away(self.nanos, NANO)


def parse(amount: str | int | float) -> Quantity:
    """Reads a quantity; raises QuantityError with upstream's text."""
    text = amount if isinstance(amount, str) else repr(amount)
    return _parse_cached(text) if len(text) <= _CACHED_LENGTH else _parse(text)


def of_milli(amount: int) -> Quantity:
    """Returns a decimal quantity of so many thousandths."""
    return Quantity(amount * 10**6)


def of_bytes(amount: int) -> Quantity:
    """Returns a quantity of so many units that prints with binary suffixes."""
    return Quantity(amount * NANO, "BinarySI")


def _parse(text: str) -> Quantity:
    found = _SCAN.fullmatch(text)
    if not text or found is None:
        raise QuantityError(_WRONG_FORMAT)
    if len(text) > _MAX_LENGTH:
        raise QuantityError(_WRONG_NUMBER)
    sign, whole, fraction, suffix = found.groups()
    whole, fraction = whole.lstrip("0") or "0", (fraction or "")[1:]
    exponent, kind = _interpret(suffix)
    shifted = int(whole + fraction)
    nanos, kind = _amount(shifted, len(fraction), exponent, kind)
    kept = text if _is_canonical(whole, fraction, exponent, kind) else ""
    return Quantity(-nanos if sign == "-" else nanos, kind, kept)


_parse_cached = lru_cache(_CACHED_TEXTS)(_parse)


def _interpret(suffix: str) -> tuple[int, Format]:
    if (decimal := _DECIMAL.get(suffix)) is not None:
        return decimal, "DecimalSI"
    if (binary := _BINARY.get(suffix)) is not None:
        return binary, "BinarySI"
    found = _EXPONENT.fullmatch(suffix)
    if found is None or abs(int(found[1])) > _MAX_EXPONENT:
        raise QuantityError(_WRONG_SUFFIX)
    return int(found[1]), "DecimalExponent"


def _amount(digits: int, places: int, exponent: int, kind: Format) -> tuple[int, Format]:
    if kind != "BinarySI":
        return _scaled(digits, exponent - places + 9), kind
    nanos = min(_scaled(digits << exponent, 9 - places), _MAX_BINARY)
    # what a binary text below one says cannot be said with a binary suffix
    return nanos, "DecimalSI" if 0 < nanos < NANO else "BinarySI"


def _scaled(digits: int, power: int) -> int:
    return digits * 10**power if power >= 0 else _away(digits, 10**-power)


def _away(amount: int, divisor: int) -> int:
    return -(-amount // divisor) if amount >= 0 else amount // divisor


def _is_canonical(whole: str, fraction: str, exponent: int, kind: Format) -> bool:
    """Says whether upstream keeps the text as it came; it asks so only of texts that fit its
    64-bit fast path."""
    digits = whole + fraction
    if kind == "BinarySI":
        fits = not fraction and 14 - len(whole) - exponent * 3 // 10 >= 0
        return fits and int(whole) & 7 != 0
    scale = exponent - len(fraction)
    fits = len(digits) <= 18 and scale >= -9
    return fits and scale % 3 == 0 and not digits.endswith("000") and digits[0] != "0"


def _render(nanos: int, kind: Format) -> str:
    if nanos == 0:
        return "0"
    if kind == "BinarySI" and abs(nanos) >= 1024 * NANO and nanos % NANO == 0:
        amount, times = _factored(nanos // NANO, 1024, len(_BINARY))
        return f"{amount}{_BINARY_SUFFIX[times]}"
    amount, times = _factored(nanos, 1000, 0)
    exponent = times * 3 - 9
    if kind == "DecimalExponent":
        return f"{amount}e{exponent}" if exponent else str(amount)
    if exponent > 18:
        amount, exponent = amount * 10 ** (exponent - 18), 18
    return f"{amount}{_DECIMAL_SUFFIX[exponent]}"


def _factored(amount: int, factor: int, most: int) -> tuple[int, int]:
    """Takes out a factor as often as it goes, at most `most` times where that is not zero."""
    times = 0
    while amount % factor == 0 and (not most or times < most):
        amount //= factor
        times += 1
    return amount, times
