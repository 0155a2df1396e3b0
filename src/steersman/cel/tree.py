"""An expression as a tree. Nodes are told apart by identity: the checker notes a type for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

LoopKind = Literal[
    "all", "exists", "exists_one", "map", "filter", "transformList", "transformMap",
    "transformMapEntry", "sortBy",
]  # fmt: skip


@dataclass(eq=False, slots=True)
class Node:
    """A part of an expression and where it begins in the text."""

    position: int


@dataclass(eq=False, slots=True)
class Constant(Node):
    """A constant."""

    value: Any


@dataclass(eq=False, slots=True)
class Ident(Node):
    """A name."""

    name: str


@dataclass(eq=False, slots=True)
class Select(Node):
    """A field of an operand; `test` asks whether it is there, `optional` makes it an optional."""

    operand: Node
    field: str
    test: bool = False
    optional: bool = False


@dataclass(eq=False, slots=True)
class Call(Node):
    """A function of arguments, the first of which is the target of a member function."""

    function: str
    arguments: Sequence[Node]
    member: bool = False


@dataclass(eq=False, slots=True)
class ListOf(Node):
    """A list; the items at the places in `optional` are there only if they have a value."""

    items: Sequence[Node]
    optional: frozenset[int]


@dataclass(eq=False, slots=True)
class MapOf(Node):
    """A map; the entries at the places in `optional` are there only if they have a value."""

    entries: Sequence[tuple[Node, Node]]
    optional: frozenset[int]


@dataclass(eq=False, slots=True)
class ObjectOf(Node):
    """An object of a named type with fields."""

    name: str
    fields: Sequence[tuple[str, Node]]
    optional: frozenset[int]


@dataclass(eq=False, slots=True)
class Loop(Node):
    """A comprehension over a list or map: what a macro stands for.

    `variables` are one or two names, `condition` the predicate or the filter of a transformation,
    `key` and `value` what a transformation makes.
    """

    kind: LoopKind
    range: Node
    variables: tuple[str, ...]
    condition: Node | None = None
    key: Node | None = None
    value: Node | None = None


@dataclass(eq=False, slots=True)
class Bind(Node):
    """A name for a value, in a body (cel.bind, optMap, optFlatMap).

    With `optional` the value is an optional: what is bound is what it holds, and the whole is none
    where it holds nothing; `wrap` makes an optional of the body.
    """

    name: str
    value: Node
    body: Node
    optional: bool = False
    wrap: bool = False


def walk(node: Node) -> Iterator[Node]:
    """Yields a node and all below it, in no order that counts."""
    left = [node]
    while left:
        yield (node := left.pop())
        left += _below(node)


def _below(node: Node) -> list[Node]:
    match node:
        case Select():
            return [node.operand]
        case Call():
            return list(node.arguments)
        case ListOf():
            return list(node.items)
        case MapOf():
            return [part for entry in node.entries for part in entry]
        case ObjectOf():
            return [value for _name, value in node.fields]
        case Loop():
            parts = (node.range, node.condition, node.key, node.value)
            return [part for part in parts if part is not None]
        case Bind():
            return [node.value, node.body]
    return []
