"""Expressions of admission: compiled once, evaluated under one budget, with upstream's words where
they fail; and match conditions, which are expressions that must all hold.

Follows apiserver's plugin/cel/activation.go and webhook/matchconditions/matcher.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from steersman.api.admission.asking.variables import Values
from steersman.cel.compile import Budget
from steersman.cel.environment import Environment, Program, WrongType
from steersman.cel.errors import BudgetExceeded, CompileError, EvaluationError
from steersman.cel.types import BOOL, Type

# RuntimeCELCostBudgetMatchConditions: all conditions of one webhook or binding
FOR_CONDITIONS: Final = 2_500_000
_SPENT: Final = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)


class Failed(Exception):
    """One expression has no value; others may have one."""


class Spent(Exception):
    """No further expression is evaluated: the budget is spent."""

    def __init__(self) -> None:
        super().__init__(_SPENT)


class Expression(msgspec.Struct, frozen=True):
    """An expression with its program; where it does not compile, `wrong` says why."""

    text: str
    program: Program | None = None
    wrong: str = ""

    def evaluate(self, values: Values, budget: Budget) -> Any:
        """Returns its value; raises Failed, Spent."""
        if self.program is None:
            raise Failed(f"compilation error: {self.wrong}")
        try:
            found = self.program.evaluate(values, budget)
            if budget.left < 0:  # variables are charged beside
                raise Spent
            return found
        except BudgetExceeded as error:
            if budget.left <= 0:
                raise Spent from None
            why = str(error)
        except EvaluationError as error:
            why = str(error)
        raise Failed(f"expression '{self.text}' resulted in error: {why}")


def compile_expression(environment: Environment, text: str, *results: Type) -> Expression:
    """Returns an expression that gives one of some types, compiled as far as it goes."""
    try:
        return Expression(text, environment.compile(text, *results))
    except CompileError as error:
        return Expression(text, wrong=f"compilation failed: {error}")
    except WrongType as error:
        return Expression(text, wrong=mismatch(error))


def mismatch(error: WrongType) -> str:
    """Returns what is said of an expression of a wrong type."""
    found = _name(error.found)
    if len(error.wanted) == 1:
        return f"must evaluate to {_name(error.wanted[0])} but got {found}"
    return f"must evaluate to one of [{' '.join(map(_name, error.wanted))}] but got {found}"


def _name(type_: Type) -> str:
    """Returns a type as cel-go prints it outside of the checker's messages."""
    return "null_type" if type_.kind == "null" else str(type_)


class Conditions:
    """Match conditions; `ignores` says that a failure means that the request is not matched."""

    def __init__(
        self, raw: Sequence[Mapping[str, Any]], environment: Environment, ignores: bool
    ) -> None:
        self._expressions = [
            compile_expression(environment, one.get("expression") or "", BOOL) for one in raw
        ]
        self._ignores = ignores

    def __bool__(self) -> bool:
        return bool(self._expressions)

    def match(self, values: Values, budget: Budget | None = None) -> bool:
        """Says whether all hold; raises Failed where that cannot be said."""
        budget, failures = budget or Budget(FOR_CONDITIONS), []
        for expression in self._expressions:
            try:
                if expression.evaluate(values, budget) is False:
                    return False
            except Failed as error:
                failures.append(str(error))
            except Spent as error:
                failures = [str(error)]
                break
        if failures and not self._ignores:
            raise Failed(together(failures))
        return not failures


def together(texts: Iterable[str]) -> str:
    """Returns several errors as one (utilerrors.Aggregate)."""
    found = list(dict.fromkeys(texts))
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]"
