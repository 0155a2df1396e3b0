"""Tokens of other issuers (OIDC): proven by their keys, made into users by the configuration.

Follows apiserver's plugin/pkg/authenticator/token/oidc with its messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from steersman.api.access.tokens import CREDENTIAL, InvalidToken
from steersman.api.tokens.distributed import Distributed
from steersman.api.tokens.jwt_expressions import CLAIMS, USER, Compiled
from steersman.api.tokens.jwt_settings import ALGORITHMS
from steersman.api.tokens.jwt_verify import read, verify
from steersman.api.tokens.key_set import KeySet, NoKeys
from steersman.cel.environment import Program
from steersman.cel.errors import BudgetExceeded, EvaluationError
from steersman.model.kind import Document
from steersman.model.mistakes import mistaken
from steersman.wire.message import User

# What upstream calls the two sorts of rules where one does not hold
CLAIM_RULE: Final = "claim validation expression"
USER_RULE: Final = "user info validation rule"


class JWTTokens:
    """Knows the tokens of one issuer; see `bearers.Knows`."""

    def __init__(
        self,
        compiled: Compiled,
        keys: KeySet,
        wall: Callable[[], float],
        algorithms: Sequence[str] = ALGORITHMS,
        groups: Distributed | None = None,
    ) -> None:
        self._compiled = compiled
        self._algorithms = algorithms
        self._keys = keys
        self._wall = wall
        self._groups = groups

    def user(self, token: str) -> User | None:
        """Returns whom a token names, None for one of another issuer.

        Raises InvalidToken, and Awaiting while keys or groups are to be fetched.
        """
        settings = self._compiled.settings.issuer
        if (signed := read(token)) is None or signed.issuer != settings.url:
            return None
        now, claims = self._wall(), signed.claims
        try:
            verify(signed, self._keys, self._algorithms, settings.audiences, now)
        except NoKeys:
            raise
        except InvalidToken as error:
            raise InvalidToken(f"oidc: verify token: {error}") from None
        if self._groups is not None:
            try:
                claims = self._groups.expanded(claims, now)
            except InvalidToken as error:
                why = f"oidc: could not expand distributed claims: {error}"
                raise InvalidToken(why) from None
        return decide(self._compiled, claims)


def decide(compiled: Compiled, claims: Document) -> User:
    """Returns whom proven claims name; raises InvalidToken."""
    user = User(
        _username(compiled, claims),
        tuple(_groups(compiled, claims)),
        _uid(compiled, claims),
        _extra(compiled, claims),
    )
    for rule, program in compiled.claim_rules:
        if program is None:
            _require_claim(claims, rule.claim, rule.required_value)
    for rule, program in compiled.claim_rules:
        if program is not None:
            _require(CLAIM_RULE, program, rule.message, {CLAIMS: claims})
    for rule, program in compiled.user_rules:
        _require(USER_RULE, program, rule.message, {USER: _document(user)})
    return user


def _require_claim(claims: Document, name: str, wanted: str) -> None:
    if name not in claims:
        raise InvalidToken(f"oidc: required claim {name} not present in ID token")
    found = "" if claims[name] is None else claims[name]
    if not isinstance(found, str):
        raise InvalidToken(f"oidc: parse claim {name}: {mistaken(found, 'string')}")
    if found != wanted:
        shown = f"Got = {found}, want = {wanted}"
        raise InvalidToken(f"oidc: required claim {name} value does not match. {shown}")


def _require(what: str, program: Program, message: str, values: Mapping[str, Any]) -> None:
    if _value(what, program, values) is not True:
        why = f"validation expression '{program.text}' failed: {message}"
        raise InvalidToken(f"oidc: error evaluating {what}: {why}")


def _value(what: str, program: Program, values: Mapping[str, Any]) -> Any:
    try:
        return program.evaluate(values)
    except (EvaluationError, BudgetExceeded) as error:
        why = f"expression '{program.text}' resulted in error: {error}"
        raise InvalidToken(f"oidc: error evaluating {what}: {why}") from None


def _username(compiled: Compiled, claims: Document) -> str:
    mapping = compiled.settings.claim_mappings.username
    if compiled.username is not None:
        if name := _text("username", compiled.username, claims):
            return name
        raise InvalidToken("oidc: empty username via CEL expression is not allowed")
    found = claims.get(mapping.claim)
    if not isinstance(found, str):
        what = "claim not present" if found is None else mistaken(found, "string")
        raise InvalidToken(f'oidc: parse username claims "{mapping.claim}": {what}')
    if mapping.claim == "email":
        _check_verified(claims.get("email_verified", True))
    return (mapping.prefix or "") + found


def _check_verified(verified: Any) -> None:
    """Refuses a mail address whose issuer does not say plainly that it is verified."""
    if verified is not None and not isinstance(verified, bool):
        why = mistaken(verified, "bool")
        raise InvalidToken(f"oidc: parse 'email_verified' claim: {why}")
    if not verified:
        raise InvalidToken("oidc: email not verified")


def _groups(compiled: Compiled, claims: Document) -> list[str]:
    mapping = compiled.settings.claim_mappings.groups
    if compiled.groups is not None:
        what = "group claim expression"
        return _texts(what, _value(what, compiled.groups, {CLAIMS: claims}))
    found = claims.get(mapping.claim) if mapping.claim else None
    listed = [found] if isinstance(found, str) else [] if found is None else found
    if not _is_texts(listed):
        why = mistaken(listed, "string")
        raise InvalidToken(f'oidc: parse groups claim "{mapping.claim}": {why}')
    return [(mapping.prefix or "") + one for one in listed]


def _uid(compiled: Compiled, claims: Document) -> str:
    if compiled.uid is not None:
        return _text("uid", compiled.uid, claims)
    claim = compiled.settings.claim_mappings.uid.claim
    if not claim:
        return ""
    found = claims.get(claim)
    if not isinstance(found, str):
        why = "claim not present" if found is None else mistaken(found, "string")
        raise InvalidToken(f'oidc: parse uid claim "{claim}": {why}')
    return found


def _extra(compiled: Compiled, claims: Document) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    if isinstance(id := claims.get("jti"), str) and id:
        found[CREDENTIAL] = (f"JTI={id}",)
    for key, program in compiled.extra:
        what = "extra claim expression"
        if values := _texts(f"{what}: {program.text}", _value(what, program, {CLAIMS: claims})):
            found[key] = tuple(values)
    return found


def _text(name: str, program: Program, claims: Document) -> str:
    """Returns the one text that an expression makes of claims."""
    what = f"{name} claim expression"
    found = _value(what, program, {CLAIMS: claims})
    if not isinstance(found, str):
        raise InvalidToken(f"oidc: error evaluating {what}: {what} must return a string")
    return found


def _texts(what: str, value: Any) -> list[str]:
    """Returns one text or several as a list; nothing and empty texts give none."""
    found = [value] if isinstance(value, str) else [] if value is None else value
    if not _is_texts(found):
        why = "expression must return a string or a list of strings"
        raise InvalidToken(f"oidc: error evaluating {what}: {why}")
    return [one for one in found if one]


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)


def _document(user: User) -> Document:
    extra = {key: list(values) for key, values in user.extra.items()}
    groups = list(user.groups)
    return {"username": user.name, "uid": user.uid, "groups": groups, "extra": extra}
