"""Calls that are read as something else: has, the comprehensions, cel.bind, optMap, optFlatMap.

Follows cel-go's parser/macro.go, ext/comprehensions.go, ext/bindings.go and cel/library.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from steersman.cel.errors import CompileError
from steersman.cel.tree import Bind, Ident, Loop, LoopKind, Node, Select

# macro -> the numbers of arguments with which it is one
_LOOPS: Final[dict[str, tuple[int, ...]]] = {
    "all": (2, 3),
    "exists": (2, 3),
    "exists_one": (2,),
    "existsOne": (3,),
    "map": (2, 3),
    "filter": (2,),
    "transformList": (3, 4),
    "transformMap": (3, 4),
    "transformMapEntry": (3, 4),
    "sortBy": (2,),
}
_KINDS: Final[dict[str, LoopKind]] = {
    "all": "all",
    "exists": "exists",
    "exists_one": "exists_one",
    "existsOne": "exists_one",
    "map": "map",
    "filter": "filter",
    "transformList": "transformList",
    "transformMap": "transformMap",
    "transformMapEntry": "transformMapEntry",
    "sortBy": "sortBy",
}
_PREDICATES: Final = ("all", "exists", "exists_one")
_ACCUMULATORS: Final = ("__result__", "@result")


class Refuser(Protocol):
    """Makes the error for a mistake at a position."""

    def refuse(self, message: str, position: int | None = None) -> CompileError:
        """Returns the error."""


def expand(
    parser: Refuser, position: int, target: Node | None, name: str, arguments: Sequence[Node]
) -> Node | None:
    """Returns what a call stands for, None where it is a plain call; raises CompileError."""
    count = len(arguments)
    if target is None:
        return _has(parser, position, arguments) if name == "has" and count == 1 else None
    if count in _LOOPS.get(name, ()):
        return _loop(parser, position, target, name, arguments)
    if name == "bind" and count == 3 and isinstance(target, Ident) and target.name == "cel":
        bound = _simple(
            parser, arguments[0], "cel.bind() variable names must be simple identifiers"
        )
        return Bind(position, bound, arguments[1], arguments[2])
    if name in ("optMap", "optFlatMap") and count == 2:
        message = f"{name}() variable name must be a simple identifier"
        bound = _simple(parser, arguments[0], message)
        return Bind(position, bound, target, arguments[1], optional=True, wrap=name == "optMap")
    return None


def _has(parser: Refuser, position: int, arguments: Sequence[Node]) -> Node:
    field = arguments[0]
    if not isinstance(field, Select) or field.test or field.optional:
        raise parser.refuse("invalid argument to has() macro", field.position)
    return Select(position, field.operand, field.field, test=True)


def _loop(
    parser: Refuser, position: int, target: Node, name: str, arguments: Sequence[Node]
) -> Node:
    kind = _KINDS[name]
    two = name.startswith("transform") or (kind in _PREDICATES and len(arguments) == 3)
    count = 2 if two else 1
    variables = tuple(_variable(parser, one) for one in arguments[:count])
    if len(set(variables)) < count:
        raise parser.refuse(f"duplicate variable name: {variables[1]}", arguments[1].position)
    rest = list(arguments[count:])
    if kind in _PREDICATES or kind == "filter":
        return Loop(position, kind, target, variables, condition=rest[0])
    condition = rest.pop(0) if len(rest) == 2 else None
    return Loop(position, kind, target, variables, condition=condition, value=rest[0])


def _variable(parser: Refuser, node: Node) -> str:
    name = _simple(parser, node, "argument must be a simple name")
    if name in _ACCUMULATORS:
        raise parser.refuse("iteration variable overwrites accumulator variable", node.position)
    return name


def _simple(parser: Refuser, node: Node, message: str) -> str:
    if not isinstance(node, Ident) or node.name.startswith("."):
        raise parser.refuse(message, node.position)
    return node.name
