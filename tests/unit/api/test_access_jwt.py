"""Tokens of other issuers: keys, signatures, claims, and the user that is made of them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop
from cryptography.hazmat.primitives.asymmetric import rsa

from hooks import Clock, listening
from issuers import (
    CLAIMS,
    NO_STRING,
    NOW,
    URL,
    Issuer,
    compiled,
    curve_key,
    fetched,
    file,
    issuing,
    number,
    rsa_key,
    settings,
    signed,
)
from served import Served, serving
from steersman.api.access.awaiting import Awaiting
from steersman.api.access.settings import AccessSettings
from steersman.api.access.tokens import InvalidToken, encode
from steersman.api.tokens import jwt, jwt_settings
from steersman.api.tokens.jwt import JWTTokens
from steersman.api.tokens.jwt_expressions import Compiled
from steersman.api.tokens.jwt_verify import check_audience, check_times
from steersman.api.tokens.key_set import MOST_KEYS, REST_SECONDS, KeySet
from steersman.api.tokens.signatures import read_key
from steersman.model.errors import Unauthorized
from steersman.model.kind import Document
from steersman.wire.message import Peer, Request, Response, User
from steersman.world.real import RealWorld


def decide(one: Compiled, claims: Document, now: float) -> User:
    """Returns whom claims name whose signature is good."""
    check_times(claims, now)
    check_audience(one.settings.issuer.audiences, claims)
    return jwt.decide(one, claims)


def why(claims: Document, **more: Any) -> str:
    with pytest.raises(InvalidToken) as raised:
        decide(compiled(**more), claims, NOW)
    return str(raised.value)


def test_keys_are_fetched_once_and_a_token_names_its_user(tmp_path: Path) -> None:
    async def case(issuer: Issuer, tokens: JWTTokens, _keys: KeySet, _clock: Clock) -> None:
        claims = {**CLAIMS, "iss": issuer.url}
        assert await fetched(tokens, signed(claims)) == User("oidc:jane", ("o:a", "o:b"))
        assert tokens.user(signed(claims, "PS512")) is not None
        assert tokens.user(signed(claims, "ES384", "two")) is not None
        assert tokens.user(signed(claims, id="")) is not None
        assert issuer.asked == 1

    issuing(tmp_path, case)


def test_a_signature_that_is_not_the_keys_is_refused(tmp_path: Path) -> None:
    async def case(issuer: Issuer, tokens: JWTTokens, _keys: KeySet, _clock: Clock) -> None:
        claims = {**CLAIMS, "iss": issuer.url}
        good = signed(claims)
        assert await fetched(tokens, good) is not None
        head, _, mark = good.split(".")
        other = encode(orjson.dumps({**claims, "sub": "root"}))
        curved, _, point = signed(claims, "ES384", "two").split(".")
        for wrong in (
            f"{head}.{other}.{mark}",
            f"{curved}.{other}.{point}",
            f"{good[:-8]}AAAAAAAA",
            signed(claims, "RS256", "two"),
            signed(claims, "ES384", "one"),
            signed(claims, "ES256", "two"),
            signed(claims, "none"),
            signed(claims, "HS256"),
        ):
            with pytest.raises(InvalidToken):
                tokens.user(wrong)

    issuing(tmp_path, case)


def test_a_key_that_is_not_there_is_looked_for_again_but_not_often(tmp_path: Path) -> None:
    async def case(issuer: Issuer, tokens: JWTTokens, keys: KeySet, clock: Clock) -> None:
        claims = {**CLAIMS, "iss": issuer.url}
        assert await fetched(tokens, signed(claims)) is not None
        issuer.keys = [rsa_key("new")]
        for _ in range(3):
            with pytest.raises(InvalidToken):
                tokens.user(signed(claims, id="new"))
        clock.passed = REST_SECONDS + 1
        await asyncio.gather(keys.fetch(), keys.fetch())
        assert issuer.asked == 2
        assert tokens.user(signed(claims, id="new")) is not None
        with pytest.raises(InvalidToken):
            tokens.user(signed(claims, id="one"))

    issuing(tmp_path, case)


def test_an_issuer_that_fails_is_left_alone_and_keys_are_kept(tmp_path: Path) -> None:
    async def case(issuer: Issuer, tokens: JWTTokens, keys: KeySet, clock: Clock) -> None:
        claims = {**CLAIMS, "iss": issuer.url}
        issuer.status = 500
        with pytest.raises(InvalidToken) as raised:
            await fetched(tokens, signed(claims))
        assert str(raised.value).startswith("oidc: authenticator not initialized: https://")
        issuer.status, issuer.issuer = 200, "https://other"
        clock.passed += REST_SECONDS + 1
        with pytest.raises(InvalidToken, match="the provider says that it is 'https://other'"):
            await fetched(tokens, signed(claims))
        issuer.issuer = ""
        clock.passed += REST_SECONDS + 1
        assert await fetched(tokens, signed(claims)) is not None
        issuer.status = 500
        clock.passed += REST_SECONDS + 1
        await keys.fetch()
        assert tokens.user(signed(claims)) is not None

    issuing(tmp_path, case)


def test_tokens_of_others_are_left_to_others() -> None:
    tokens = JWTTokens(compiled(), KeySet(URL, "", "", RealWorld()), lambda: NOW)
    long = signed({**CLAIMS, "more": "x" * 20_000})
    elsewhere = signed({**CLAIMS, "iss": "https://other"})
    for other in ("x", "a.b.c", "a.b", f"{signed(CLAIMS)}.x", elsewhere, long, "x" * 20_000):
        assert tokens.user(other) is None


def test_a_token_whose_header_cannot_be_is_refused_without_asking_for_keys() -> None:
    tokens = JWTTokens(compiled(), KeySet(URL, "", "", RealWorld()), lambda: NOW)
    _, claims, signature = signed(CLAIMS).split(".")
    for header in {"alg": "HS256", "kid": "one"}, {"kid": "one"}, {"alg": "RS256", "kid": 1}:
        text = "^oidc: verify token: oidc: id token signed with unsupported"
        with pytest.raises(InvalidToken, match=text):
            tokens.user(f"{encode(orjson.dumps(header))}.{claims}.{signature}")


@pytest.mark.parametrize(
    ("provider", "keys", "told"),
    [
        ({"jwks_uri": None}, {"keys": []}, "the provider does not say where its keys are"),
        ({"jwks_uri": "http://x"}, {"keys": []}, "the provider does not say where its keys are"),
        ({}, {}, "the provider's keys are no list of keys"),
        ({}, {"keys": {}}, "the provider's keys are no list of keys"),
        ({}, {"keys": [rsa_key()] * 101}, "the provider's keys are no list of keys"),
        ({}, [], "/keys answers no object"),
    ],
)
def test_a_provider_that_says_nothing_of_use_is_told(
    tmp_path: Path, provider: Document, keys: Any, told: str
) -> None:
    async def case(issuer: Issuer, tokens: JWTTokens, _keys: KeySet, _clock: Clock) -> None:
        issuer.provider, issuer.answered = provider, keys
        with pytest.raises(InvalidToken) as raised:
            await fetched(tokens, signed({**CLAIMS, "iss": issuer.url}))
        assert str(raised.value).startswith("oidc: authenticator not initialized: ")
        assert str(raised.value).endswith(told)

    issuing(tmp_path, case)


def test_an_issuer_may_be_discovered_elsewhere(tmp_path: Path) -> None:
    async def case(issuer: Issuer, tokens: JWTTokens, keys: KeySet, clock: Clock) -> None:
        issuer.issuer = URL
        found = f"{issuer.url}/.well-known/openid-configuration"
        elsewhere = KeySet(URL, found, keys._authority, clock)
        await elsewhere.fetch()
        assert [key.id for key in elsewhere.candidates("")] == ["one", "two"]
        slash = KeySet(f"{issuer.url}/", "", keys._authority, clock)
        issuer.issuer = f"{issuer.url}/"
        await slash.fetch()
        assert [key.id for key in slash.candidates("one")] == ["one"]

    issuing(tmp_path, case)


def test_as_many_keys_as_may_be_are_read(tmp_path: Path) -> None:
    async def case(issuer: Issuer, tokens: JWTTokens, _keys: KeySet, _clock: Clock) -> None:
        issuer.keys = [rsa_key()] * MOST_KEYS
        assert await fetched(tokens, signed({**CLAIMS, "iss": issuer.url})) is not None

    issuing(tmp_path, case)


def test_keys_that_cannot_be_are_refused_and_others_passed_over() -> None:
    assert read_key({"kty": "oct"}) is None
    assert read_key({**curve_key(), "crv": "secp256k1"}) is None
    assert read_key({**curve_key(), "kty": "OKP"}) is None
    assert read_key({**rsa_key(), "use": "enc"}) is None
    assert read_key(1) is None
    short = rsa.generate_private_key(65537, 1024)
    off = {**curve_key(), "x": number(5)}
    for bad in (rsa_key(key=short), off, {**rsa_key(), "n": 1}, {**rsa_key(), "n": "%"}):
        with pytest.raises(ValueError, match=r"."):
            read_key(bad)
    with pytest.raises(ValueError, match="n is no number of a key"):
        read_key({**rsa_key(), "n": "B" * 2052})


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"exp": None},
            "oidc: token is expired (Token Expiry: 0001-01-01 00:00:00 +0000 UTC)",
        ),
        (
            {"exp": True},
            "oidc: failed to unmarshal claims: "
            "json: cannot unmarshal bool into Go value of type json.Number",
        ),
        (
            {"nbf": "soon"},
            "oidc: failed to unmarshal claims: "
            "json: cannot unmarshal string into Go value of type json.Number",
        ),
        (
            {"exp": NOW - 1},
            "oidc: token is expired (Token Expiry: 2030-03-17 17:46:39 +0000 UTC)",
        ),
        ({"nbf": NOW + 301}, "oidc: current time before the nbf (not before) time"),
        ({"aud": "other"}, 'oidc: expected audience in ["kubernetes"] got ["other"]'),
        ({"aud": [1]}, 'oidc: expected audience in ["kubernetes"] got []'),
        ({"sub": None}, 'oidc: parse username claims "sub": claim not present'),
        ({"sub": 5}, f'oidc: parse username claims "sub": {NO_STRING.format("number")}'),
        ({"groups": 5}, f'oidc: parse groups claim "groups": {NO_STRING.format("number")}'),
        ({"groups": ["a", 5]}, f'oidc: parse groups claim "groups": {NO_STRING.format("array")}'),
    ],
)
def test_claims_that_do_not_name_a_current_user_are_refused(changed: Document, told: str) -> None:
    assert why({**CLAIMS, **changed}) == told


def test_the_audiences_that_are_expected_are_told_in_order() -> None:
    issuer = {"issuer": {"url": URL, "audiences": ["b", "a"], "audienceMatchPolicy": "MatchAny"}}
    told = 'oidc: expected audience in ["a" "b"] got ["other"]'
    assert why({**CLAIMS, "aud": "other"}, **issuer) == told


def test_claims_may_be_a_little_early_for_several_and_of_one_group() -> None:
    claims = {**CLAIMS, "nbf": NOW + 300, "exp": NOW, "aud": ["x", "kubernetes"], "groups": "a"}
    assert decide(compiled(), claims, NOW) == User("oidc:jane", ("o:a",))
    assert decide(compiled(), {**CLAIMS, "groups": None}, NOW).groups == ()


def test_a_mail_address_must_be_verified_where_its_issuer_says_whether_it_is() -> None:
    mapped = {"claimMappings": {"username": {"claim": "email", "prefix": ""}}}
    claims = {**CLAIMS, "email": "jane@example.com"}
    assert decide(compiled(**mapped), claims, NOW).name == "jane@example.com"
    assert decide(compiled(**mapped), {**claims, "email_verified": True}, NOW).name
    assert why({**claims, "email_verified": False}, **mapped) == "oidc: email not verified"
    assert why({**claims, "email_verified": None}, **mapped) == "oidc: email not verified"
    for unclear, sort in (("false", "string"), ("true", "string"), (1, "number")):
        what = f"json: cannot unmarshal {sort} into Go value of type bool"
        told = f"oidc: parse 'email_verified' claim: {what}"
        assert why({**claims, "email_verified": unclear}, **mapped) == told


def test_rules_about_claims_hold() -> None:
    rules = [{"claim": "hd", "requiredValue": "example.com"}]
    assert decide(compiled(claimValidationRules=rules), CLAIMS, NOW)
    told = "oidc: required claim hd not present in ID token"
    without = {key: value for key, value in CLAIMS.items() if key != "hd"}
    assert why(without, claimValidationRules=rules) == told
    told = "oidc: required claim hd value does not match. Got = {}, want = example.com"
    for hd, shown in ("x", "x"), (None, ""):
        assert why({**CLAIMS, "hd": hd}, claimValidationRules=rules) == told.format(shown)
    told = f"oidc: parse claim hd: {NO_STRING.format('number')}"
    assert why({**CLAIMS, "hd": 5}, claimValidationRules=rules) == told
    rules = [{"expression": (text := "claims.exp - 1900000000 <= 60"), "message": "too long"}]
    assert decide(compiled(claimValidationRules=rules), {**CLAIMS, "exp": int(NOW) + 60}, NOW)
    told = f"validation expression '{text}' failed: too long"
    assert (
        why({**CLAIMS, "exp": int(NOW) + 61}, claimValidationRules=rules)
        == f"oidc: error evaluating claim validation expression: {told}"
    )


def test_expressions_make_the_user_and_rules_about_it_hold() -> None:
    mapped = {
        "username": {"expression": "'x-' + claims.sub"},
        "groups": {"expression": "claims.groups.filter(one, one != 'b')"},
        "uid": {"expression": "claims.hd"},
        "extra": [
            {"key": "example.com/a", "valueExpression": "claims.sub"},
            {"key": "example.com/b", "valueExpression": "''"},
        ],
    }
    rules = [{"expression": (text := "!user.username.startsWith('system:')"), "message": "no"}]
    more = {"claimMappings": mapped, "userValidationRules": rules}
    found = decide(compiled(**more), CLAIMS, NOW)
    assert found == User("x-jane", ("a",), "example.com", {"example.com/a": ("jane",)})
    mapped["username"] = {"expression": "claims.sub"}
    told = f"oidc: error evaluating user info validation rule: validation expression '{text}'"
    assert why({**CLAIMS, "sub": "system:x"}, **more) == f"{told} failed: no"


def test_claims_that_are_not_there_make_a_user_without() -> None:
    plain = {"username": {"claim": "sub", "prefix": ""}}
    mapped = {**plain, "groups": {"claim": "groups", "prefix": ""}, "uid": {"claim": "hd"}}
    assert decide(compiled(claimMappings=plain), CLAIMS, NOW) == User("jane")
    found = decide(compiled(claimMappings=mapped), {**CLAIMS, "groups": ["", "a"]}, NOW)
    assert found == User("jane", ("", "a"), "example.com")
    for hd, told in (None, "claim not present"), (5, NO_STRING.format("number")):
        assert (
            why({**CLAIMS, "hd": hd}, claimMappings=mapped) == f'oidc: parse uid claim "hd": {told}'
        )


def test_a_user_says_by_which_token_it_came() -> None:
    name = "authentication.kubernetes.io/credential-id"
    assert decide(compiled(), {**CLAIMS, "jti": "7"}, NOW).extra == {name: ("JTI=7",)}
    for none in ("", 7, None):
        assert decide(compiled(), {**CLAIMS, "jti": none}, NOW).extra == {}


@pytest.mark.parametrize(
    ("place", "expression", "told"),
    [
        (
            "username",
            "claims.other",
            "error evaluating username claim expression: "
            "expression 'claims.other' resulted in error: no such key: other",
        ),
        (
            "username",
            "claims.exp",
            "error evaluating username claim expression: "
            "username claim expression must return a string",
        ),
        ("username", "''", "empty username via CEL expression is not allowed"),
        (
            "uid",
            "claims.groups",
            "error evaluating uid claim expression: uid claim expression must return a string",
        ),
        (
            "groups",
            "claims.exp",
            "error evaluating group claim expression: "
            "expression must return a string or a list of strings",
        ),
        (
            "groups",
            "['a', claims.exp]",
            "error evaluating group claim expression: "
            "expression must return a string or a list of strings",
        ),
    ],
)
def test_an_expression_that_makes_no_user_is_told(place: str, expression: str, told: str) -> None:
    mapped = {"username": {"claim": "sub", "prefix": ""}, place: {"expression": expression}}
    assert why(CLAIMS, claimMappings=mapped) == f"oidc: {told}"


def test_an_expression_gives_no_empty_groups_and_one_text_is_one_group() -> None:
    mapped: Document = {"username": {"claim": "sub", "prefix": ""}}
    for expression, groups in (
        ("['', 'a']", ("a",)),
        ("claims.sub", ("jane",)),
        ("''", ()),
        ("null", ()),
    ):
        mapped["groups"] = {"expression": expression}
        assert decide(compiled(claimMappings=mapped), CLAIMS, NOW).groups == groups


def test_many_issuers_and_audiences_may_be_named() -> None:
    several = {"audiences": ["a", "b"], "audienceMatchPolicy": "MatchAny"}
    many = [settings(issuer={"url": f"https://x/{at}", **several}) for at in range(64)]
    found = jwt_settings.parse(file(*many))
    assert len(found.jwt) == 64
    claims = {**CLAIMS, "aud": ["c", "b"]}
    assert decide(Compiled(found.jwt[0]), claims, NOW).name == "oidc:jane"
    beta = {**file(settings()), "apiVersion": "apiserver.config.k8s.io/v1beta1"}
    assert jwt_settings.parse(beta).jwt


REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


def trusting(tmp_path: Path, case: Callable[[Issuer, Served], Any], **more: Any) -> None:
    """Runs a case with a server that trusts an issuer."""

    async def main() -> None:
        world, issuer = RealWorld(), Issuer()
        async with listening(tmp_path, world, issuer.handle) as (port, bundle):
            issuer.port = port
            authority = base64.b64decode(bundle).decode()
            named = {
                "url": issuer.url,
                "audiences": ["kubernetes"],
                "certificateAuthority": authority,
            }
            found = jwt_settings.parse(file(settings(issuer=named), **more))
            async with (
                asyncio.timeout(30),
                serving(world, access=AccessSettings(authentication=found)) as api,
            ):
                await case(issuer, api)

    uvloop.run(main())


def test_a_request_waits_for_the_keys_of_its_issuer_and_the_next_does_not(tmp_path: Path) -> None:
    async def case(issuer: Issuer, api: Served) -> None:
        token = signed({**CLAIMS, "iss": issuer.url})

        def sent() -> Request:
            headers = {"authorization": f"Bearer {token}"}
            return Request("GET", "/version", headers=headers, peer=Peer())

        first = api.assembly.api.handle(sent())
        assert not isinstance(first, Response)
        assert (await first).status == 200
        second = api.assembly.api.handle(sent())
        assert isinstance(second, Response)
        assert issuer.asked == 1

    trusting(tmp_path, case)


def test_a_review_waits_for_the_keys_and_says_what_is_wrong(tmp_path: Path) -> None:
    async def case(issuer: Issuer, api: Served) -> None:
        spec = {"token": signed({**CLAIMS, "iss": issuer.url})}
        status = (await api.post(REVIEWS, {"spec": spec})).ok()["status"]
        groups = ["o:a", "o:b", "system:authenticated"]
        assert status["user"] == {"username": "oidc:jane", "groups": groups}
        spec = {"token": signed({**CLAIMS, "iss": issuer.url, "aud": "x"})}
        status = (await api.post(REVIEWS, {"spec": spec})).ok()["status"]
        told = 'oidc: verify token: oidc: expected audience in ["kubernetes"] got ["x"]'
        assert status["error"] == f"[invalid bearer token, {told}]"

    trusting(tmp_path, case)


def test_only_chosen_paths_may_be_asked_anonymously(tmp_path: Path) -> None:
    def ask(api: Served, path: str) -> User:
        return api.assembly.access.identify(Request("GET", path, peer=Peer()))

    async def case(_issuer: Issuer, api: Served) -> None:
        assert ask(api, "/livez").name == "system:anonymous"
        for path in ("/livez/ping", "/version"):
            with pytest.raises(Unauthorized):
                ask(api, path)

    async def nobody(_issuer: Issuer, api: Served) -> None:
        with pytest.raises(Unauthorized):
            ask(api, "/livez")

    async def everybody(_issuer: Issuer, api: Served) -> None:
        assert ask(api, "/version").name == "system:anonymous"

    one = {"enabled": True, "conditions": [{"path": "/livez"}]}
    trusting(tmp_path / "one", case, anonymous=one)
    trusting(tmp_path / "none", nobody, anonymous={"enabled": False})
    trusting(tmp_path / "all", everybody, anonymous={"enabled": True})


def test_an_issuer_that_may_sign_one_way_does_not_sign_another() -> None:
    keys = KeySet(URL, "", "", RealWorld())
    tokens = JWTTokens(compiled(), keys, lambda: NOW, ("RS256", "ES256"))
    with pytest.raises(InvalidToken) as raised:
        tokens.user(signed(CLAIMS, "PS512"))
    assert str(raised.value) == (
        "oidc: verify token: oidc: id token signed with unsupported algorithm, "
        'expected ["RS256" "ES256"] got "PS512"'
    )
    with pytest.raises(Awaiting):  # its keys are not here yet
        tokens.user(signed(CLAIMS))
