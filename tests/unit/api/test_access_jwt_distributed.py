"""Groups that a token leaves to others: they are asked, proven, and kept for a while."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop

from hooks import Clock, listening
from issuers import CLAIMS, NOW, Issuer, compiled, rsa_key, signed
from steersman.api.access.awaiting import Awaiting, remembering
from steersman.api.access.tokens import InvalidToken, encode
from steersman.api.tokens.distributed import KEPT_SECONDS, Distributed, named
from steersman.api.tokens.jwt import JWTTokens
from steersman.api.tokens.jwt_settings import ALGORITHMS
from steersman.api.tokens.key_set import KeySet
from steersman.model.kind import Document
from steersman.wire.message import Request, Response, User

UNEXPANDED = "oidc: could not expand distributed claims: "


class Teller(Issuer):
    """An issuer that tells groups too, to whom has the access token."""

    def __init__(self) -> None:
        super().__init__()
        self.told: Document = {"groups": ["a", "b"]}
        self.text: str | None = None
        self.said = 200
        self.asked_for: list[str | None] = []

    def handle(self, request: Request) -> Response:
        if request.path != "/groups":
            return super().handle(request)
        self.asked_for.append(request.headers.get("authorization"))
        claims = {"iss": self.url, "aud": "kubernetes", "exp": NOW + 60, **self.told}
        return Response((self.text or signed(claims)).encode(), self.said)

    def token(self, **more: Any) -> str:
        """Returns a token that leaves its groups to the teller."""
        source = {"endpoint": f"{self.url}/groups", "access_token": "f005ba11"}
        claims = {name: value for name, value in CLAIMS.items() if name != "groups"}
        distributed = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": source}}
        return signed({**claims, "iss": self.url, **distributed, **more})


def telling(tmp_path: Path, case: Callable[[Teller, JWTTokens, Clock], Awaitable[None]]) -> None:
    async def main() -> None:
        world, teller = Clock(), Teller()
        async with listening(tmp_path, world, teller.handle) as (port, bundle):
            teller.port = port
            authority = base64.b64decode(bundle).decode()
            groups = Distributed("groups", authority, ["kubernetes"], ALGORITHMS, world)
            keys = KeySet(teller.url, "", authority, world)
            one = compiled(issuer={"url": teller.url, "audiences": ["kubernetes"]})
            async with asyncio.timeout(30):
                await case(teller, JWTTokens(one, keys, lambda: NOW, groups=groups), world)

    uvloop.run(main())


async def user(tokens: JWTTokens, token: str) -> User | None:
    with remembering():
        while True:
            try:
                return tokens.user(token)
            except Awaiting as missing:
                await missing.fetch()


async def refused(tokens: JWTTokens, token: str) -> str:
    with pytest.raises(InvalidToken) as raised:
        await user(tokens, token)
    return str(raised.value).removeprefix(UNEXPANDED)


def test_groups_are_asked_for_with_the_access_token_and_kept_for_a_while(tmp_path: Path) -> None:
    async def case(teller: Teller, tokens: JWTTokens, clock: Clock) -> None:
        token = teller.token()
        assert await user(tokens, token) == User("oidc:jane", ("o:a", "o:b"))
        teller.told = {"groups": "c"}
        assert await user(tokens, token) == User("oidc:jane", ("o:a", "o:b"))
        assert teller.asked_for == ["Bearer f005ba11"]
        clock.passed += KEPT_SECONDS + 1
        assert await user(tokens, token) == User("oidc:jane", ("o:c",))

    telling(tmp_path, case)


def test_nobody_is_asked_where_the_token_names_its_groups_or_nobody_for_them(
    tmp_path: Path,
) -> None:
    async def case(teller: Teller, tokens: JWTTokens, _clock: Clock) -> None:
        for more in (
            {"groups": []},
            {"_claim_names": {"roles": "src1"}},
            {"_claim_sources": {"src1": {"JWT": "aggregated"}}},
            {"_claim_sources": {"src1": {}}},
        ):
            assert await user(tokens, teller.token(**more)) == User("oidc:jane")
        assert teller.asked_for == []
        open_to_all = {"src1": {"endpoint": f"{teller.url}/groups"}}
        assert await user(tokens, teller.token(_claim_sources=open_to_all)) == User(
            "oidc:jane", ("o:a", "o:b")
        )
        assert teller.asked_for == [None]

    telling(tmp_path, case)


def test_an_answer_that_is_not_proven_is_refused(tmp_path: Path) -> None:
    async def case(teller: Teller, tokens: JWTTokens, clock: Clock) -> None:
        place = f"{teller.url}/groups"
        unknown = f'getting untrusted issuer from endpoint {place} failed for claim "groups": '

        async def wrong(told: Document, text: str | None = None) -> str:
            teller.told, teller.text = told, text
            clock.passed += KEPT_SECONDS + 1
            return await refused(tokens, teller.token())

        proof = "verify distributed claim token: "
        assert await wrong({"exp": NOW - 1}) == (
            f"{proof}oidc: token is expired (Token Expiry: 2030-03-17 17:46:39 +0000 UTC)"
        )
        assert await wrong({"aud": "x"}) == (
            f'{proof}oidc: expected audience in ["kubernetes"] got ["x"]'
        )
        assert await wrong({}) == (
            f'jwt returned by distributed claim endpoint "{place}" did not contain claim: groups'
        )
        assert await wrong({}, "x") == f"{unknown}malformed token"
        assert await wrong({}, "a.b.c") == f"{unknown}error decoding token"
        head, _, mark = signed({"groups": ["a"]}).split(".")
        claims = {"iss": teller.url, "aud": "kubernetes", "exp": NOW + 60, "groups": ["root"]}
        forged = f"{head}.{encode(orjson.dumps(claims))}.{mark}"
        assert await wrong({}, forged) == (
            f"{proof}failed to verify signature: failed to verify id token signature"
        )
        told = await wrong({"iss": "https://localhost:1"})
        assert told.startswith("verifying untrusted issuer https://localhost:1 failed: ")

    telling(tmp_path, case)


def test_a_teller_that_fails_is_asked_again_by_the_next_request(tmp_path: Path) -> None:
    async def case(teller: Teller, tokens: JWTTokens, _clock: Clock) -> None:
        teller.said = 403
        told = 'while getting distributed claim "groups": '
        assert await refused(tokens, teller.token()) == (
            f"{told}error while getting distributed claim JWT: 403"
        )
        teller.said = 200
        assert await user(tokens, teller.token()) == User("oidc:jane", ("o:a", "o:b"))
        plain = {"src1": {"endpoint": "http://localhost/groups", "access_token": "f005ba11"}}
        said = await refused(tokens, teller.token(_claim_sources=plain))
        assert said == f"{told}http://localhost/groups is no address of https"
        gone = {"src1": {"endpoint": "https://localhost:1/groups", "access_token": "f005ba11"}}
        said = await refused(tokens, teller.token(_claim_sources=gone))
        assert said.startswith(told)
        assert "f005ba11" not in said

    telling(tmp_path, case)


def test_another_issuer_may_sign_the_answer_with_keys_of_its_own(tmp_path: Path) -> None:
    async def case(teller: Teller, tokens: JWTTokens, _clock: Clock) -> None:
        async with listening(tmp_path, Clock(), (other := Issuer()).handle) as (port, _bundle):
            other.port = port
            other.keys = [rsa_key()]
            teller.told = {"iss": other.url, "groups": ["c"]}
            assert await user(tokens, teller.token()) == User("oidc:jane", ("o:c",))
            assert other.asked == 1

    telling(tmp_path, case)


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        (
            {"_claim_names": 1},
            "oidc: error parsing distributed claim names: "
            "json: cannot unmarshal number into Go value of type map[string]string",
        ),
        (
            {"_claim_names": {"groups": 1}},
            "oidc: error parsing distributed claim names: "
            "json: cannot unmarshal number into Go value of type string",
        ),
        ({"_claim_names": {"groups": "a"}}, "oidc: no claim sources"),
        (
            {"_claim_names": {}, "_claim_sources": []},
            "oidc: could not parse claim sources: "
            "json: cannot unmarshal array into Go value of type map[string]oidc.endpoint",
        ),
        (
            {"_claim_names": {}, "_claim_sources": {"a": 1}},
            "oidc: could not parse claim sources: "
            "json: cannot unmarshal number into Go value of type oidc.endpoint",
        ),
        (
            {"_claim_names": {}, "_claim_sources": {"a": {"access_token": True}}},
            "oidc: could not parse claim sources: json: cannot unmarshal bool into "
            "Go struct field endpoint.access_token of type string",
        ),
        (
            {"_claim_names": {"groups": "b"}, "_claim_sources": {"a": {}}},
            "id token _claim_names contained a source b missing in _claims_sources",
        ),
    ],
)
def test_a_token_that_names_nobody_who_can_be_asked_is_refused(claims: Document, told: str) -> None:
    with pytest.raises(InvalidToken) as raised:
        named(claims, "groups")
    assert str(raised.value) == told


def test_answers_and_issuers_that_are_kept_are_bounded() -> None:
    from steersman.api.tokens import distributed

    groups = Distributed("groups", "", ["kubernetes"], ALGORITHMS, Clock())
    for number in range(distributed.MOST_ANSWERS + 5):
        groups._keep(("https://x", str(number)), "a")
    assert len(groups._answers) == distributed.MOST_ANSWERS
    assert ("https://x", "4") not in groups._answers
    assert ("https://x", "5") in groups._answers
    for number in range(distributed.MOST_ISSUERS + 2):
        groups._keys_of(f"https://{number}")
    assert list(groups._keys) == [
        f"https://{number}" for number in range(2, distributed.MOST_ISSUERS + 2)
    ]
