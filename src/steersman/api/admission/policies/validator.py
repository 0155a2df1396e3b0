"""What a ValidatingAdmissionPolicy decides of one change: its expressions, compiled once.

Pure. Follows apiserver's policy/validating/validator.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from steersman.api.admission.asking.composition import Composition
from steersman.api.admission.asking.expressions import (
    FOR_CONDITIONS,
    Conditions,
    Expression,
    Failed,
    Spent,
    compile_expression,
)
from steersman.api.admission.asking.variables import Values
from steersman.cel.compile import Budget
from steersman.cel.environment import MESSAGE_BYTES, PER_OBJECT
from steersman.cel.types import BOOL, NULL, STRING
from steersman.model.kind import Document


class Denial(msgspec.Struct, frozen=True):
    """Why a change is not admitted; `reason` is Invalid where a policy names none,
    `always` says that it counts whatever a binding says is to be done, `index` which validation
    failed."""

    message: str
    reason: str = "Invalid"
    always: bool = False
    index: int = 0


class Note(msgspec.Struct, frozen=True):
    """What a policy wants the audit log to keep."""

    key: str
    value: str


class _Validation:
    """One expression that must hold, and what is said where it does not."""

    def __init__(self, raw: Mapping[str, Any], composition: Composition) -> None:
        self.expression = compile_expression(composition.environment, raw["expression"], BOOL)
        self.reason: str = raw.get("reason") or "Invalid"
        self._text = (raw.get("message") or "").strip()
        text = raw.get("messageExpression") or ""
        self._message: Expression | None = None
        if text:
            self._message = compile_expression(composition.undecided, text, STRING)

    def message(self, values: Values, budget: Budget) -> str:
        """Returns what is said; raises Spent."""
        told = ""
        if self._message is not None:
            try:
                told = str(self._message.evaluate(values, budget)).strip()
            except Failed:
                told = ""
        if told and "\n" not in told and len(told.encode()) <= MESSAGE_BYTES:
            return told
        return self._text or f"failed expression: {self.expression.text.strip()}"


class Validator:
    """The expressions of one policy."""

    def __init__(self, spec: Document) -> None:
        self.ignores = spec.get("failurePolicy") == "Ignore"
        composition = Composition(
            spec.get("variables") or (), params=spec.get("paramKind") is not None
        )
        self._composition = composition
        self._conditions = Conditions(
            spec.get("matchConditions") or (), composition.environment, self.ignores
        )
        self._validations = [_Validation(one, composition) for one in spec.get("validations") or ()]
        self._annotations = [
            (
                one["key"],
                compile_expression(composition.environment, one["valueExpression"], STRING, NULL),
            )
            for one in spec.get("auditAnnotations") or ()
        ]

    def check(self, values: Values) -> Iterator[Denial | Note]:
        """Yields why a change is not admitted, and what is to be kept of it."""
        try:
            if self._is_matched(values):
                yield from self._check(values)
        except (Failed, Spent) as error:
            if not self.ignores:
                yield Denial(str(error))

    def _is_matched(self, values: Values) -> bool:
        budget = Budget(FOR_CONDITIONS)
        return self._conditions.match(self._composition.bound(values, budget), budget)

    def _check(self, values: Values) -> list[Denial | Note]:
        """Returns the denials of all validations; raises Spent, where none of them counts."""
        budget = Budget(PER_OBJECT)
        bound = self._composition.bound(values, budget)
        failed: list[tuple[int, _Validation | Denial]] = []
        for index, one in enumerate(self._validations):
            try:
                if one.expression.evaluate(bound, budget) is not True:
                    failed.append((index, one))
            except Failed as error:
                failed.append((index, Denial(str(error), index=index)))
        denials = [self._denial(index, one, bound, budget) for index, one in failed]
        return [*(one for one in denials if one is not None), *self._annotate(values)]

    def _denial(
        self, index: int, failed: _Validation | Denial, bound: Values, budget: Budget
    ) -> Denial | None:
        if isinstance(failed, Denial):
            return None if self.ignores else failed
        try:
            return Denial(failed.message(bound, budget), failed.reason, index=index)
        except Spent as error:
            told = f"failed messageExpression: {error}"
            return None if self.ignores else Denial(told, index=index)

    def _annotate(self, values: Values) -> Iterator[Denial | Note]:
        """Yields the notes for the audit log, and which of them fail; an empty one is none."""
        budget = Budget(PER_OBJECT)
        bound = self._composition.bound(values, budget)
        for key, one in self._annotations:
            try:
                value = one.evaluate(bound, budget)
                if isinstance(value, str) and value.strip():
                    yield Note(key, value.strip())
            except Failed as error:
                if not self.ignores:
                    yield Denial(str(error), always=True)
