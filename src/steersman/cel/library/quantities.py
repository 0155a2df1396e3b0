"""Quantities (k8s.io/apiserver/pkg/cel/library/quantity.go)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload
from steersman.cel.types import BOOL, DOUBLE, INT, STRING, opaque
from steersman.cel.values import INT_MAX, INT_MIN
from steersman.model import quantity

QUANTITY_TYPE: Final = opaque("kubernetes.Quantity")


@dataclass(frozen=True, slots=True)
class QuantityValue:
    """A quantity; two are equal where their amounts are."""

    type_name: ClassVar[str] = QUANTITY_TYPE.name
    amount: quantity.Quantity

    def equal(self, other: Any) -> bool:
        """Says whether another quantity is the same amount."""
        return isinstance(other, QuantityValue) and self.amount == other.amount


def _parse(text: str) -> QuantityValue:
    try:
        return QuantityValue(quantity.parse(text))
    except quantity.QuantityError as error:
        raise EvaluationError(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        quantity.parse(text)
    except quantity.QuantityError:
        return False
    return True


def _compare(one: QuantityValue, other: QuantityValue) -> int:
    left, right = one.amount.nanos, other.amount.nanos
    return (left > right) - (left < right)


def _is_integer(value: QuantityValue) -> bool:
    whole, rest = divmod(value.amount.nanos, quantity.NANO)
    return not rest and INT_MIN <= whole <= INT_MAX


def _as_integer(value: QuantityValue) -> int:
    if not _is_integer(value):
        raise EvaluationError("cannot convert value to integer")
    return value.amount.nanos // quantity.NANO


def _as_float(value: QuantityValue) -> float:
    return value.amount.nanos / quantity.NANO


def _sign(value: QuantityValue) -> int:
    return (value.amount.nanos > 0) - (value.amount.nanos < 0)


def _of(number: int) -> quantity.Quantity:
    return quantity.Quantity(number * quantity.NANO)


_BOTH = (QUANTITY_TYPE, QUANTITY_TYPE)
_WITH_INT = (QUANTITY_TYPE, INT)
FUNCTIONS: Final[Functions] = {
    "quantity": (Overload((STRING,), QUANTITY_TYPE, _parse, scans=(0,)),),
    "isQuantity": (Overload((STRING,), BOOL, _is_quantity, scans=(0,)),),
    "sign": (Overload((QUANTITY_TYPE,), INT, _sign, member=True),),
    "isInteger": (Overload((QUANTITY_TYPE,), BOOL, _is_integer, member=True),),
    "asInteger": (Overload((QUANTITY_TYPE,), INT, _as_integer, member=True),),
    "asApproximateFloat": (Overload((QUANTITY_TYPE,), DOUBLE, _as_float, member=True),),
    "isGreaterThan": (Overload(_BOTH, BOOL, lambda a, b: _compare(a, b) > 0, member=True),),
    "isLessThan": (Overload(_BOTH, BOOL, lambda a, b: _compare(a, b) < 0, member=True),),
    "compareTo": (Overload(_BOTH, INT, _compare, member=True),),
    "add": (
        Overload(
            _BOTH, QUANTITY_TYPE, lambda a, b: QuantityValue(a.amount + b.amount), member=True
        ),
        Overload(
            _WITH_INT, QUANTITY_TYPE, lambda a, b: QuantityValue(a.amount + _of(b)), member=True
        ),
    ),
    "sub": (
        Overload(
            _BOTH, QUANTITY_TYPE, lambda a, b: QuantityValue(a.amount - b.amount), member=True
        ),
        Overload(
            _WITH_INT, QUANTITY_TYPE, lambda a, b: QuantityValue(a.amount - _of(b)), member=True
        ),
    ),
}
