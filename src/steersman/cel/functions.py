"""Functions as data: the types each overload takes and gives, what computes it, what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from steersman.cel.errors import BudgetExceeded, EvaluationError
from steersman.cel.types import Type
from steersman.cel.values import Duration as DurationValue
from steersman.cel.values import Function, Optional, Timestamp, TypeValue, Uint, type_name

# Cost of going through one character or element (upstream's StringTraversalCostFactor)
TRAVERSAL: Final = 0.1
# Characters or elements that one call makes at most: what is larger cannot be gone through within
# the budget of an evaluation
LARGEST_MADE: Final = 10_000_000
# Elements in all the parts of one value: no request carries more
MOST_ELEMENTS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Overload:
    """One way to call a function.

    `scans` names the arguments, by place, whose size the cost is in proportion to; `product` says
    how many times the product of the sizes (a search for each element of one list in another). What
    `makes` more than it was given is charged by the size of its result too.
    """

    parameters: tuple[Type, ...]
    result: Type
    call: Function
    member: bool = False
    scans: tuple[int, ...] = ()
    product: int = 0
    makes: bool = False


Functions = Mapping[str, Sequence[Overload]]


def declared(*libraries: Functions) -> dict[str, tuple[Overload, ...]]:
    """Returns the functions of several libraries together."""
    found: dict[str, tuple[Overload, ...]] = {}
    for library in libraries:
        for name, overloads in library.items():
            found[name] = (*found.get(name, ()), *overloads)
    return found


def dispatch(name: str, overloads: Iterable[Overload]) -> Function:
    """Returns a function that chooses by the values' types, for where they are not known before.

    It raises EvaluationError where no overload fits.
    """
    known = [(overload.parameters, overload.call) for overload in overloads]

    def call(*arguments: Any) -> Any:
        for parameters, function in known:
            if all(map(fits, parameters, arguments)):
                return function(*arguments)
        raise no_overload(name, arguments)

    return call


def room(size: int) -> int:
    """Returns the size of what is about to be made; raises BudgetExceeded where it is too large."""
    if size > LARGEST_MADE:
        raise BudgetExceeded
    return size


def below(value: Any) -> int:
    """Returns how many elements the parts of a value have, each as often as it stands there.

    Lists that hold one list twice, and so on, are far larger to go through than in memory; raises
    BudgetExceeded for such a value.
    """
    count, left = 0, [value] if isinstance(value, list | dict) else []
    while left:
        whole = left.pop()
        items = whole.values() if isinstance(whole, dict) else whole
        parts = [item for item in items if isinstance(item, list | dict) and item]
        count += sum(map(len, parts))
        if count > MOST_ELEMENTS:
            raise BudgetExceeded
        left += parts
    return count


def no_overload(name: str, arguments: Sequence[Any]) -> EvaluationError:
    """Returns the error for values that a function does not take."""
    listed = ", ".join(map(type_name, arguments))
    return EvaluationError(f"no such overload: {name}({listed})")


_CLASSES: Final[Mapping[str, type]] = {
    "int": int,
    "uint": Uint,
    "double": float,
    "bool": bool,
    "string": str,
    "bytes": bytes,
    "null": type(None),
    "map": dict,
    "timestamp": Timestamp,
    "duration": DurationValue,
    "type": TypeValue,
}


def fits(wanted: Type, value: Any) -> bool:
    """Says whether a value is of a type, as far as it can be told without looking into it."""
    kind = wanted.kind
    if kind in ("dyn", "parameter", "object"):
        return True
    if kind == "list":
        return isinstance(value, list)
    if kind != "opaque":
        return type(value) is _CLASSES[kind]
    if wanted.name == "optional_type":
        return type(value) is Optional
    return type_name(value) == wanted.name
