"""Tokens of other issuers (OIDC): proven by their keys, made into users by the configuration.

Follows apiserver's plugin/pkg/authenticator/token/oidc with its messages. Distributed claims are
not followed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from steersman.api.access.authorization import quoted, quoted_list
from steersman.api.access.tokens import (
    CREDENTIAL,
    MAX_TOKEN_BYTES,
    InvalidToken,
    decode,
    decode_object,
)
from steersman.api.tokens.jwt_settings import ALGORITHMS, JWT
from steersman.api.tokens.key_set import KeySet
from steersman.cel.environment import Environment, Program, WrongType
from steersman.cel.errors import BudgetExceeded, CompileError, EvaluationError
from steersman.cel.types import BOOL, DYN, LIST, NULL, STRING, list_of, map_of
from steersman.model.kind import Document
from steersman.model.mistakes import sort_of
from steersman.wire.message import User

# go-oidc's tolerance for tokens that are not valid yet
NOT_BEFORE_LEEWAY_SECONDS: Final = 300
_EARLY: Final = "oidc: verify token: oidc: current time before the nbf (not before) time"
CLAIMS: Final = "claims"
USER: Final = "user"
# What upstream calls the two sorts of rules where one does not hold
CLAIM_RULE: Final = "claim validation expression"
USER_RULE: Final = "user info validation rule"


class Compiled:
    """A configuration of one issuer with its expressions; raises ValueError where one is none."""

    def __init__(self, settings: JWT) -> None:
        self.settings = settings
        self._claims = Environment({CLAIMS: map_of(STRING, DYN)})
        self._user = Environment({USER: DYN})
        mappings = settings.claim_mappings
        self.username = self._program(mappings.username.expression, STRING, DYN)
        several = (STRING, list_of(STRING), list_of(DYN), LIST, DYN, NULL)
        self.groups = self._program(mappings.groups.expression, *several)
        self.uid = self._program(mappings.uid.expression, STRING, DYN)
        self.extra = [
            (one.key, self._program(one.value_expression, *several)) for one in mappings.extra
        ]
        self.claim_rules = [
            (rule, self._program(rule.expression, BOOL)) for rule in settings.claim_validation_rules
        ]
        self.user_rules = [
            (rule, _compile(self._user, rule.expression, BOOL))
            for rule in settings.user_validation_rules
        ]

    def _program(self, text: str, *results: Any) -> Program | None:
        return _compile(self._claims, text, *results) if text else None


def _compile(environment: Environment, text: str, *results: Any) -> Program:
    try:
        return environment.compile(text, *results)
    except (CompileError, WrongType) as error:
        raise ValueError(f"expression {text!r}: {error}") from None


class JWTTokens:
    """Knows the tokens of one issuer; see `bearers.Knows`."""

    def __init__(
        self,
        compiled: Compiled,
        keys: KeySet,
        wall: Callable[[], float],
        algorithms: Sequence[str] = ALGORITHMS,
    ) -> None:
        self._compiled = compiled
        self._algorithms = algorithms
        self._keys = keys
        self._wall = wall

    def user(self, token: str) -> User | None:
        """Returns whom a token names, None for one of another issuer.

        Raises InvalidToken, and Awaiting while the issuer's keys are to be fetched.
        """
        if len(token) > MAX_TOKEN_BYTES or token.count(".") != 2:
            return None
        signed, _, signature = token.rpartition(".")
        try:
            header, claims = (decode_object(part) for part in signed.split("."))
        except InvalidToken:
            return None
        if claims.get("iss") != self._compiled.settings.issuer.url:
            return None
        algorithm, id = str(header.get("alg") or ""), header.get("kid") or ""
        if algorithm not in self._algorithms or not isinstance(id, str):
            wanted, got = quoted_list(self._algorithms), quoted(algorithm)
            problem = f"id token signed with unsupported algorithm, expected {wanted} got {got}"
            raise InvalidToken(f"oidc: verify token: oidc: {problem}")
        raw, data = decode(signature), signed.encode()
        if not any(key.verify(algorithm, raw, data) for key in self._keys.candidates(id)):
            raise InvalidToken("failed to verify signature: failed to verify id token signature")
        return decide(self._compiled, claims, self._wall())


def decide(compiled: Compiled, claims: Document, now: float) -> User:
    """Returns whom proven claims name; raises InvalidToken."""
    check_times(claims, now)
    check_audience(compiled.settings.issuer.audiences, claims)
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


def check_times(claims: Document, now: float) -> None:
    """Refuses a token whose time is over or has not come; raises InvalidToken."""
    expires: Any = claims.get("exp")
    begins: Any = claims.get("nbf")
    if not _is_time(expires):
        raise InvalidToken("oidc: token has no expiry")
    if expires < now:
        shown = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
        raise InvalidToken(f"oidc: verify token: oidc: token is expired (Token Expiry: {shown})")
    if begins is not None and (not _is_time(begins) or begins > now + NOT_BEFORE_LEEWAY_SECONDS):
        raise InvalidToken(_EARLY)


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**40


def check_audience(wanted: Sequence[str], claims: Document) -> None:
    """Refuses a token that is for nobody here; raises InvalidToken."""
    given = claims.get("aud")
    has = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    has = [one for one in has if isinstance(one, str)]
    if not set(has) & set(wanted):
        expected, got = quoted_list(wanted), quoted_list(has)
        raise InvalidToken(f"oidc: expected audience in {expected} got {got}")


def _require_claim(claims: Document, name: str, wanted: str) -> None:
    if name not in claims:
        raise InvalidToken(f"oidc: required claim {name} not present in ID token")
    found = "" if claims[name] is None else claims[name]
    if not isinstance(found, str):
        raise InvalidToken(f"oidc: parse claim {name}: {_mistaken(found, 'string')}")
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
        what = "claim not present" if found is None else _mistaken(found, "string")
        raise InvalidToken(f'oidc: parse username claims "{mapping.claim}": {what}')
    if mapping.claim == "email":
        _check_verified(claims.get("email_verified", True))
    return (mapping.prefix or "") + found


def _check_verified(verified: Any) -> None:
    """Refuses a mail address whose issuer does not say plainly that it is verified."""
    if verified is not None and not isinstance(verified, bool):
        why = _mistaken(verified, "bool")
        raise InvalidToken(f"oidc: parse 'email_verified' claim: {why}")
    if not verified:
        raise InvalidToken("oidc: email not verified")


def _mistaken(value: Any, wanted: str) -> str:
    """Says in the words of Go's decoder that a claim is of another type."""
    return f"json: cannot unmarshal {sort_of(value)} into Go value of type {wanted}"


def _groups(compiled: Compiled, claims: Document) -> list[str]:
    mapping = compiled.settings.claim_mappings.groups
    if compiled.groups is not None:
        what = "group claim expression"
        return _texts(what, _value(what, compiled.groups, {CLAIMS: claims}))
    found = claims.get(mapping.claim) if mapping.claim else None
    listed = [found] if isinstance(found, str) else [] if found is None else found
    if not _is_texts(listed):
        why = _mistaken(listed, "string")
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
        why = "claim not present" if found is None else _mistaken(found, "string")
        raise InvalidToken(f'oidc: parse uid claim "{claim}": {why}')
    return found


def _extra(compiled: Compiled, claims: Document) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    if isinstance(id := claims.get("jti"), str) and id:
        found[CREDENTIAL] = (f"JTI={id}",)
    for key, program in compiled.extra:
        if program is not None:
            what = "extra claim expression"
            if values := _texts(what, _value(what, program, {CLAIMS: claims})):
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
