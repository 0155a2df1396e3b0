"""Compiles expressions for variables of declared types, with Kubernetes' libraries.

The limits are those of k8s.io/apiserver/pkg/apis/cel/config.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from steersman.cel.check import Checker
from steersman.cel.compile import Budget, Closure, Compiler
from steersman.cel.errors import EvaluationError
from steersman.cel.estimate import Estimate, estimate
from steersman.cel.functions import Functions
from steersman.cel.library.kubernetes import all_functions
from steersman.cel.parse import parse
from steersman.cel.types import Type

PER_CALL: Final = 1_000_000  # PerCallLimit: one evaluation
PER_OBJECT: Final = 10_000_000  # RuntimeCELCostBudget: all evaluations for one object
MESSAGE_BYTES: Final = 5 * 1024  # MaxEvaluatedMessageExpressionSizeBytes


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression: its type, the worst case of its cost, the variables it uses."""

    text: str
    type: Type
    cost: Estimate
    uses: frozenset[str]
    _run: Closure
    _slots: int
    _straight: int
    _variables: tuple[str, ...]

    def evaluate(self, values: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """Returns the value for variables, all of which must be given.

        Takes its cost off the budget too. Raises EvaluationError and BudgetExceeded.
        """
        outer = budget if budget is not None else Budget(PER_CALL)
        own = Budget(min(outer.left, PER_CALL))
        before = own.left
        frame: list[Any] = [None] * self._slots
        frame[0] = own
        for place, name in enumerate(self._variables, 1):
            frame[place] = values[name]
        try:
            own.charge(self._straight)
            return self._run(frame)
        except RecursionError:
            raise EvaluationError("the values are nested too deeply") from None
        finally:
            outer.left -= before - own.left


class Environment:
    """Declared variables, named object types, and the functions."""

    def __init__(
        self,
        variables: Mapping[str, Type],
        *,
        objects: Mapping[str, Type] | None = None,
        functions: Functions | None = None,
    ) -> None:
        self._variables = dict(variables)
        self._objects = objects if objects is not None else {}
        self._functions = functions if functions is not None else all_functions()

    def compile(self, text: str, *results: Type) -> Program:
        """Returns the program of an expression; raises CompileError.

        With `results` its type must be one of these; raises WrongType.
        """
        node = parse(text)
        checker = Checker(text, self._variables, self._functions, self._objects)
        type_ = checker.check(node)
        if results and type_ not in results:
            raise WrongType(results, type_)
        compiler = Compiler(checker.found, tuple(self._variables))
        run = compiler.compile(node)
        cost = estimate(node, checker.found)
        variables = tuple(self._variables)
        return Program(
            text, type_, cost, checker.uses, run, compiler.slots, compiler.cost, variables
        )


class WrongType(Exception):
    """An expression is good and gives a value of a type that is not wanted."""

    def __init__(self, wanted: tuple[Type, ...], found: Type) -> None:
        self.wanted = wanted
        self.found = found
        super().__init__(f"must evaluate to {wanted[0]}")
