"""A signed token of an issuer: what it says, and the proof that its issuer says so, now, for us.

Follows go-oidc's Verify with its messages, and apiserver's plugin/pkg/authenticator/token/oidc for
audiences.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from steersman.api.access.authorization import quoted, quoted_list
from steersman.api.access.tokens import MAX_TOKEN_BYTES, InvalidToken, decode, decode_object
from steersman.api.tokens.key_set import BAD_SIGNATURE, KeySet
from steersman.model.kind import Document
from steersman.model.mistakes import mistaken

# go-oidc's tolerance for tokens that are not valid yet
NOT_BEFORE_LEEWAY_SECONDS: Final = 300
_NEVER: Final = "0001-01-01 00:00:00 +0000 UTC"
_EARLY: Final = "oidc: current time before the nbf (not before) time"


class Signed(NamedTuple):
    """The parts of a token, not proven yet; `data` is what was signed."""

    header: Document
    claims: Document
    data: bytes
    signature: str

    @property
    def issuer(self) -> str:
        """Who is said to have signed it."""
        found = self.claims.get("iss")
        return found if isinstance(found, str) else ""


def read(token: str) -> Signed | None:
    """Returns the parts of a token, None where it is none."""
    if len(token) > MAX_TOKEN_BYTES or token.count(".") != 2:
        return None
    signed, _, signature = token.rpartition(".")
    try:
        header, claims = (decode_object(part) for part in signed.split("."))
    except InvalidToken:
        return None
    return Signed(header, claims, signed.encode(), signature)


def verify(
    token: Signed, keys: KeySet, algorithms: Sequence[str], audiences: Sequence[str], now: float
) -> None:
    """Raises InvalidToken unless a token is proven, and Awaiting while keys are to be fetched."""
    algorithm, id = str(token.header.get("alg") or ""), token.header.get("kid") or ""
    if algorithm not in algorithms or not isinstance(id, str):
        wanted, got = quoted_list(algorithms), quoted(algorithm)
        problem = f"id token signed with unsupported algorithm, expected {wanted} got {got}"
        raise InvalidToken(f"oidc: {problem}")
    raw = decode(token.signature)
    if not any(key.verify(algorithm, raw, token.data) for key in keys.candidates(id)):
        raise InvalidToken(BAD_SIGNATURE)
    check_times(token.claims, now)
    check_audience(audiences, token.claims)


def check_times(claims: Document, now: float) -> None:
    """Refuses a token whose time is over or has not come; raises InvalidToken."""
    expires, begins = _time(claims, "exp"), _time(claims, "nbf")
    if expires is None or expires < now:
        shown = _NEVER
        if expires is not None:
            shown = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
        raise InvalidToken(f"oidc: token is expired (Token Expiry: {shown})")
    if begins is not None and begins > now + NOT_BEFORE_LEEWAY_SECONDS:
        raise InvalidToken(_EARLY)


def _time(claims: Document, name: str) -> float | None:
    found: Any = claims.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 2**40:
        what = mistaken(found, "json.Number")
        raise InvalidToken(f"oidc: failed to unmarshal claims: {what}")
    return found


def check_audience(wanted: Sequence[str], claims: Document) -> None:
    """Refuses a token that is for nobody here; raises InvalidToken."""
    given = claims.get("aud")
    has = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    has = [one for one in has if isinstance(one, str)]
    if not set(has) & set(wanted):
        expected, got = quoted_list(sorted(wanted)), quoted_list(has)
        raise InvalidToken(f"oidc: expected audience in {expected} got {got}")
