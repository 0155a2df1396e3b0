"""The expressions of an issuer: what they may ask, and what they may give.

Follows apiserver's pkg/authentication/cel.
"""

from __future__ import annotations

from typing import Final

from steersman.api.tokens.jwt_settings import JWT
from steersman.cel.environment import Environment, Program, WrongType
from steersman.cel.errors import CompileError
from steersman.cel.parse import parse
from steersman.cel.tree import Ident, Select, walk
from steersman.cel.types import BOOL, DYN, STRING, USER_INFO, Type, map_of

CLAIMS: Final = "claims"
USER: Final = "user"


class Expressions:
    """Compiles expressions over claims and over the user that is made of them."""

    def __init__(self) -> None:
        self._claims = Environment({CLAIMS: map_of(STRING, DYN)})
        self._user = Environment({USER: USER_INFO})

    def mapping(self, text: str) -> Program:
        """Returns what makes a part of the user of claims; what it gives is looked at when it is
        used. Raises ValueError in upstream's words."""
        return _compiled(self._claims, text)

    def claim_rule(self, text: str) -> Program:
        """Returns what claims must meet; raises ValueError."""
        return _compiled(self._claims, text, BOOL)

    def user_rule(self, text: str) -> Program:
        """Returns what the user must meet; raises ValueError."""
        return _compiled(self._user, text, BOOL)


def _compiled(environment: Environment, text: str, *results: Type) -> Program:
    try:
        return environment.compile(text, *results)
    except CompileError as error:
        raise ValueError(f"compilation failed: {error}") from None
    except WrongType as error:
        raise ValueError(str(error)) from None


class Compiled:
    """The settings of one issuer, which were checked, with their expressions."""

    def __init__(self, settings: JWT) -> None:
        self.settings = settings
        expressions = Expressions()

        def mapping(text: str) -> Program | None:
            return expressions.mapping(text) if text else None

        mappings = settings.claim_mappings
        self.username = mapping(mappings.username.expression)
        self.groups = mapping(mappings.groups.expression)
        self.uid = mapping(mappings.uid.expression)
        self.extra = [
            (one.key, expressions.mapping(one.value_expression)) for one in mappings.extra
        ]
        self.claim_rules = [
            (rule, expressions.claim_rule(rule.expression) if rule.expression else None)
            for rule in settings.claim_validation_rules
        ]
        self.user_rules = [
            (rule, expressions.user_rule(rule.expression))
            for rule in settings.user_validation_rules
        ]


def asks_for(claim: str, text: str) -> bool:
    """Says whether a good expression looks at a claim by its name after a dot."""
    return any(
        isinstance(node, Select)
        and node.field == claim
        and isinstance(node.operand, Ident)
        and node.operand.name == CLAIMS
        for node in walk(parse(text))
    )
