"""Variables that are expressions themselves (`variables.NAME`): each is evaluated where it is first
used, once for all expressions of a policy, and at their cost.

Follows apiserver's plugin/cel/composition.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from steersman.api.admission.asking.expressions import Expression, compile_expression
from steersman.api.admission.asking.variables import Values, declared
from steersman.cel.compile import Budget
from steersman.cel.environment import Environment
from steersman.cel.errors import BudgetExceeded, EvaluationError
from steersman.cel.functions import Functions
from steersman.cel.types import DYN, Field, Type

VARIABLES: Final = "variables"


class Composition:
    """The variables of a policy, and the environments of its expressions: with an authorizer, and
    without one for messages (`undecided`). `types` are those of variables of which more is known
    than usual."""

    def __init__(
        self,
        raw: Sequence[Mapping[str, Any]],
        *,
        params: bool,
        types: Mapping[str, Type] | None = None,
    ) -> None:
        fields: dict[str, Field] = {}
        own = {VARIABLES: Type("object", "kubernetes.variables", (), fields), **(types or {})}
        self._types = {**declared(params=params), **own}
        self.environment = Environment(self._types)
        without = {**declared(params=params, decides=False), **own}
        self.undecided = Environment(without)
        self.expressions: dict[str, Expression] = {}
        for one in raw:
            name, text = one.get("name") or "", one.get("expression") or ""
            made = self.expressions[name] = compile_expression(self.environment, text)
            fields[name] = Field(name, made.program.type if made.program else DYN)

    def extended(self, objects: Mapping[str, Type], functions: Functions) -> Environment:
        """Returns the environment of expressions that know more types and functions."""
        return Environment(self._types, objects=objects, functions=functions)

    def bound(self, values: Values, budget: Budget) -> dict[str, Any]:
        """Returns values with those of the variables, which use them and are charged to a budget
        when they are used."""
        whole = dict(values)
        whole[VARIABLES] = _Lazy(self.expressions, whole, budget)
        return whole


class _Lazy(dict[str, Any]):
    """Values by name, made when they are looked at."""

    type_name = "kubernetes.variables"

    def __init__(
        self, expressions: Mapping[str, Expression], values: Values, budget: Budget
    ) -> None:
        super().__init__(dict.fromkeys(expressions))
        self._expressions = expressions
        self._values = values
        self._budget = budget
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._make(name, self._expressions[name])
        return self._made[name]

    def _make(self, name: str, expression: Expression) -> Any:
        if expression.program is None:
            raise EvaluationError(
                f'composited variable "{name}" fails to compile: {expression.wrong}'
            )
        try:
            return expression.program.evaluate(self._values, self._budget)
        except (EvaluationError, BudgetExceeded) as error:
            raise EvaluationError(
                f'composited variable "{name}" fails to evaluate: {error}'
            ) from None
