"""A checked tree to closures. A closure takes the frame: the budget, then the variables in slots.

What is in a straight line is charged at once, by the program or by the loop around it; only what
depends on sizes is counted as it happens. So a budget costs next to nothing and still bounds time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from steersman.cel import loops
from steersman.cel.check import TYPE_NAMES, Checked, qualified
from steersman.cel.errors import BudgetExceeded, EvaluationError
from steersman.cel.functions import TRAVERSAL, Overload, below, dispatch, no_overload
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
from steersman.cel.types import Type
from steersman.cel.values import NONE, Function, ObjectValue, Optional, TypeValue, equal, type_name

Frame = list[Any]
Closure = Callable[[Frame], Any]

BUDGET: Final = 0  # the budget's slot
# What making a list, a map, an object costs (cel-go's common/cost.go)
LIST_COST, MAP_COST, OBJECT_COST = 10, 30, 40
_SCALARS: Final = ("int", "string", "bool", "uint", "bytes")


class Budget:
    """What an evaluation may still cost."""

    __slots__ = ("left",)

    def __init__(self, most: int) -> None:
        self.left = most

    def charge(self, cost: float) -> None:
        """Takes a cost off; raises BudgetExceeded."""
        self.left -= int(cost)
        if self.left < 0:
            raise BudgetExceeded


class Compiler:
    """Compiles one expression; `cost` and `slots` tell what its program needs."""

    def __init__(self, checked: Checked, variables: Sequence[str]) -> None:
        self._checked = checked
        self._slots = {name: place for place, name in enumerate(variables, BUDGET + 1)}
        self.slots = len(variables) + 1
        self.cost = 0

    def compile(self, node: Node) -> Closure:
        """Returns the closure of a node."""
        match node:
            case Constant():
                value = node.value
                return lambda _: value
            case Ident():
                return self._ident(node)
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListOf():
                return self._list(node)
            case MapOf():
                return self._map(node)
            case ObjectOf():
                return self._object(node)
            case Loop():
                return self._loop(node)
            case Bind():
                return self._bind(node)
        raise TypeError(f"no node of an expression: {node!r}")

    def _ident(self, node: Ident) -> Closure:
        self.cost += 1
        name = node.name.removeprefix(".")
        if (slot := self._slots.get(name)) is not None:
            return lambda frame: frame[slot]
        return _constant(TypeValue(name))

    def _select(self, node: Select) -> Closure:
        self.cost += 1
        name = qualified(node) or ""
        if name in TYPE_NAMES and name.partition(".")[0] not in self._slots:
            return _constant(TypeValue(name))
        if (slot := self._slots.get(name)) is not None:  # a variable whose name has a dot
            return lambda frame: frame[slot]
        type_ = self._checked.type(node.operand)
        operand = self.compile(node.operand)
        optional = type_.kind == "opaque" and type_.name == "optional_type"
        key = _key(type_.parameters[0] if optional else type_, node.field)
        if node.test:
            return _tested(operand, key)
        if optional or node.optional:
            return _selected_optional(operand, key)
        return _selected(operand, key)

    def _call(self, node: Call) -> Closure:
        self.cost += 1
        arguments = [self.compile(argument) for argument in node.arguments]
        match node.function:
            case "_&&_":
                return loops.conjunction(arguments)
            case "_||_":
                return loops.disjunction(arguments)
            case "_?_:_":
                return _conditional(*arguments)
            case "_==_" | "_!=_":
                return self._equality(node, arguments)
        return self._applied(node, arguments)

    def _equality(self, node: Call, arguments: Sequence[Closure]) -> Closure:
        left, right = arguments
        kinds = [self._checked.type(argument) for argument in node.arguments]
        wanted = node.function == "_==_"
        if kinds[0] == kinds[1] and kinds[0].kind in _SCALARS:
            if wanted:
                return lambda frame: left(frame) == right(frame)
            return lambda frame: left(frame) != right(frame)
        return lambda frame: _equal(frame, left(frame), right(frame)) is wanted

    def _applied(self, node: Call, arguments: Sequence[Closure]) -> Closure:
        overloads = self._checked.overloads(node)
        given = [self._checked.type(argument) for argument in node.arguments]
        exact = len(overloads) == 1 and all(map(_known, given, overloads[0].parameters))
        call = overloads[0].call if exact else dispatch(node.function, overloads)
        charged = next((one for one in overloads if one.scans or one.makes), None)
        if charged is not None:
            return _counted(call, charged, arguments)
        return _with_arguments(call, arguments)

    def _list(self, node: ListOf) -> Closure:
        self.cost += LIST_COST
        items = [self.compile(item) for item in node.items]
        if not node.optional:
            return lambda frame: [item(frame) for item in items]
        marks = [place in node.optional for place in range(len(items))]

        def made(frame: Frame) -> list[Any]:
            found = []
            for item, optional in zip(items, marks, strict=True):
                value = item(frame)
                if not optional:
                    found.append(value)
                elif _optional(value).present:
                    found.append(value.value)
            return found

        return made

    def _map(self, node: MapOf) -> Closure:
        self.cost += MAP_COST
        keys = [self.compile(key) for key, _ in node.entries]
        values = [self.compile(value) for _, value in node.entries]
        return _mapped(keys, values, node.optional)

    def _object(self, node: ObjectOf) -> Closure:
        self.cost += OBJECT_COST
        keys = [_constant(name) for name, _ in node.fields]
        values = [self.compile(value) for _, value in node.fields]
        made, name = _mapped(keys, values, node.optional), node.name.removeprefix(".")
        return lambda frame: ObjectValue(name, made(frame))

    def _scoped(self, name: str) -> int:
        """Gives a variable a slot of its own."""
        self._slots[name] = slot = self.slots
        self.slots += 1
        return slot

    def _loop(self, node: Loop) -> Closure:
        ranged = self.compile(node.range)
        outer, shadowed = self.cost, dict(self._slots)
        self.cost = loops.STEP_COST
        slots = [self._scoped(name) for name in node.variables]
        condition = None if node.condition is None else self.compile(node.condition)
        value = None if node.value is None else self.compile(node.value)
        step = self.cost
        self.cost, self._slots = outer + 1, shadowed
        return loops.loop(node.kind, ranged, slots, condition, value, step)

    def _bind(self, node: Bind) -> Closure:
        self.cost += 1
        value = self.compile(node.value)
        shadowed = dict(self._slots)
        slot = self._scoped(node.name)
        body = self.compile(node.body)
        self._slots = shadowed
        if node.optional:
            return _bound_optional(slot, value, body, node.wrap)
        return _bound(slot, value, body)


def _constant(value: Any) -> Closure:
    return lambda _: value


def _key(type_: Type, name: str) -> str:
    """Returns under which key a document holds a field."""
    field = type_.fields.get(name)
    return name if field is None else field.key


def _selected(operand: Closure, key: str) -> Closure:
    def select(frame: Frame) -> Any:
        found = operand(frame)
        try:
            return found[key]
        except KeyError:
            raise EvaluationError(f"no such key: {key}") from None
        except TypeError:
            raise no_overload("select", (found,)) from None

    return select


def _tested(operand: Closure, key: str) -> Closure:
    def test(frame: Frame) -> bool:
        found = operand(frame)
        if type(found) is Optional:
            found = found.value if found.present else {}
        if not isinstance(found, dict):
            raise no_overload("has", (found,))
        return key in found

    return test


def _selected_optional(operand: Closure, key: str) -> Closure:
    def select(frame: Frame) -> Optional:
        found = operand(frame)
        if type(found) is Optional:
            if not found.present:
                return NONE
            found = found.value
        if not isinstance(found, dict):
            raise no_overload("select", (found,))
        return Optional(found[key], True) if key in found else NONE

    return select


def _conditional(condition: Closure, then: Closure, otherwise: Closure) -> Closure:
    def choose(frame: Frame) -> Any:
        found = condition(frame)
        if found is True:
            return then(frame)
        if found is False:
            return otherwise(frame)
        raise no_overload("_?_:_", (found,))

    return choose


def _equal(frame: Frame, left: Any, right: Any) -> bool:
    if isinstance(left, str | bytes | list | dict) and type(left) is type(right):
        frame[BUDGET].charge((min(len(left), len(right)) + below(left)) * TRAVERSAL)
    return equal(left, right)


def _known(given: Type, wanted: Type) -> bool:
    """Says whether an argument's type needs no look at the value."""
    return given.kind != "dyn" or wanted.kind in ("dyn", "parameter")


def _with_arguments(call: Function, arguments: Sequence[Closure]) -> Closure:
    if len(arguments) == 1:
        (one,) = arguments
        return lambda frame: call(one(frame))
    if len(arguments) == 2:
        left, right = arguments
        return lambda frame: call(left(frame), right(frame))
    return lambda frame: call(*[argument(frame) for argument in arguments])


def _counted(call: Function, overload: Overload, arguments: Sequence[Closure]) -> Closure:
    """Returns a call that is charged by the size of what it goes through."""

    def counted(frame: Frame) -> Any:
        values = [argument(frame) for argument in arguments]
        sizes = [_size(values[place]) for place in overload.scans if place < len(values)]
        deep = sum(below(values[place]) for place in overload.scans if place < len(values))
        frame[BUDGET].charge(_scanning(overload, sizes) + deep * TRAVERSAL)
        return call(*values)

    def counted_twice(frame: Frame) -> Any:
        made = counted(frame)
        frame[BUDGET].charge(_size(made) * TRAVERSAL)
        return made

    return counted_twice if overload.makes else counted


def _scanning(overload: Overload, sizes: Sequence[int]) -> float:
    if overload.product:
        return sizes[0] * sizes[-1] * overload.product
    return sum(sizes) * TRAVERSAL


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | list | dict) else 1


def _mapped(
    keys: Sequence[Closure], values: Sequence[Closure], optional: frozenset[int]
) -> Closure:
    def made(frame: Frame) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for place, key in enumerate(keys):
            name, value = map_key(key(frame)), values[place](frame)
            if place in optional:
                if not _optional(value).present:
                    continue
                value = value.value
            if name in found:
                raise EvaluationError(f"Failed with repeated key: {name}")
            found[name] = value
        return found

    return made


def map_key(key: Any) -> Any:
    """Returns a value that may be a key of a map; raises EvaluationError."""
    if isinstance(key, str | int):
        return key
    raise EvaluationError(f"unsupported key type: {type_name(key)}")


def _optional(value: Any) -> Optional:
    if type(value) is Optional:
        return value
    raise no_overload("optional", (value,))


def _bound(slot: int, value: Closure, body: Closure) -> Closure:
    def bind(frame: Frame) -> Any:
        frame[slot] = value(frame)
        return body(frame)

    return bind


def _bound_optional(slot: int, value: Closure, body: Closure, wrap: bool) -> Closure:
    def bind(frame: Frame) -> Any:
        held = _optional(value(frame))
        if not held.present:
            return NONE
        frame[slot] = held.value
        made = body(frame)
        return Optional(made, True) if wrap else made

    return bind
