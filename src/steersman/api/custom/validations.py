"""Holds an object against the validation rules of its schema, place by place.

Follows apiextensions' schema/cel/validation.go: one budget for the whole object; a transition rule
is asked where there is an old value to compare with; what was broken before and has not changed is
excused (KEP-4008).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from steersman.api.custom.rules import Compiled, compile_rule
from steersman.cel.compile import Budget
from steersman.cel.declared import Declaration, declare
from steersman.cel.environment import MESSAGE_BYTES, PER_OBJECT, Program
from steersman.cel.errors import BudgetExceeded, EvaluationError
from steersman.cel.values import NONE, Optional
from steersman.model import causes
from steersman.model.errors import Cause
from steersman.model.patch import equal
from steersman.model.structural.results import NOWHERE
from steersman.model.structural.rules import RULES, Rule, has_rules

Raw = Mapping[str, Any]

ABSENT: Final = object()
_SPENT: Final = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)
_MESSAGE_SPENT: Final = (
    "messageExpression evaluation failed due to running out of cost budget, no further validation"
    " rules will be run"
)


class Stop(Exception):
    """No further rule is asked: the budget is spent, or a message could not be made."""


def compiled(raw: Raw) -> tuple[Rule, ...]:
    """Returns the rules of a whole schema as one."""
    place = Place(raw, root=True)
    return (Whole(place),)


class Whole:
    """All rules of a schema; see `model.structural.rules.Rule`."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def check(self, new: Any, old: Any) -> Iterator[Cause]:
        """Yields what is wrong with an object that stands in the place of an old one."""
        found: list[Cause] = []
        before = ABSENT if old is None else old
        budget = Budget(PER_OBJECT)
        try:
            self._place.check(new, before, "", Asked(found, budget, lambda: False))
        except Stop:
            pass
        yield from found


class Asked:
    """What goes along with a check: the causes found, the budget, and whether what is around the
    place is as it was (asked only where the place has no old value of its own)."""

    __slots__ = ("budget", "found", "is_excused")

    def __init__(self, found: list[Cause], budget: Budget, is_excused: Callable[[], bool]) -> None:
        self.found = found
        self.budget = budget
        self.is_excused = is_excused

    def below(self, new: Any, old: Any) -> Asked:
        """Returns what goes along to a place below one with these values."""
        if old is ABSENT:
            return self
        return Asked(self.found, self.budget, lambda: equal(new, old))


class Place:
    """One place in a schema with its rules, and the places below that have some."""

    def __init__(
        self, raw: Raw, *, root: bool = False, declared: Declaration | None = None,
        spine: Raw | None = None,
    ) -> None:  # fmt: skip
        """`spine` is the schema that says what values are, where `raw` is a branch of allOf."""
        shape = raw if spine is None else spine
        self._kind = shape.get("type") or ""
        self._shape = shape
        self._declared = declared or declare(shape, root=root)
        self._raw = raw
        self._rules: Sequence[Compiled] | None = None
        self._all = [
            Place(branch, declared=self._declared, spine=shape)
            for branch in raw.get("allOf") or ()
            if has_rules(branch)
        ]
        self._properties = self._below_named(raw, shape)
        self._items = _below(raw, shape, "items")
        self._values = _below(raw, shape, "additionalProperties")
        keyed = shape.get("x-kubernetes-list-type") == "map"
        self._keys = tuple(shape.get("x-kubernetes-list-map-keys") or ()) if keyed else ()

    @staticmethod
    def _below_named(raw: Raw, shape: Raw) -> dict[str, Place]:
        shapes = shape.get("properties") or {}
        return {
            name: Place(one, spine=shapes[name])
            for name, one in (raw.get("properties") or {}).items()
            if name in shapes and has_rules(one) and declare(shapes[name]) is not None
        }

    def check(self, new: Any, old: Any, path: str, asked: Asked) -> None:
        """Adds what is wrong with a value and with all below it; raises Stop."""
        if new is None:
            return
        if self._raw.get(RULES):
            self._ask(new, old, path, asked)
        for branch in self._all:  # what changes in a branch of allOf is not told apart
            branch.check(new, old, path, Asked(asked.found, asked.budget, lambda: False))
        below = asked.below(new, old)
        if isinstance(new, list):
            self._check_items(new, old, path, below)
        elif isinstance(new, dict):
            self._check_values(new, old, path, below)

    def _check_values(self, new: dict[str, Any], old: Any, path: str, asked: Asked) -> None:
        before = old if isinstance(old, dict) else {}
        if self._values is not None:
            for key, value in new.items():
                self._values.check(value, before.get(key, ABSENT), f"{path}[{key}]", asked)
        for name, place in self._properties.items():
            if name in new:
                inner = f"{path}.{name}" if path else name
                place.check(new[name], before.get(name, ABSENT), inner, asked)

    def _check_items(self, new: list[Any], old: Any, path: str, asked: Asked) -> None:
        if self._items is None:
            return
        before = self._keyed(old)
        for index, item in enumerate(new):
            known = before.get(self._key(item), ABSENT) if before else ABSENT
            self._items.check(item, known, f"{path}[{index}]", asked)

    def _keyed(self, old: Any) -> dict[tuple[str, ...], Any]:
        """Returns the old items by their keys; only the items of a map can be told apart."""
        if not self._keys or not isinstance(old, list):
            return {}
        return {self._key(item): item for item in old}

    def _key(self, item: Any) -> tuple[str, ...]:
        return tuple(repr(item.get(name)) for name in self._keys) if isinstance(item, dict) else ()

    def _ready(self) -> Sequence[Compiled]:
        if self._rules is None:
            place = self._declared
            rules = self._raw.get(RULES) or ()
            self._rules = [] if place is None else [compile_rule(rule, place) for rule in rules]
        return self._rules

    def _ask(self, new: Any, old: Any, path: str, asked: Asked) -> None:
        rules, place = self._ready(), self._declared
        if place is None:
            return
        if asked.budget.left <= 0:
            raise self._stop(path, asked, _SPENT)
        before = None if old is ABSENT or old is None else old
        try:
            current = place.value(new)
            past = None if before is None else place.value(before)
        except EvaluationError as error:
            asked.found.append(self._cause(path, f"{error} evaluating rule: {rules[0].text}"))
            return
        for rule in rules:
            if rule.wrong:
                detail = f"rule compile error: {rule.wrong}"
                asked.found.append(self._cause(path, detail))
            elif rule.program is not None and not self._is_skipped(rule, before):
                self._ask_one(rule, rule.program, current, past, path, asked, new, old)

    @staticmethod
    def _is_skipped(rule: Compiled, before: Any) -> bool:
        return rule.uses_old and before is None and not rule.is_optional

    def _ask_one(
        self, rule: Compiled, program: Program, current: Any, past: Any, path: str, asked: Asked,
        new: Any, old: Any,
    ) -> None:  # fmt: skip
        if rule.is_optional:
            past = NONE if past is None else Optional(past, True)
        values = {"self": current, "oldSelf": past}
        try:
            if program.evaluate(values, asked.budget) is True:
                return
        except BudgetExceeded as error:
            detail = (
                f"'{error}': no further validation rules will be run due to call cost exceeds"
                f" limit for rule: {rule.text}"
            )
            raise self._stop(path, asked, _SPENT if asked.budget.left <= 0 else detail) from None
        except EvaluationError as error:
            asked.found.append(self._cause(path, _told(error, rule)))
            return
        if not rule.uses_old and _is_excused(new, old, asked):
            return
        detail = self._detail(rule, values, path, asked)
        asked.found.append(self._broken(rule, _at(path, rule), new, detail))

    def _detail(self, rule: Compiled, values: Mapping[str, Any], path: str, asked: Asked) -> str:
        """Returns what a broken rule says, by its expression where that gives a good text."""
        if rule.message is None:
            return rule.detail
        try:
            text = rule.message.evaluate(values, asked.budget)
        except BudgetExceeded:
            detail = (
                "no further validation rules will be run due to call cost exceeds limit for"
                f' messageExpression: "{rule.rule["messageExpression"]}"'
            )
            spent = asked.budget.left <= 0
            raise self._stop(path, asked, _MESSAGE_SPENT if spent else detail) from None
        except EvaluationError:
            return rule.detail
        told = text.strip() if isinstance(text, str) else ""
        good = told and "\n" not in told and len(told.encode()) <= MESSAGE_BYTES
        return told if good else rule.detail

    def _broken(self, rule: Compiled, path: str, new: Any, detail: str) -> Cause:
        """Returns the cause for a broken rule, with the reason that the rule names."""
        match rule.rule.get("reason"):
            case "FieldValueForbidden":
                return causes.forbidden(path or NOWHERE, detail)
            case "FieldValueRequired":
                return causes.required(path or NOWHERE, detail)
            case "FieldValueDuplicate":
                return causes.duplicate(path or NOWHERE, new)
        if self._kind in ("object", "array"):
            return Cause("FieldValueInvalid", f"Invalid value: {detail}", path or NOWHERE)
        return causes.invalid(path or NOWHERE, new, detail)

    def _cause(self, path: str, detail: str) -> Cause:
        """Returns the cause for a rule that could not be asked; its value is the type's name."""
        return causes.invalid(path or NOWHERE, self._kind, detail)

    def _stop(self, path: str, asked: Asked, detail: str) -> Stop:
        """Notes why no further rule is asked."""
        asked.found.append(self._cause(path, detail))
        return Stop()


def _below(raw: Raw, shape: Raw, name: str) -> Place | None:
    one, spine = raw.get(name), shape.get(name)
    if not isinstance(one, Mapping) or not isinstance(spine, Mapping) or not has_rules(one):
        return None
    return Place(one, spine=spine)


def _is_excused(new: Any, old: Any, asked: Asked) -> bool:
    return asked.is_excused() if old is ABSENT else equal(new, old)


def _told(error: EvaluationError, rule: Compiled) -> str:
    if str(error).startswith("no such overload"):
        return (
            f"'{error}': call arguments did not match a supported operator, function or macro"
            f" signature for rule: {rule.text}"
        )
    return f"{error} evaluating rule: {rule.text}"


def _at(path: str, rule: Compiled) -> str:
    """Returns the path that a rule is about: a field below its place, if it names one."""
    below = rule.rule.get("fieldPath") or ""
    if not below:
        return path
    return f"{path}{below}" if path else below.removeprefix(".")
