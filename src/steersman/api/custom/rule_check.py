"""Checks the rules of a definition's schemas: they compile, they are not too dear, and transition
rules stand where old values can be found.

Follows apiextensions/validation/validation.go and cel_validation.go. The limits are upstream's;
the estimate of a cost is `cel.estimate`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from steersman.api.custom.rules import Compiled, compile_rule
from steersman.cel.declared import Declaration, declare
from steersman.cel.estimate import LARGEST
from steersman.model import causes
from steersman.model.errors import Cause
from steersman.model.structural.rules import RULES, has_rules

Raw = Mapping[str, Any]

MOST_FOR_A_RULE: Final = 10_000_000  # StaticEstimatedCostLimit
MOST_FOR_ALL: Final = 100_000_000  # StaticEstimatedCRDCostLimit
_NO_TYPE: Final = (
    "Internal error: internal error: failed to retrieve type information for"
    " x-kubernetes-validations"
)
_CONTRIBUTED: Final = (
    "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
)
_SHOWN: Final = 4  # the dearest rules that are named where all together are too dear


class Where(NamedTuple):
    """A place: its path, how often it can be there (None: no bound), and the path from which on
    an old value cannot be told."""

    path: str
    times: int | None = 1
    apart: str = ""

    def below(self, step: str, factor: int | None, apart: bool = False) -> Where:
        """Returns a place below."""
        path = f"{self.path}.{step}"
        times = None if self.times is None or factor is None else self.times * factor
        return Where(path, times, self.apart or (self.path if apart else ""))


class _Costs:
    def __init__(self) -> None:
        self.total = 0
        self.dearest: list[tuple[int, str]] = []

    def observe(self, cost: int, path: str) -> None:
        self.total += cost
        if cost >= MOST_FOR_ALL // 100:
            self.dearest.append((cost, path))


def check(raw: Raw, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the rules of a version's schema; `path` is the schema's."""
    costs = _Costs()
    yield from _check(raw, Where(path), costs, declare(raw, root=True))
    if costs.total > MOST_FOR_ALL:
        for _, where in sorted(costs.dearest, reverse=True)[:_SHOWN]:
            yield causes.forbidden(where, _CONTRIBUTED)
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        yield causes.forbidden(path, _too_dear(name, costs.total, MOST_FOR_ALL))


def _check(
    raw: Raw, where: Where, costs: _Costs, declared: Declaration | None = None
) -> Iterator[Cause]:
    yield from _check_below(raw, where, costs)
    if not (rules := raw.get(RULES)):
        return
    place = declared or declare(raw)
    if place is None:
        yield Cause("InternalError", _NO_TYPE, f"{where.path}.{RULES}")
        return
    for index, rule in enumerate(rules):
        compiled = compile_rule(rule, place)
        yield from _check_rule(compiled, f"{where.path}.{RULES}[{index}]", where, costs, place)


def _check_below(raw: Raw, where: Where, costs: _Costs) -> Iterator[Cause]:
    keyed = raw.get("x-kubernetes-list-type") == "map"
    if isinstance(more := raw.get("additionalProperties"), Mapping) and has_rules(more):
        step = where.below("additionalProperties", raw.get("maxProperties"))
        yield from _check(more, step, costs)
    for name, one in (raw.get("properties") or {}).items():
        if has_rules(one):
            yield from _check(one, where.below(f"properties[{name}]", 1), costs)
    if isinstance(items := raw.get("items"), Mapping) and has_rules(items):
        yield from _check(items, where.below("items", raw.get("maxItems"), not keyed), costs)


def _check_rule(
    rule: Compiled, path: str, where: Where, costs: _Costs, place: Declaration
) -> Iterator[Cause]:
    if rule.wrong:
        yield causes.invalid(f"{path}.rule", _shown(rule.rule), rule.wrong)
        return
    if rule.program is None:
        return
    times = LARGEST // (place.least + 1) if where.times is None else where.times
    cost = rule.program.cost.cost * times
    costs.observe(cost, f"{path}.rule")
    if cost > MOST_FOR_A_RULE:
        text = _too_dear("estimated rule cost", cost, MOST_FOR_A_RULE)
        yield causes.forbidden(f"{path}.rule", text)
    yield from _check_message(rule, path, costs)
    if rule.uses_old and where.apart:
        detail = (
            "oldSelf cannot be used on the uncorrelatable portion of the schema within"
            f" {where.apart}"
        )
        yield causes.invalid(f"{path}.rule", rule.rule["rule"], detail)
    elif not rule.uses_old and rule.rule.get("optionalOldSelf") is not None:
        detail = "may not be set if oldSelf is not used in rule"
        yield causes.invalid(f"{path}.optionalOldSelf", rule.rule["optionalOldSelf"], detail)


def _check_message(rule: Compiled, path: str, costs: _Costs) -> Iterator[Cause]:
    path = f"{path}.messageExpression"
    if rule.wrong_message:
        yield causes.invalid(path, _shown(rule.rule), rule.wrong_message)
    elif rule.message is not None:
        cost = rule.message.cost.cost
        costs.observe(cost, path)
        if cost > MOST_FOR_A_RULE:
            text = _too_dear("estimated messageExpression cost", cost, MOST_FOR_A_RULE)
            yield causes.forbidden(path, text)


def _too_dear(name: str, cost: int, most: int) -> str:
    factor = cost / most
    if factor > 100:
        shown = "more than 100x"
    else:
        shown = f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{name} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems,"
        " maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )


def _shown(rule: Raw) -> dict[str, Any]:
    """Returns a rule as upstream shows it: with the names of Go's fields."""
    return {
        "Rule": rule.get("rule", ""),
        "Message": rule.get("message", ""),
        "MessageExpression": rule.get("messageExpression", ""),
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath", ""),
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }
