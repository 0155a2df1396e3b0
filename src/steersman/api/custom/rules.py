"""One validation rule of a custom resource's schema (x-kubernetes-validations), compiled.

Follows apiextensions' schema/cel/compilation.go: `self` and `oldSelf` are of the place's type; with
optionalOldSelf the old value is an optional.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from steersman.cel.declared import Declaration
from steersman.cel.environment import Environment, Program, WrongType
from steersman.cel.errors import CompileError
from steersman.cel.types import BOOL, STRING, optional_of

Raw = Mapping[str, Any]


class Compiled(msgspec.Struct, frozen=True):
    """A rule with its programs; where one does not compile, `wrong` or `wrong_message` say why.

    `program` is None for an empty rule too, and `message` where none is given.
    """

    rule: Raw
    program: Program | None = None
    message: Program | None = None
    wrong: str = ""
    wrong_message: str = ""

    @property
    def uses_old(self) -> bool:
        """Whether the rule looks at the value that was there before."""
        return self.program is not None and "oldSelf" in self.program.uses

    @property
    def is_optional(self) -> bool:
        """Whether the rule is asked also where there was nothing before."""
        return bool(self.rule.get("optionalOldSelf"))

    @property
    def text(self) -> str:
        """What names the rule in an error about its evaluation."""
        return str(self.rule.get("message") or self.rule.get("rule") or "").strip()

    @property
    def detail(self) -> str:
        """What is said where the rule is broken and has no expression for that."""
        message = str(self.rule.get("message") or "")
        return message.strip() if message else f"failed rule: {self.text}"


def compile_rule(rule: Raw, place: Declaration) -> Compiled:
    """Returns a rule of a place, compiled as far as it goes."""
    text, message = rule.get("rule") or "", rule.get("messageExpression") or ""
    if not text.strip():
        return Compiled(rule)
    old = optional_of(place.type) if rule.get("optionalOldSelf") else place.type
    environment = Environment({"self": place.type, "oldSelf": old})
    try:
        program = environment.compile(text, BOOL)
    except CompileError as error:
        return Compiled(rule, wrong=f"compilation failed: {error}")
    except WrongType:
        return Compiled(rule, wrong="cel expression must evaluate to a bool")
    if not message:
        return Compiled(rule, program)
    try:
        return Compiled(rule, program, environment.compile(message, STRING))
    except CompileError as error:
        wrong = f"messageExpression compilation failed: {error}"
    except WrongType:
        wrong = "messageExpression must evaluate to a string"
    return Compiled(rule, program, wrong_message=wrong)
