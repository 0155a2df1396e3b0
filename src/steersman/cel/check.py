"""Finds the type of every part of an expression, and which overload each call means.

Follows cel-go's checker. Mistakes are collected and told together; after one the type is dyn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from steersman.cel import types
from steersman.cel.errors import CompileError, Issue
from steersman.cel.functions import Functions, Overload
from steersman.cel.tree import (
    Bind,
    Call,
    Constant,
    Ident,
    ListOf,
    Loop,
    MapOf,
    Node,
    ObjectOf,
    Select,
)
from steersman.cel.types import BOOL, DYN, INT, Bindings, Type
from steersman.cel.values import Uint

TYPE_NAMES: Final[Mapping[str, Type]] = {
    "int": types.INT,
    "uint": types.UINT,
    "double": types.DOUBLE,
    "bool": types.BOOL,
    "string": types.STRING,
    "bytes": types.BYTES,
    "null_type": types.NULL,
    "list": types.list_of(DYN),
    "map": types.map_of(DYN, DYN),
    "type": types.TYPE,
    "optional_type": types.optional_of(DYN),
    "google.protobuf.Timestamp": types.TIMESTAMP,
    "google.protobuf.Duration": types.DURATION,
    **{
        name: types.opaque(name)
        for name in (
            "net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver", "kubernetes.URL",
        )
    },
}  # fmt: skip
_CONSTANTS: Final[Mapping[type, Type]] = {
    bool: types.BOOL,
    int: types.INT,
    Uint: types.UINT,
    float: types.DOUBLE,
    str: types.STRING,
    bytes: types.BYTES,
    type(None): types.NULL,
}


class Checked:
    """What the checker found out: types by node, overloads by call."""

    def __init__(self) -> None:
        self.bindings: Bindings = {}
        self._types: dict[int, Type] = {}
        self._overloads: dict[int, tuple[Overload, ...]] = {}

    def note(self, node: Node, type_: Type) -> Type:
        """Remembers a node's type and returns it."""
        self._types[id(node)] = type_
        return type_

    def choose(self, node: Node, overloads: Sequence[Overload]) -> None:
        """Remembers which overloads a call may mean."""
        self._overloads[id(node)] = tuple(overloads)

    def type(self, node: Node) -> Type:
        """Returns a node's type; what stayed open is dyn."""
        return types.substitute(self.bindings, self._types[id(node)], to_dyn=True)

    def overloads(self, node: Node) -> tuple[Overload, ...]:
        """Returns the overloads that a call may mean."""
        return self._overloads.get(id(node), ())


class Checker:
    """Checks one expression; see the module."""

    def __init__(
        self,
        text: str,
        variables: Mapping[str, Type],
        functions: Functions,
        objects: Mapping[str, Type],
    ) -> None:
        self.found = Checked()
        self._text = text
        self._variables = dict(variables)
        self._functions = functions
        self._objects = objects
        self._issues: list[Issue] = []
        self._bindings: Bindings = {}
        self._fresh = 0
        self._outer = frozenset(variables)
        self._used: set[str] = set()

    def check(self, node: Node) -> Type:
        """Returns the type of the whole; raises CompileError with all mistakes."""
        whole = self._check(node)
        if self._issues:
            raise CompileError(self._text, self._issues)
        self.found.bindings = self._bindings
        return types.substitute(self._bindings, whole, to_dyn=True)

    @property
    def uses(self) -> frozenset[str]:
        """The declared variables that the expression names."""
        return self._outer & self._used

    def _check(self, node: Node) -> Type:
        return self.found.note(node, self._find(node))

    def _find(self, node: Node) -> Type:
        match node:
            case Constant():
                return _CONSTANTS[type(node.value)]
            case Ident():
                return self._ident(node)
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListOf():
                return types.list_of(self._joined(node.items, node.optional))
            case MapOf():
                return self._map(node)
            case ObjectOf():
                return self._object(node)
            case Loop():
                return self._loop(node)
            case Bind():
                return self._bind(node)
        raise TypeError(f"no node of an expression: {node!r}")

    def _issue(self, node: Node, message: str) -> Type:
        self._issues.append(Issue(node.position, message))
        return DYN

    def _parameter(self) -> Type:
        self._fresh += 1
        return Type("parameter", f"_var{self._fresh}")

    def _ident(self, node: Ident) -> Type:
        name = node.name.removeprefix(".")
        if (found := self._variables.get(name)) is not None:
            self._used.add(name)
            return found
        if (named := TYPE_NAMES.get(name)) is not None:
            return types.type_of(named)
        return self._issue(node, f"undeclared reference to '{name}' (in container '')")

    def _select(self, node: Select) -> Type:
        if (name := self._type_name(node)) is not None:
            return types.type_of(TYPE_NAMES[name])
        operand = self._resolved(self._check(node.operand))
        dotted = qualified(node) or ""
        if (whole := self._variables.get(dotted)) is not None:  # a variable whose name has a dot
            self._used.add(dotted)
            return whole
        inner = operand.parameters[0] if _is_optional(operand) else operand
        found = self._field(node, inner)
        if node.test:
            return BOOL
        if (_is_optional(operand) or node.optional) and not _is_optional(found):
            return types.optional_of(found)
        return found

    def _type_name(self, node: Select) -> str | None:
        name = qualified(node) or ""
        known = name in TYPE_NAMES and name.partition(".")[0] not in self._variables
        return name if known else None

    def _field(self, node: Select, operand: Type) -> Type:
        if operand.kind == "map":
            return operand.parameters[1]
        if operand.kind == "object":
            if (field := operand.fields.get(node.field)) is not None:
                return field.type
            return self._issue(node, f"undefined field '{node.field}'")
        if operand.kind in ("dyn", "parameter"):
            return DYN
        return self._issue(node, f"type '{operand}' does not support field selection")

    def _resolved(self, type_: Type) -> Type:
        return types.substitute(self._bindings, type_)

    def _call(self, node: Call) -> Type:
        self._qualify(node)
        if node.function in ("_&&_", "_||_"):
            return self._logical(node)
        arguments = tuple(self._check(argument) for argument in node.arguments)
        overloads = self._functions.get(node.function)
        if overloads is None:
            message = f"undeclared reference to '{node.function}' (in container '')"
            return self._issue(node, message)
        return self._resolve(node, node.function, overloads, arguments)

    def _qualify(self, node: Call) -> None:
        """Reads a member call as a function with a dotted name, where there is such a one."""
        if not node.member:
            return
        name = qualified(node.arguments[0])
        if name is None or name.partition(".")[0] in self._variables:
            return
        if (whole := f"{name}.{node.function}") in self._functions:
            node.function = whole
            node.arguments = node.arguments[1:]
            node.member = False

    def _logical(self, node: Call) -> Type:
        for argument in node.arguments:
            found = self._check(argument)
            if not types.assign(self._bindings, found, BOOL):
                self._mismatch(node, node.function, (BOOL, found))
        return BOOL

    def _resolve(
        self, node: Node, name: str, overloads: Sequence[Overload], arguments: tuple[Type, ...]
    ) -> Type:
        member = isinstance(node, Call) and node.member
        chosen: list[Overload] = []
        result: Type | None = None
        for overload in overloads:
            if overload.member != member:
                continue
            bindings = dict(self._bindings)
            wanted, gives = self._instance(overload)
            if not types.assign_all(bindings, arguments, wanted):
                continue
            chosen.append(overload)
            self._bindings = bindings  # what one overload binds holds for the next
            gives = types.substitute(bindings, gives)
            result = gives if result in (None, gives) else DYN
        if result is None:
            return self._mismatch(node, name, arguments)
        self.found.choose(node, chosen)
        return result

    def _instance(self, overload: Overload) -> tuple[tuple[Type, ...], Type]:
        """Returns an overload's types with parameters of their own."""
        fresh: Bindings = {}
        for type_ in (*overload.parameters, overload.result):
            self._refresh(type_, fresh)
        if not fresh:
            return overload.parameters, overload.result
        wanted = tuple(types.substitute(fresh, one) for one in overload.parameters)
        return wanted, types.substitute(fresh, overload.result)

    def _refresh(self, type_: Type, fresh: Bindings) -> None:
        if type_.kind == "parameter" and type_ not in fresh:
            fresh[type_] = self._parameter()
        for inner in type_.parameters:
            self._refresh(inner, fresh)

    def _mismatch(self, node: Node, name: str, arguments: Sequence[Type]) -> Type:
        shown = [str(types.substitute(self._bindings, one)) for one in arguments]
        signature = f"({', '.join(shown)})"
        if isinstance(node, Call) and node.member:
            signature = f"{shown[0]}.({', '.join(shown[1:])})"
        message = f"found no matching overload for '{name}' applied to '{signature}'"
        return self._issue(node, message)

    def _joined(self, nodes: Sequence[Node], optional: frozenset[int] = frozenset()) -> Type:
        """Returns the one type of the items of a literal (they must agree)."""
        joined: Type | None = None
        for place, node in enumerate(nodes):
            found = self._resolved(self._check(node))
            if place in optional:
                found = self._held(node, found)
            joined = found if joined is None else self._join(node, joined, found)
        return self._parameter() if joined is None else joined

    def _held(self, node: Node, found: Type) -> Type:
        if _is_optional(found):
            return found.parameters[0]
        if found.kind == "dyn":
            return DYN
        message = f"expected type 'optional_type(dyn)' but found '{found}'"
        return self._issue(node, message)

    def _join(self, node: Node, previous: Type, current: Type) -> Type:
        bindings = dict(self._bindings)
        if not types.assign(bindings, current, previous):
            return self._issue(node, f"expected type '{previous}' but found '{current}'")
        self._bindings = bindings
        return previous if types.is_as_general(previous, current) else current

    def _map(self, node: MapOf) -> Type:
        keys = self._joined([key for key, _ in node.entries])
        return types.map_of(keys, self._joined([value for _, value in node.entries], node.optional))

    def _object(self, node: ObjectOf) -> Type:
        found = self._objects.get(node.name.removeprefix("."))
        if found is None:
            message = f"undeclared reference to '{node.name}' (in container '')"
            return self._issue(node, message)
        for place, (name, value) in enumerate(node.fields):
            given = self._resolved(self._check(value))
            given = self._held(value, given) if place in node.optional else given
            if (field := found.fields.get(name)) is None:
                self._issue(node, f"undefined field '{name}'")
            elif not types.assign(self._bindings, given, field.type):
                self._issue(
                    value,
                    f"expected type of field '{name}' is '{field.type}'"
                    f" but provided type is '{given}'",
                )
        return found

    def _loop(self, node: Loop) -> Type:
        ranged = self._resolved(self._check(node.range))
        shadowed = dict(self._variables)
        first, second = self._variables_of(node, ranged)
        self._variables[node.variables[0]] = first
        if len(node.variables) == 2:
            self._variables[node.variables[1]] = second
        if node.condition is not None:
            self._condition(node, node.condition)
        made = DYN if node.value is None else self._check(node.value)
        self._variables = shadowed
        return self._made(node, first, made)

    def _variables_of(self, node: Loop, ranged: Type) -> tuple[Type, Type]:
        two = len(node.variables) == 2
        if ranged.kind == "list":
            return (INT if two else ranged.parameters[0]), ranged.parameters[0]
        if ranged.kind == "map":
            return ranged.parameters[0], ranged.parameters[1]
        if ranged.kind not in ("dyn", "parameter"):
            self._issue(
                node.range,
                f"expression of type '{ranged}' cannot be range of a comprehension"
                " (must be list, map, or dynamic)",
            )
        return DYN, DYN

    def _condition(self, node: Loop, condition: Node) -> None:
        found = self._check(condition)
        if types.assign(self._bindings, found, BOOL):
            return
        if node.kind in ("all", "exists"):
            self._mismatch(node, "_&&_" if node.kind == "all" else "_||_", (BOOL, found))
        else:
            made = INT if node.kind == "exists_one" else types.list_of(DYN)
            self._mismatch(node, "_?_:_", (found, made, made))

    @staticmethod
    def _made(node: Loop, first: Type, made: Type) -> Type:
        match node.kind:
            case "all" | "exists" | "exists_one":
                return BOOL
            case "filter" | "sortBy":
                return types.list_of(first)
            case "map" | "transformList":
                return types.list_of(made)
            case "transformMap":
                return types.map_of(first, made)
            case _:
                return made if made.kind == "map" else types.map_of(DYN, DYN)

    def _bind(self, node: Bind) -> Type:
        value = self._resolved(self._check(node.value))
        if node.optional:
            value = self._held(node.value, value)
        shadowed = dict(self._variables)
        self._variables[node.name] = value
        body = self._check(node.body)
        self._variables = shadowed
        if node.wrap:
            return types.optional_of(body)
        return body


def _is_optional(type_: Type) -> bool:
    return type_.kind == "opaque" and type_.name == "optional_type"


def qualified(node: Node) -> str | None:
    """Returns the dotted name that a chain of fields reads as, None for anything else."""
    if isinstance(node, Ident):
        return node.name.removeprefix(".")
    if isinstance(node, Select) and not node.test and not node.optional:
        operand = qualified(node.operand)
        return None if operand is None else f"{operand}.{node.field}"
    return None
