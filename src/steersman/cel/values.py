"""The values of the language that Python's own types do not cover, and what holds for all values.

int, float, str, bytes, bool, list, dict and None stand for themselves. A bool is never an int here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from steersman.cel.errors import EvaluationError

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1


class Uint(int):
    """An unsigned 64-bit number."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A moment, in nanoseconds since 1970."""

    nanos: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A length of time in nanoseconds."""

    nanos: int


@dataclass(frozen=True, slots=True)
class TypeValue:
    """A type as a value, told by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may not be there."""

    value: Any = None
    present: bool = False


NONE: Final = Optional()


@runtime_checkable
class Opaque(Protocol):
    """A value of a library's own type."""

    type_name: str

    def equal(self, other: Any) -> bool:
        """Says whether another value of the same class means the same."""


class SetList(list[Any]):
    """A list whose order means nothing (x-kubernetes-list-type: set)."""

    __slots__ = ()


class MapList(list[Any]):
    """A list whose items are told apart by keys (x-kubernetes-list-type: map)."""

    __slots__ = ("keys",)

    def __init__(self, items: Sequence[Any], keys: tuple[str, ...]) -> None:
        super().__init__(items)
        self.keys = keys

    def key(self, item: Mapping[str, Any]) -> tuple[Any, ...]:
        """Returns what tells an item from the others."""
        return tuple(item.get(name) for name in self.keys)


class ObjectValue(dict[str, Any]):
    """An object that an expression made (`Name{...}`), by its fields."""

    __slots__ = ("type_name",)

    def __init__(self, type_name: str, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self.type_name = type_name

    def equal(self, other: Any) -> bool:
        """Says whether another object is of the same type and has the same fields."""
        return self.type_name == other.type_name and _equal_maps(self, other)


_NAMES: Final[Mapping[type, str]] = {
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    SetList: "list",
    MapList: "list",
    dict: "map",
    type(None): "null_type",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    TypeValue: "type",
    Optional: "optional_type",
}


def type_name(value: Any) -> str:
    """Returns the name of a value's type, as `type(value)` and error messages show it."""
    if (name := _NAMES.get(type(value))) is not None:
        return name
    return str(value.type_name)


def equal(left: Any, right: Any) -> bool:
    """Says whether two values are equal; values of different types are not, save for numbers."""
    kind, other = type(left), type(right)
    if kind is other and (kind is str or kind is int or kind is bool):
        return bool(left == right)
    if kind is bool or other is bool:
        return False
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    if isinstance(left, list) and isinstance(right, list):
        return _equal_lists(left, right)
    if kind is dict and other is dict:
        return _equal_maps(left, right)
    if kind is not other:
        return False
    if kind is Optional:
        return left.present == right.present and equal(left.value, right.value)
    if kind in _NAMES:
        return bool(left == right)
    return bool(left.equal(right))


def _equal_lists(left: Sequence[Any], right: Sequence[Any]) -> bool:
    if len(left) != len(right):
        return False
    if isinstance(left, SetList):
        told = {_told(item) for item in right}
        return all(_told(item) in told for item in left)
    if isinstance(left, MapList) and isinstance(right, list):
        known = {left.key(item): item for item in right}
        return all(left.key(item) in known and equal(item, known[left.key(item)]) for item in left)
    return all(map(equal, left, right))


def merge_sets(left: Sequence[Any], right: Sequence[Any]) -> SetList:
    """Returns the items of both lists, each once."""
    known = {_told(item) for item in left}
    return SetList([*left, *(item for item in right if _told(item) not in known)])


def _told(item: Any) -> Hashable:
    """Returns what is the same of equal items and of no others, to look them up by."""
    if isinstance(item, dict):
        return frozenset((key, _told(value)) for key, value in item.items())
    if isinstance(item, list):
        return tuple(map(_told, item))
    return item if not isinstance(item, bool) else ("bool", item)


def _equal_maps(left: Mapping[Any, Any], right: Mapping[Any, Any]) -> bool:
    if len(left) != len(right):
        return False
    return all(key in right and equal(value, right[key]) for key, value in left.items())


def contains(items: Sequence[Any], wanted: Any) -> bool:
    """Says whether a list holds a value."""
    return any(equal(item, wanted) for item in items)


def compare(left: Any, right: Any) -> int | None:
    """Returns -1, 0 or 1; None where values have no order among each other (NaN too)."""
    if isinstance(left, bool) != isinstance(right, bool):
        return None
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if not numbers and type(left) is not type(right):
        return None
    if not numbers and not isinstance(left, str | bytes | Timestamp | Duration):
        return None
    if numbers and float in (type(left), type(right)):
        left, right = float(left), float(right)  # large whole numbers lose digits, as in cel-go
    if left < right:
        return -1
    if left > right:
        return 1
    return 0 if left == right else None


def checked_int(number: int) -> int:
    """Returns a number that fits into 64 bits; raises EvaluationError."""
    if INT_MIN <= number <= INT_MAX:
        return number
    raise EvaluationError("integer overflow")


def checked_uint(number: int) -> Uint:
    """Returns an unsigned number that fits into 64 bits; raises EvaluationError."""
    if 0 <= number <= UINT_MAX:
        return Uint(number)
    raise EvaluationError("unsigned integer overflow")


Function = Callable[..., Any]
