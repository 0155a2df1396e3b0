"""Tokens that are not the server's own: of a file, of Secrets, of machines that join."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from test_access_tokens import ACCOUNT, Cluster

from served import Served, served
from steersman.api.access.tokens import ISSUER, InvalidToken
from steersman.api.tokens import bootstrap_tokens, legacy_tokens, legacy_tracking, token_file
from steersman.api.tokens.bearers import Bearers, authenticated
from steersman.api.tokens.legacy_tokens import LegacyTokens
from steersman.api.tokens.token_file import StaticTokens
from steersman.model.kind import Document
from steersman.wire.message import Remarked, Request, User

SECRETS = "/api/v1/namespaces/default/secrets"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
SYSTEM = "/api/v1/namespaces/kube-system/secrets"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
NOW = 1_900_000_000.0
JANE = User("jane", ("a", "b"), "u-1")


def static(text: str) -> StaticTokens:
    return StaticTokens(token_file.parse(text))


def test_a_file_names_token_user_uid_and_groups() -> None:
    known = static('one,jane,u-1,"a, b"\n\ntwo,joe,u-2\nthree,jim,u-3,\n')
    assert known.user("one") == JANE
    assert known.user("two") == User("joe", (), "u-2")
    assert known.user("three") == User("jim", (), "u-3")
    assert static('one, "ja\nne", u-1').user("one") == User("ja\nne", (), "u-1")
    assert known.user("four") is None
    assert known.user("") is None


def test_of_equal_tokens_in_a_file_the_last_counts() -> None:
    assert static("one,jane,u-1\none,joe,u-2").user("one") == User("joe", (), "u-2")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "a,b,c\nsecret,jane\n",
            "line 2: must have at least 3 columns (token, user name, user uid), found 2",
        ),
        (",jane,u-1", "line 1: the token is empty"),
        ('a,b,c\nsecret,b,c,"d\n', "line 2: unexpected end of data"),
        ('"a"b,c,d', "line 1: ',' expected after '\"'"),
        ("x" * (token_file.MOST_BYTES + 1), f"more than {token_file.MOST_BYTES} bytes"),
    ],
)
def test_a_file_that_cannot_be_is_refused_by_line_without_its_tokens(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        token_file.parse(text)
    assert str(raised.value) == why


def test_who_knows_a_token_first_decides_and_its_user_is_authenticated() -> None:
    cluster = Cluster()
    own = cluster.tokens.issue("ci", ACCOUNT, seconds=600)
    both = Bearers(cluster.tokens, [static(f"{own},jane,u-1")], [static("x,joe,u-2")])
    assert both.verify(own).user == User("jane", ("system:authenticated",), "u-1")
    assert both.verify("x").user.name == "joe"
    assert Bearers(cluster.tokens).verify(own).user.name == "system:serviceaccount:ci:builder"
    someone = User("x", ("system:authenticated",))
    assert authenticated(someone) is someone


def test_a_token_without_audiences_is_for_the_server_alone() -> None:
    bearers = Bearers(Cluster().tokens, [static("one,jane,u-1")], [static("two,joe,u-2")])
    assert bearers.verify("one", ["vault", ISSUER]).audiences == (ISSUER,)
    assert bearers.verify("two").audiences == (ISSUER,)
    for token in ("one", "two"):
        with pytest.raises(InvalidToken):
            bearers.verify(token, ["vault"])


def bootstrap(**changes: Any) -> Document:
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        **{key.replace("_", "-"): value for key, value in changes.items()},
    }
    encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in data.items()}
    return {"metadata": {"name": "bootstrap-token-abcdef"}, "type": TYPE, "data": encoded}


TYPE = "bootstrap.kubernetes.io/token"
TOKEN = "abcdef.0123456789abcdef"


def let_in(document: Document, secret: str = "0123456789abcdef") -> User | None:
    return bootstrap_tokens.decide(document, "abcdef", secret, NOW)


def test_a_bootstrap_token_is_in_its_groups() -> None:
    assert let_in(bootstrap()) == User("system:bootstrap:abcdef", ("system:bootstrappers",))
    extra = "system:bootstrappers:b,,system:bootstrappers:a:x"
    found = let_in(bootstrap(auth_extra_groups=extra))
    assert found is not None
    assert found.groups == (
        "system:bootstrappers",
        "system:bootstrappers:a:x",
        "system:bootstrappers:b",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"token_id": "abcdeg"},
        {"token_secret": "0123456789abcdeg"},
        {"usage_bootstrap_authentication": "false"},
        {"usage_bootstrap_authentication": ""},
        {"auth_extra_groups": "system:masters"},
        {"auth_extra_groups": "system:bootstrappers:x,system:bootstrappers:"},
        {"expiration": "2030-03-17T17:46:40Z"},  # this very second
        {"expiration": "2030-03-17T17:46:39+00:00"},
        {"expiration": "2099-01-01T00:00:00"},
        {"expiration": "tomorrow"},
    ],
)
def test_a_bootstrap_token_that_is_not_whole_and_current_lets_nobody_in(changes: Any) -> None:
    assert let_in(bootstrap(**changes)) is None


def test_a_bootstrap_token_is_good_until_it_expires() -> None:
    assert let_in(bootstrap(expiration="2030-03-17T17:46:41Z")) is not None


def test_a_bootstrap_token_of_another_type_or_going_lets_nobody_in() -> None:
    assert let_in({**bootstrap(), "type": "Opaque"}) is None
    going = bootstrap()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert let_in(going) is None
    assert let_in({**bootstrap(), "data": {"token-secret": "%"}}) is None


async def review(api: Served, token: str, **spec: Any) -> Document:
    found = await api.post(REVIEWS, {"spec": {"token": token, **spec}})
    status: Document = found.ok()["status"]
    return status


@served
async def test_a_bootstrap_token_is_known_while_its_secret_is_there(api: Served) -> None:
    made = bootstrap(auth_extra_groups="system:bootstrappers:kubeadm")
    (await api.post(SYSTEM, made)).ok()
    status = await review(api, TOKEN)
    assert status["authenticated"]
    assert status["user"] == {
        "username": "system:bootstrap:abcdef",
        "groups": [
            "system:bootstrappers",
            "system:bootstrappers:kubeadm",
            "system:authenticated",
        ],
    }
    for other in ("abcdeg.0123456789abcdef", TOKEN + "0", "ABCDEF.0123456789abcdef", TOKEN[:-1]):
        assert "authenticated" not in await review(api, other)
    (await api.delete(f"{SYSTEM}/bootstrap-token-abcdef")).ok()
    assert await review(api, TOKEN) == {"user": {}, "error": "invalid bearer token"}


def legacy(name: str = "old", account: str = "builder") -> Document:
    annotations = {legacy_tokens.ACCOUNT_NAME: account}
    metadata = {"name": name, "annotations": annotations}
    return {"metadata": metadata, "type": "kubernetes.io/service-account-token"}


async def filled(api: Served, name: str = "old") -> Document:
    async with asyncio.timeout(5):
        while True:
            found = (await api.get(f"{SECRETS}/{name}")).ok()
            if "token" in (found.get("data") or {}):
                return found
            await api.world.sleep(0.01)


async def gone(api: Served, name: str = "old") -> None:
    async with asyncio.timeout(5):
        while (await api.get(f"{SECRETS}/{name}")).code != 404:
            await api.world.sleep(0.01)


def token_of(secret: Document) -> str:
    return base64.b64decode(secret["data"]["token"]).decode()


@served
async def test_a_secret_is_given_the_token_of_its_account(api: Served) -> None:
    account = (await api.post(ACCOUNTS, {"metadata": {"name": "builder"}})).ok()
    (await api.post(SECRETS, legacy())).ok()
    secret = await filled(api)
    uid = account["metadata"]["uid"]
    assert secret["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == uid
    assert base64.b64decode(secret["data"]["namespace"]) == b"default"
    assert "ca.crt" not in secret["data"]  # this server was given no authority
    status = await review(api, token_of(secret))
    assert status["user"] == {
        "username": "system:serviceaccount:default:builder",
        "uid": uid,
        "groups": [
            "system:serviceaccounts",
            "system:serviceaccounts:default",
            "system:authenticated",
        ],
    }
    assert status["audiences"] == [ISSUER]
    headers = {"authorization": f"Bearer {token_of(secret)}"}
    who = api.assembly.access.identify(Request("GET", "/api", headers=headers))
    assert who.name == "system:serviceaccount:default:builder"


@served
async def test_the_token_of_a_secret_ends_with_the_secret_or_its_content(api: Served) -> None:
    (await api.post(ACCOUNTS, {"metadata": {"name": "builder"}})).ok()
    (await api.post(SECRETS, legacy())).ok()
    token = token_of(await filled(api))
    path = f"{SECRETS}/old"
    (await api.patch(path, invalid("2026-01-01"))).ok()
    why = (
        "[invalid bearer token, the token in secret default/old for service account "
        "default/builder has been marked invalid. Use tokens from the TokenRequest API or manually "
        "created secret-based tokens, or remove the 'kubernetes.io/legacy-token-invalid-since' "
        "label from the secret to temporarily allow use of this token]"
    )
    assert (await review(api, token))["error"] == why
    (await api.patch(path, {"metadata": {"labels": None}})).ok()
    other = base64.b64encode(b"x").decode()
    (await api.patch(path, {"data": {"token": other}})).ok()
    why = "[invalid bearer token, Token does not match server's copy]"
    assert (await review(api, token))["error"] == why
    (await api.delete(path)).ok()
    why = "[invalid bearer token, Token has been invalidated]"
    assert (await review(api, token))["error"] == why


def last_used(secret: Document) -> str | None:
    labels = secret["metadata"].get("labels") or {}
    found: str | None = labels.get(legacy_tracking.LAST_USED)
    return found


@served
async def test_a_secret_says_on_which_day_its_token_was_used(api: Served) -> None:
    (await api.post(ACCOUNTS, {"metadata": {"name": "builder"}})).ok()
    (await api.post(SECRETS, legacy())).ok()
    secret = await filled(api)
    assert last_used(secret) is None
    day = datetime.fromtimestamp(api.world.now(), UTC).date()
    for _ in range(2):
        assert (await review(api, token_of(secret)))["authenticated"]
        await api.world.sleep(1)
    used = (await api.get(f"{SECRETS}/old")).ok()
    assert last_used(used) == day.isoformat()
    before = used["metadata"]["resourceVersion"]
    assert (await review(api, token_of(secret)))["authenticated"]
    await api.world.sleep(1)
    assert (await api.get(f"{SECRETS}/old")).revision == before
    await api.world.sleep(86_400)
    (await api.patch(f"{SECRETS}/old", invalid("2026-01-01"))).ok()
    assert "authenticated" not in await review(api, token_of(secret))
    await api.world.sleep(1)
    noted = (await api.get(f"{SECRETS}/old")).ok()
    assert last_used(noted) == str(day + timedelta(days=1))
    assert noted["metadata"]["labels"][legacy_tokens.INVALID_SINCE] == "2026-01-01"
    await api.world.sleep(5 * 86_400)
    later = {"metadata": {"labels": {legacy_tracking.LAST_USED: str(day + timedelta(days=7))}}}
    (await api.patch(f"{SECRETS}/old", later)).ok()  # another server's clock
    await review(api, token_of(secret))
    await api.world.sleep(1)
    assert last_used((await api.get(f"{SECRETS}/old")).ok()) == str(day + timedelta(days=7))
    await api.world.sleep(5 * 86_400)
    assert "authenticated" not in await review(api, token_of(secret)[:-2])
    await api.world.sleep(1)
    assert last_used((await api.get(f"{SECRETS}/old")).ok()) == str(day + timedelta(days=7))


@served
async def test_who_uses_a_token_that_was_made_by_itself_is_warned(api: Served) -> None:
    account = {"metadata": {"name": "builder"}, "secrets": [{"name": "old"}]}
    (await api.post(ACCOUNTS, account)).ok()
    for name in ("old", "asked-for"):
        (await api.post(SECRETS, legacy(name))).ok()
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"kind": "ClusterRole", "name": "edit", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "ServiceAccount", "name": "builder", "namespace": "default"}],
    }
    root = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    (await api.post(root, binding)).ok()

    async def told(name: str, path: str = SECRETS) -> str | None:
        headers = {"authorization": f"Bearer {token_of(await filled(api, name))}"}
        user = api.assembly.access.identify(Request("GET", path, headers=headers))
        answer = await api.get(path, user=user)
        assert answer.code == 200
        return (answer.headers or {}).get("Warning")

    wanted = (
        '299 - "Use tokens from the TokenRequest API or manually created secret-based tokens '
        'instead of auto-generated secret-based tokens."'
    )
    assert await told("old") == wanted
    assert await told("asked-for") is None


def invalid(since: str) -> Document:
    return {"metadata": {"labels": {legacy_tokens.INVALID_SINCE: since}}}


def test_a_day_that_another_server_noted_already_is_not_noted_again() -> None:
    now = datetime(2026, 3, 1, 23, 59, tzinfo=UTC).timestamp()
    noted = {
        day: legacy_tracking.is_noted(
            {"metadata": {"labels": {legacy_tracking.LAST_USED: day}}}, now
        )
        for day in ("2026-02-28", "2026-03-01", "2026-03-02", "2026-03-03", "x")
    }
    assert [day for day, said in noted.items() if said] == ["2026-03-01", "2026-03-02"]


def test_since_when_the_use_of_tokens_is_noted_is_kept_where_it_is_a_day() -> None:
    now = datetime(2026, 3, 1, 23, 59, tzinfo=UTC).timestamp()
    made = legacy_tracking.render_tracking(None, now)
    assert made == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": "kube-system", "name": legacy_tracking.NAME},
        "data": {"since": "2026-03-01"},
    }
    assert legacy_tracking.render_tracking({**made, "data": {"since": "2020-02-29"}}, now) is None
    for wrong in ({}, {"since": ""}, {"since": "2021-02-29"}, {"since": "yesterday"}):
        labelled = {**made, "metadata": {"labels": {"a": "b"}}, "data": {**wrong, "k": "v"}}
        found = legacy_tracking.render_tracking(labelled, now)
        assert found == {**labelled, "data": {"k": "v", "since": "2026-03-01"}}


@served
async def test_a_config_map_says_since_when_the_use_of_tokens_is_noted(api: Served) -> None:
    path = f"/api/v1/namespaces/kube-system/configmaps/{legacy_tracking.NAME}"
    await api.world.sleep(1)
    made = (await api.get(path)).ok()
    first = str(datetime.fromtimestamp(api.world.now(), UTC).date())
    assert made["data"] == {"since": first}
    await api.world.sleep(3 * 86_400)
    (await api.patch(path, {"data": {"since": "2026-02-02", "a": "b"}})).ok()
    await api.world.sleep(1)
    assert (await api.get(path)).ok()["data"] == {"since": "2026-02-02", "a": "b"}
    now = str(datetime.fromtimestamp(api.world.now(), UTC).date())
    (await api.patch(path, {"data": {"since": "long ago"}})).ok()
    await api.world.sleep(1)
    assert (await api.get(path)).ok()["data"] == {"since": now, "a": "b"}
    (await api.delete(path)).ok()
    await api.world.sleep(1)
    assert (await api.get(path)).ok()["data"] == {"since": now}


@served
async def test_the_secret_of_an_account_goes_with_it(api: Served) -> None:
    (await api.post(SECRETS, legacy("early"))).ok()
    await gone(api, "early")
    (await api.post(ACCOUNTS, {"metadata": {"name": "builder"}})).ok()
    (await api.post(SECRETS, legacy())).ok()
    token = token_of(await filled(api))
    (await api.delete(f"{ACCOUNTS}/builder")).ok()
    await gone(api)
    assert "authenticated" not in await review(api, token)


def secret_of(account: str = "uid-1", **annotations: str) -> Document:
    named = {legacy_tokens.ACCOUNT_NAME: "builder", legacy_tokens.ACCOUNT_UID: account}
    return {"metadata": {"name": "s", "namespace": "ci", "annotations": {**named, **annotations}}}


BUILDER = {"metadata": {"name": "builder", "namespace": "ci", "uid": "uid-1"}}


def test_a_secret_belongs_to_the_account_it_was_made_for() -> None:
    assert legacy_tokens.is_of(secret_of(), BUILDER)
    assert legacy_tokens.is_of(secret_of(""), BUILDER)
    assert not legacy_tokens.is_of(secret_of("uid-2"), BUILDER)
    assert not legacy_tokens.is_of(secret_of(), None)


def test_a_filled_secret_stays_as_it_is_but_for_another_authority() -> None:
    first = legacy_tokens.fill(secret_of(), BUILDER, "CA", lambda _claims: "signed")
    assert first is not None
    assert {key: base64.b64decode(value) for key, value in first["data"].items()} == {
        "ca.crt": b"CA",
        "namespace": b"ci",
        "token": b"signed",
    }
    assert legacy_tokens.fill(first, BUILDER, "CA", lambda _claims: "again") is None
    unmarked = {**first, "metadata": {**first["metadata"], "annotations": {}}}
    assert legacy_tokens.fill(unmarked, BUILDER, "CA", lambda _claims: "again") is not None
    second = legacy_tokens.fill(first, BUILDER, "other", lambda _claims: "again")
    assert second is not None
    assert base64.b64decode(second["data"]["token"]) == b"signed"


@pytest.mark.parametrize(
    ("account", "why"),
    [
        (None, 'serviceaccounts "builder" not found'),
        (
            {**BUILDER, "metadata": {**BUILDER["metadata"], "deletionTimestamp": "now"}},
            "ServiceAccount ci/builder has been deleted",
        ),
        (
            {**BUILDER, "metadata": {**BUILDER["metadata"], "uid": "uid-2"}},
            "ServiceAccount UID (uid-2) does not match claim (uid-1)",
        ),
    ],
)
def test_a_token_of_a_secret_ends_with_its_account(account: Document | None, why: str) -> None:
    tokens, used = Cluster().tokens, []
    secret = legacy_tokens.fill(secret_of(), BUILDER, "", tokens.sign)
    assert secret is not None
    found = {"secrets": secret, "serviceaccounts": account}
    knows = LegacyTokens(tokens, lambda ref: found[ref.kind.plural], used.append)
    with pytest.raises(InvalidToken) as raised:
        knows.user(token_of(secret))
    assert str(raised.value) == why
    assert used == []
    found["serviceaccounts"] = {**BUILDER, "secrets": [{"name": "other"}, {"name": "s"}]}
    assert isinstance(knows.user(token_of(secret)), Remarked)
    assert used == [secret]
    secret["metadata"]["deletionTimestamp"] = "now"
    with pytest.raises(InvalidToken, match="Token has been invalidated"):
        knows.user(token_of(secret))


WHOLE = legacy_tokens.claims_of(secret_of(), BUILDER)
CLAIM = "kubernetes.io/serviceaccount/"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"sub": ""}, "sub claim is missing"),
        ({CLAIM + "namespace": ""}, "namespace claim is missing"),
        ({CLAIM + "secret.name": ""}, "secretName claim is missing"),
        ({CLAIM + "service-account.name": ""}, "serviceAccountName claim is missing"),
        ({CLAIM + "service-account.uid": ""}, "serviceAccountUID claim is missing"),
        ({"sub": "system:serviceaccount:ci:other"}, "sub claim is invalid"),
    ],
)
def test_claims_of_such_a_token_are_whole(changed: Document, why: str) -> None:
    assert legacy_tokens.read(WHOLE) == ("ci", "s", "builder", "uid-1")
    with pytest.raises(InvalidToken) as raised:
        legacy_tokens.read({**WHOLE, **changed})
    assert str(raised.value) == why
