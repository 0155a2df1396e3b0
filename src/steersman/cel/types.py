"""Types of expressions, and how they fit (cel-go's checker/types.go).

An object type names its fields; `max_size` bounds the elements or characters of a value, for
estimates of cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

Kind = Literal[
    "int", "uint", "double", "bool", "string", "bytes", "null", "dyn", "list", "map", "type",
    "timestamp", "duration", "opaque", "object", "parameter",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object: its key in the document and its type."""

    key: str
    type: Type
    optional: bool = True


@dataclass(frozen=True, slots=True)
class Type:
    """A type; two are the same where kind, name and parameters are."""

    kind: Kind
    name: str = ""
    parameters: tuple[Type, ...] = ()
    fields: Mapping[str, Field] = field(default_factory=dict, compare=False, repr=False)
    max_size: int | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        if self.parameters and self.kind != "type":
            return f"{self.name or self.kind}({', '.join(map(str, self.parameters))})"
        if self.kind == "type":
            inner = ", ".join(map(str, self.parameters))
            return f"type({inner})" if inner else "type"
        return _SHOWN.get(self.kind, self.name or self.kind)

    def sized(self, most: int | None) -> Type:
        """Returns the type with a bound on its size."""
        return replace(self, max_size=most)


_SHOWN: Final = {
    "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
}

INT: Final = Type("int")
UINT: Final = Type("uint")
DOUBLE: Final = Type("double")
BOOL: Final = Type("bool")
STRING: Final = Type("string")
BYTES: Final = Type("bytes")
NULL: Final = Type("null")
DYN: Final = Type("dyn")
TIMESTAMP: Final = Type("timestamp")
DURATION: Final = Type("duration")
TYPE: Final = Type("type")
A: Final = Type("parameter", "A")
B: Final = Type("parameter", "B")


def list_of(item: Type) -> Type:
    """Returns the type of lists of a type."""
    return Type("list", parameters=(item,))


def map_of(key: Type, value: Type) -> Type:
    """Returns the type of maps."""
    return Type("map", parameters=(key, value))


def optional_of(value: Type) -> Type:
    """Returns the type of optionals of a type."""
    return Type("opaque", "optional_type", (value,))


def object_of(named: str, /, **fields: Type) -> Type:
    """Returns the type of objects with fields whose keys are their names."""
    return Type("object", named, (), {key: Field(key, type_) for key, type_ in fields.items()})


# What is known of a user (authentication.k8s.io's UserInfo)
USER_INFO: Final = object_of(
    "kubernetes.UserInfo",
    username=STRING,
    uid=STRING,
    groups=list_of(STRING),
    extra=map_of(STRING, list_of(STRING)),
)


def opaque(name: str) -> Type:
    """Returns a library's own type."""
    return Type("opaque", name)


def type_of(inner: Type) -> Type:
    """Returns the type of a type."""
    return Type("type", parameters=(inner,))


LIST: Final = list_of(A)
MAP: Final = map_of(A, B)

Bindings = dict[Type, Type]
_NULLABLE: Final = ("opaque", "object", "timestamp", "duration")


def assign(bindings: Bindings, actual: Type, wanted: Type) -> bool:
    """Says whether a value of one type may stand where another is wanted; binds parameters."""
    if wanted.kind == "parameter":
        valid, bound = _substitutes(bindings, actual, wanted)
        if valid or bound:
            return valid
    if actual.kind == "parameter":
        return _substitutes(bindings, wanted, actual)[0]
    if "dyn" in (actual.kind, wanted.kind):
        return True
    if "null" in (actual.kind, wanted.kind):
        other = wanted if actual.kind == "null" else actual
        return other.kind == "null" or other.kind in _NULLABLE
    if actual.kind != wanted.kind or actual.name != wanted.name:
        return False
    if actual.kind == "type":
        return True
    return assign_all(bindings, actual.parameters, wanted.parameters)


def assign_all(bindings: Bindings, actual: tuple[Type, ...], wanted: tuple[Type, ...]) -> bool:
    """Says whether each of some types may stand where another is wanted."""
    return len(actual) == len(wanted) and all(
        assign(bindings, one, other) for one, other in zip(actual, wanted, strict=True)
    )


def _substitutes(bindings: Bindings, actual: Type, parameter: Type) -> tuple[bool, bool]:
    """Returns whether a type may be bound to a parameter, and whether that is bound already."""
    if actual == parameter:
        return True, True
    bound = bindings.get(parameter)
    if bound is None:
        if _occurs(bindings, parameter, actual):
            return False, False
        bindings[parameter] = actual
        return True, False
    if actual == bound:
        return True, True
    if not assign(bindings, actual, bound):
        return False, True
    general = actual if is_as_general(actual, bound) else bound
    if not _occurs(bindings, parameter, general):
        bindings[parameter] = general
    return True, True


def is_as_general(one: Type, other: Type) -> bool:
    """Says whether a type is equal to or less specific than another."""
    if one.kind in ("dyn", "parameter"):
        return True
    if other.kind in ("dyn", "parameter") or one.kind != other.kind:
        return False
    if one.kind in ("opaque", "list", "map"):
        return (
            one.name == other.name
            and len(one.parameters) == len(other.parameters)
            and all(map(is_as_general, one.parameters, other.parameters))
        )
    return one.kind == "type" or one == other


def _occurs(bindings: Bindings, parameter: Type, within: Type) -> bool:
    if parameter == within:
        return True
    if within.kind == "parameter":
        bound = bindings.get(within)
        return bound is not None and _occurs(bindings, parameter, bound)
    return any(_occurs(bindings, parameter, one) for one in within.parameters)


def substitute(bindings: Bindings, type_: Type, *, to_dyn: bool = False) -> Type:
    """Returns a type with its bound parameters replaced; with `to_dyn` the unbound ones by dyn."""
    if (bound := bindings.get(type_)) is not None:
        return substitute(bindings, bound, to_dyn=to_dyn)
    if type_.kind == "parameter":
        return DYN if to_dyn else type_
    if not type_.parameters:
        return type_
    parameters = tuple(substitute(bindings, one, to_dyn=to_dyn) for one in type_.parameters)
    return type_ if parameters == type_.parameters else replace(type_, parameters=parameters)
