"""What an expression costs at the most, from the bounds that its types declare.

Follows the worst case of cel-go's checker/cost.go with Kubernetes' sizes: what has no bound is as
large as a request may be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from steersman.cel import loops
from steersman.cel.check import Checked
from steersman.cel.compile import LIST_COST, MAP_COST, OBJECT_COST
from steersman.cel.functions import TRAVERSAL
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

LARGEST: Final = 3 * 1024 * 1024  # MaxRequestSizeBytes
UNBOUNDED: Final = 2**63 - 1
_REGEX: Final = 0.25  # RegexStringLengthCostFactor
_EQUALITY: Final = ("_==_", "_!=_")
_SMALL: Final = 1  # the size of what has none


@dataclass(frozen=True, slots=True)
class Estimate:
    """The highest cost of a value, and its largest size in elements or characters."""

    cost: int
    size: int


def estimate(node: Node, checked: Checked) -> Estimate:
    """Returns the worst case of a checked expression."""
    return _Estimator(checked).of(node)


class _Estimator:
    def __init__(self, checked: Checked) -> None:
        self._checked = checked
        self._sizes: dict[str, int] = {}

    def of(self, node: Node) -> Estimate:
        match node:
            case Constant():
                value = node.value
                return Estimate(0, len(value) if isinstance(value, str | bytes) else _SMALL)
            case Ident():
                size = self._sizes.get(node.name)
                return Estimate(1, self._declared(node) if size is None else size)
            case Select() if self._checked.type(node).kind == "type":  # a type's dotted name
                return Estimate(1, _SMALL)
            case Select():
                return Estimate(_bounded(1 + self.of(node.operand).cost), self._declared(node))
            case Call():
                return self._call(node)
            case ListOf():
                return self._literal(node.items, LIST_COST, len(node.items))
            case MapOf():
                parts = [part for entry in node.entries for part in entry]
                return self._literal(parts, MAP_COST, len(node.entries))
            case ObjectOf():
                return self._literal([value for _, value in node.fields], OBJECT_COST, _SMALL)
            case Loop():
                return self._loop(node)
            case Bind():
                return self._bind(node)
        raise TypeError(f"no node of an expression: {node!r}")

    def _declared(self, node: Node) -> int:
        type_ = self._checked.type(node)
        if type_.max_size is not None:
            return type_.max_size
        sized = type_.kind in ("string", "bytes", "list", "map", "dyn")
        return LARGEST if sized else _SMALL

    def _literal(self, parts: Sequence[Node], base: int, size: int) -> Estimate:
        return Estimate(_bounded(base + sum(self.of(part).cost for part in parts)), size)

    def _call(self, node: Call) -> Estimate:
        parts = [self.of(argument) for argument in node.arguments]
        sizes = [part.size for part in parts]
        own = self._own(node, sizes)
        if node.function == "_?_:_":
            own += parts[0].cost + max(parts[1].cost, parts[2].cost)
        else:
            own += sum(part.cost for part in parts)
        return Estimate(_bounded(own), self._result(node, sizes))

    def _own(self, node: Call, sizes: Sequence[int]) -> float:
        """Returns what the function itself costs beside its arguments."""
        if node.function in ("_&&_", "_||_"):
            return len(sizes) - 1
        if node.function in _EQUALITY:
            return 1 + min(sizes) * TRAVERSAL
        if node.function == "matches":
            return 1 + (sizes[0] * TRAVERSAL + 1) * max(sizes[1] * _REGEX, 1)
        overloads = self._checked.overloads(node)
        scans = [sizes[place] for place in overloads[0].scans if place < len(sizes)]
        if not scans:
            return 1
        if overloads[0].product:
            return 1 + scans[0] * scans[-1] * overloads[0].product
        return 1 + sum(scans) * TRAVERSAL

    def _result(self, node: Call, sizes: Sequence[int]) -> int:
        if node.function == "_+_":
            return min(sum(sizes), UNBOUNDED)
        if node.function == "_?_:_":
            return max(sizes[1:])
        kind = self._checked.type(node).kind
        if kind in ("string", "bytes", "list", "map") and node.function != "_[_]":
            return max(sizes, default=_SMALL) if node.member else self._declared(node)
        return self._declared(node)

    def _loop(self, node: Loop) -> Estimate:
        over = self.of(node.range)
        shadowed = dict(self._sizes)
        for name in node.variables:
            self._sizes.pop(name, None)
        parts = [part for part in (node.condition, node.value) if part is not None]
        step = loops.STEP_COST + sum(self.of(part).cost for part in parts)
        self._sizes = shadowed
        size = _SMALL if node.kind in ("all", "exists", "exists_one") else over.size
        return Estimate(_bounded(over.cost + 1 + over.size * step), size)

    def _bind(self, node: Bind) -> Estimate:
        value = self.of(node.value)
        shadowed: Mapping[str, int] = dict(self._sizes)
        self._sizes[node.name] = value.size
        body = self.of(node.body)
        self._sizes = dict(shadowed)
        return Estimate(_bounded(1 + value.cost + body.cost), body.size)


def _bounded(cost: float) -> int:
    return min(int(cost), UNBOUNDED)
