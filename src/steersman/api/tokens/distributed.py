"""Groups that a token does not name itself: it says who does, and with which access token.

Follows OpenID Connect Core 1.0, 5.6.2 (distributed claims) and apiserver's
plugin/pkg/authenticator/token/oidc with its messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from steersman.api.access.authorization import quoted
from steersman.api.access.awaiting import Awaiting, fetched
from steersman.api.access.tokens import InvalidToken
from steersman.api.hooks.client import Unanswered
from steersman.api.tokens.jwt_verify import read, verify
from steersman.api.tokens.key_set import FETCH_SECONDS, KeySet, NoKeys, get
from steersman.client.errors import Unreachable
from steersman.model.kind import Document
from steersman.model.mistakes import mistaken
from steersman.world.interface import World

NAMES: Final = "_claim_names"
SOURCES: Final = "_claim_sources"
_PARTS: Final = ("endpoint", "access_token", "JWT")
_NAMES_WRONG: Final = "oidc: error parsing distributed claim names"
_SOURCES_WRONG: Final = "oidc: could not parse claim sources"
# How long an answer stands for the same access token: a token's user is kept as long upstream
KEPT_SECONDS: Final = 10.0
MOST_ANSWERS: Final = 1024
# Who may sign the answers: issuers that a token's issuer names; the oldest gives way
MOST_ISSUERS: Final = 16

# Whom to ask, and with what
Source = tuple[str, str]


class Distributed:
    """Finds one claim of the tokens of an issuer where they name others for it."""

    def __init__(
        self,
        claim: str,
        authority: str,
        audiences: Sequence[str],
        algorithms: Sequence[str],
        world: World,
    ) -> None:
        self._claim = claim
        self._authority = authority
        self._audiences = audiences
        self._algorithms = algorithms
        self._world = world
        self._answers: dict[Source, tuple[float, str]] = {}
        self._keys: dict[str, KeySet] = {}

    def expanded(self, claims: Document, now: float) -> Document:
        """Returns proven claims with the one that others tell, at a real time in seconds.

        Raises InvalidToken, and Awaiting before the others have been asked.
        """
        if self._claim in claims or (source := named(claims, self._claim)) is None:
            return claims
        url, _access = source
        token = read(text := self._answer(source))
        if token is None:
            parts = len(text.split("."))
            what = "malformed token" if parts != 3 else "error decoding token"
            place = f"{url} failed for claim {quoted(self._claim)}"
            raise InvalidToken(f"getting untrusted issuer from endpoint {place}: {what}")
        try:
            keys = self._keys_of(token.issuer)
            verify(token, keys, self._algorithms, self._audiences, now)
        except NoKeys as error:
            issuer = token.issuer
            raise InvalidToken(f"verifying untrusted issuer {issuer} failed: {error}") from None
        except InvalidToken as error:
            raise InvalidToken(f"verify distributed claim token: {error}") from None
        if self._claim not in token.claims:
            place = f"jwt returned by distributed claim endpoint {quoted(url)}"
            raise InvalidToken(f"{place} did not contain claim: {self._claim}")
        return {**claims, self._claim: token.claims[self._claim]}

    def _answer(self, source: Source) -> str:
        held = self._answers.get(source)
        if held is not None and held[0] > self._world.monotonic():
            return held[1]
        wrong = fetched().pop((self, source), None)
        if wrong is None:
            raise Awaiting(partial(self._ask, source))
        raise InvalidToken(f"while getting distributed claim {quoted(self._claim)}: {wrong}")

    async def _ask(self, source: Source) -> None:
        url, access = source
        headers = {"authorization": f"Bearer {access}"} if access else {}
        try:
            async with self._world.wire_timeout(FETCH_SECONDS):
                status, body = await get(url, self._authority, headers)
            if status // 100 != 2:
                raise ValueError(f"error while getting distributed claim JWT: {status}")
            self._keep(source, body.decode())
        except (TimeoutError, Unreachable, Unanswered, ValueError) as error:
            fetched()[self, source] = str(error) or "no answer in time"

    def _keep(self, source: Source, answer: str) -> None:
        self._answers.pop(source, None)
        if len(self._answers) >= MOST_ANSWERS:
            del self._answers[next(iter(self._answers))]
        self._answers[source] = (self._world.monotonic() + KEPT_SECONDS, answer)

    def _keys_of(self, issuer: str) -> KeySet:
        if (held := self._keys.get(issuer)) is None:
            if len(self._keys) >= MOST_ISSUERS:
                del self._keys[next(iter(self._keys))]
            held = self._keys[issuer] = KeySet(issuer, "", self._authority, self._world)
        return held


def named(claims: Document, claim: str) -> Source | None:
    """Returns whom to ask for a claim, None where nobody is named; raises InvalidToken."""
    if NAMES not in claims:
        return None
    names = _object(claims[NAMES], "map[string]string", _NAMES_WRONG)
    for name in names.values():
        _text(name, "Go value", _NAMES_WRONG)
    if SOURCES not in claims:
        raise InvalidToken("oidc: no claim sources")
    sources = {}
    listed = _object(claims[SOURCES], "map[string]oidc.endpoint", _SOURCES_WRONG)
    for name, one in listed.items():
        given = _object(one, "oidc.endpoint", _SOURCES_WRONG)
        sources[name] = [
            _text(given.get(part), f"Go struct field endpoint.{part}", _SOURCES_WRONG)
            for part in _PARTS
        ]
    if (name := names.get(claim)) is None:
        return None
    if (found := sources.get(name)) is None:
        missing = f"source {name} missing in _claims_sources"
        raise InvalidToken(f"id token _claim_names contained a {missing}")
    url, access, _aggregated = found
    return (url, access) if url else None


def _object(value: Any, wanted: str, wrong: str) -> Document:
    if isinstance(value, dict):
        return value
    raise InvalidToken(f"{wrong}: {mistaken(value, wanted)}")


def _text(value: Any, place: str, wrong: str) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise InvalidToken(f"{wrong}: {mistaken(value, 'string', place)}")
