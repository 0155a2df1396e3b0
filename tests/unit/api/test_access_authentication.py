"""Who asks: certificates, tokens, nobody, somebody else."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as some
from test_access_rbac import binding, rbac, role, rule, user
from test_access_tokens import ACCOUNT, Cluster

from steersman.api.access.authentication import ANONYMOUS, Authenticator, certificate_user
from steersman.api.access.authorization import Masters, Union
from steersman.api.tokens.bearers import Bearers
from steersman.model.errors import BadRequest, Forbidden, Unauthorized
from steersman.model.kind import Document
from steersman.wire import der, websocket
from steersman.wire.message import Peer, Request, User

KEY = ec.generate_private_key(ec.SECP256R1())
USER_ID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")


def certificate(*parts: tuple[x509.ObjectIdentifier, str], issuer: str = "ca") -> bytes:
    name = x509.Name([x509.NameAttribute(kind, text) for kind, text in parts])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .sign(KEY, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.DER)


CN, ORGANIZATION = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME
ADMIN = certificate((ORGANIZATION, "one"), (ORGANIZATION, "two"), (CN, "jane"), (USER_ID, "u-1"))


def asks(
    headers: dict[str, str] | None = None,
    *,
    der: bytes | None = None,
    peer: Peer | None = None,
    user: User | None = None,
) -> Request:
    peer = peer or Peer(certificate=der)
    return Request("GET", "/api", headers=headers or {}, peer=peer, user=user)


def authenticator(cluster: Cluster | None = None, *rules: Document) -> Authenticator:
    return Authenticator(Bearers((cluster or Cluster()).tokens), Union(Masters(), rbac(*rules)))


def test_other_headers_of_a_known_connection_are_looked_at() -> None:
    peer, plain = Peer(certificate=ADMIN), {"accept": "x"}
    masters = Authenticator(Bearers(Cluster().tokens), Union(Masters(), rbac()))
    assert [masters.identify(asks(plain, peer=peer)).name for _ in range(2)] == ["jane"] * 2
    with pytest.raises(Forbidden):
        masters.identify(asks({"impersonate-user": "x"}, peer=peer))
    token = {"authorization": "Bearer x"}
    stranger = Peer()
    for _ in range(2):
        with pytest.raises(Unauthorized):
            masters.identify(asks(token, peer=stranger))


def test_a_certificate_names_its_user_groups_and_uid() -> None:
    found = authenticator().identify(asks(der=ADMIN))
    fingerprint = hashlib.sha256(ADMIN).hexdigest()
    assert found == User(
        "jane",
        ("one", "two", "system:authenticated"),
        "u-1",
        {"authentication.kubernetes.io/credential-id": (f"X509SHA256={fingerprint}",)},
    )


REMOTE = {"x-remote-user": "system:kube-scheduler", "x-remote-group": "one, two\nthree"}


def test_headers_over_the_servers_own_socket_name_the_user_and_its_groups() -> None:
    request = asks(REMOTE, peer=Peer("unix", local=True))
    expected = User("system:kube-scheduler", ("one, two", "three", "system:authenticated"))
    assert authenticator().identify(request) == expected
    named_alone = asks({"x-remote-user": "jane"}, peer=Peer("unix", local=True))
    assert authenticator().identify(named_alone) == User("jane", ("system:authenticated",))
    twice = {"x-remote-user": "jane", "x-remote-group": "system:authenticated\na\na"}
    found = authenticator().identify(asks(twice, peer=Peer("unix", local=True)))
    assert found.groups == ("system:authenticated", "a")


@pytest.mark.parametrize("peer", [Peer(), Peer("unix"), Peer("127.0.0.1", certificate=None)])
def test_headers_that_name_a_user_are_nothing_over_tcp(peer: Peer) -> None:
    assert authenticator().identify(asks(REMOTE, peer=peer)) == ANONYMOUS


def test_headers_that_name_a_user_do_not_change_whom_a_certificate_names() -> None:
    found = authenticator().identify(asks(REMOTE, peer=Peer("192.0.2.1", certificate=ADMIN)))
    assert (found.name, found.groups) == ("jane", ("one", "two", "system:authenticated"))


@pytest.mark.parametrize("headers", [{}, {"x-remote-user": ""}, {"x-remote-group": "one"}])
def test_the_servers_own_socket_alone_makes_nobody_somebody(headers: dict[str, str]) -> None:
    assert authenticator().identify(asks(headers, peer=Peer("unix", local=True))) == ANONYMOUS


def test_who_is_named_by_headers_needs_the_right_to_act_as_somebody_else() -> None:
    headers = {"x-remote-user": "jane", "impersonate-user": "admin"}
    with pytest.raises(Forbidden):
        authenticator().identify(asks(headers, peer=Peer("unix", local=True)))


def test_a_certificate_is_read_once_per_connection() -> None:
    peer = Peer(certificate=ADMIN)
    who = authenticator()
    first = who.identify(asks(peer=peer))
    peer.certificate = b"something else"
    assert who.identify(asks(peer=peer)) is first


def test_a_certificate_without_a_common_name_names_nobody() -> None:
    der = certificate((ORGANIZATION, "one"))
    peer = Peer(certificate=der)
    assert authenticator().identify(asks(peer=peer)) == ANONYMOUS
    assert authenticator().identify(asks(peer=peer)) == ANONYMOUS


def test_names_are_read_in_every_encoding_and_the_last_common_name_counts() -> None:
    name = "jürgen-日本"
    found = certificate_user(certificate((CN, "first"), (CN, name), issuer="x" * 64))
    assert found is not None
    assert found.name == name
    country = certificate((NameOID.COUNTRY_NAME, "DE"), (CN, "de"))
    assert der.subject(country) == der.Subject("de", (), "")


@given(some.data())
def test_a_broken_certificate_is_an_error_and_nothing_worse(data: some.DataObject) -> None:
    raw = bytearray(ADMIN)
    cut = data.draw(some.integers(0, len(raw)))
    for _ in range(data.draw(some.integers(0, 3))):
        raw[data.draw(some.integers(0, len(raw) - 1))] = data.draw(some.integers(0, 255))
    try:
        der.subject(bytes(raw[:cut]))
    except ValueError:
        with pytest.raises(Unauthorized):
            certificate_user(bytes(raw[:cut]))


def test_a_bearer_token_names_its_account() -> None:
    cluster = Cluster()
    token = cluster.tokens.issue("ci", ACCOUNT, seconds=600)
    who = authenticator(cluster)
    for header in (f"Bearer {token}", f"bearer  {token} "):
        found = who.identify(asks({"authorization": header}))
        assert found.name == "system:serviceaccount:ci:builder"


def in_protocols(*protocols: str) -> dict[str, str]:
    offered = {"sec-websocket-protocol": ", ".join(protocols)}
    return {"connection": "Upgrade", "upgrade": "websocket", **offered}


def hidden(token: bytes) -> str:
    return f"{websocket.BEARER}{urlsafe_b64encode(token).decode().rstrip('=')}"


def test_a_browser_shows_its_token_among_the_subprotocols_of_a_websocket() -> None:
    cluster = Cluster()
    token = hidden(cluster.tokens.issue("ci", ACCOUNT, seconds=600).encode())
    who, shown = authenticator(cluster), in_protocols("v5.channel.k8s.io", token)
    assert who.identify(asks(shown)).name == "system:serviceaccount:ci:builder"
    assert websocket.offered(shown) == ["v5.channel.k8s.io"]
    passed_on = websocket.without_bearer(shown)
    assert passed_on["sec-websocket-protocol"] == "v5.channel.k8s.io"
    assert who.identify(asks({**shown, "upgrade": "SPDY/3.1"})) == ANONYMOUS
    nonsense, broken = hidden(b"nonsense"), hidden(b"\xff")
    for protocols in ([token], [token, token, "x"], ["x", nonsense], ["x", broken]):
        with pytest.raises(Unauthorized):
            who.identify(asks(in_protocols(*protocols)))
    for ending in ("=", "a+/b", "a"):
        with pytest.raises(Unauthorized):
            who.identify(asks(in_protocols("x", f"{websocket.BEARER}{ending}")))


def test_a_token_shows_that_a_connection_is_somebodys_and_holds_for_its_request_alone() -> None:
    cluster = Cluster()
    token = cluster.tokens.issue("ci", ACCOUNT, seconds=600)
    peer = Peer()
    who = authenticator(cluster)
    assert who.identify(asks(peer=peer)) == ANONYMOUS
    assert not peer.identity
    assert who.identify(asks({"authorization": f"Bearer {token}"}, peer=peer)) != ANONYMOUS
    assert peer.identity
    assert who.identify(asks(peer=peer)) == ANONYMOUS


def test_a_bad_token_is_unauthorized_even_where_nobody_may_ask() -> None:
    with pytest.raises(Unauthorized) as raised:
        authenticator().identify(asks({"authorization": "Bearer nonsense"}))
    assert raised.value.message == "Unauthorized"


def test_a_certificate_goes_before_a_token() -> None:
    found = authenticator().identify(asks({"authorization": "Bearer nonsense"}, der=ADMIN))
    assert found.name == "jane"


def test_who_shows_nothing_is_anonymous() -> None:
    for headers in ({}, {"authorization": "Basic abc"}, {"authorization": "Bearer "}):
        found = authenticator().identify(asks(headers))
        assert found.name == "system:anonymous"
        assert found.groups == ("system:unauthenticated",)


def test_the_in_process_client_brings_its_user() -> None:
    scheduler = User("system:kube-scheduler")
    assert authenticator().identify(asks(der=ADMIN, user=scheduler)) is scheduler


ROOT = User("root", ("system:masters",))


def acts(headers: dict[str, str], user: User = ROOT, *rules: Document) -> User:
    return authenticator(None, *rules).identify(asks(headers, user=user))


def test_an_administrator_may_act_as_anybody() -> None:
    found = acts(
        {
            "impersonate-user": "joe",
            "impersonate-group": "a, b\nc",
            "impersonate-uid": "7",
            "impersonate-extra-example.com%2fscope": "read\nwrite",
        }
    )
    assert found == User(
        "joe", ("a, b", "c", "system:authenticated"), "7", {"example.com/scope": ("read", "write")}
    )


def test_acting_as_an_account_brings_its_groups() -> None:
    found = acts({"impersonate-user": "system:serviceaccount:ci:builder"})
    assert found.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:ci",
        "system:authenticated",
    )
    own = acts({"impersonate-user": "system:serviceaccount:ci:builder", "impersonate-group": "x"})
    assert own.groups == ("x", "system:authenticated")


def test_a_header_that_names_nobody_leaves_who_one_is() -> None:
    assert acts({"impersonate-nothing": "joe"}) == ROOT
    assert acts({"impersonate-user": ""}) == ROOT


def test_acting_as_nobody_is_not_authenticated() -> None:
    assert acts({"impersonate-user": "system:anonymous"}).groups == ("system:unauthenticated",)
    asked = {"impersonate-user": "joe", "impersonate-group": "system:unauthenticated"}
    assert acts(asked).groups == ("system:unauthenticated",)


def impersonator(*rules: Document) -> tuple[Document, ...]:
    one = role("impersonator", *rules)
    return one, binding("b", one, user("jane"))


JANE = User("jane")
AUTH = "authentication.k8s.io"


@pytest.mark.parametrize(
    ("headers", "granted", "refusal"),
    [
        ({"impersonate-group": ""}, rule("impersonate", "core", "groups"), "users "),
        (
            {"impersonate-group": "g"},
            rule("impersonate", "core", "groups", "g"),
            'groups "g" is forbidden: User "jane" cannot impersonate resource "groups" in API '
            'group "" at the cluster scope',
        ),
        (
            {"impersonate-uid": "7"},
            rule("impersonate", AUTH, "uids", "7"),
            'uids.authentication.k8s.io "7" is forbidden',
        ),
        (
            {"impersonate-extra-scope": "read"},
            rule("impersonate", AUTH, "userextras/scope", "read"),
            'userextras.authentication.k8s.io "read" is forbidden',
        ),
    ],
)
def test_every_part_of_another_identity_needs_the_verb(
    headers: dict[str, str], granted: Document, refusal: str
) -> None:
    name = "system:node:joe"  # with more than this name no newer mode is for a node
    asked = {"impersonate-user": name, **headers}
    users = rule("impersonate", "core", "users", name)
    assert acts(asked, JANE, *impersonator(users, granted)).name == name
    given = () if refusal == "users " else impersonator(users)
    with pytest.raises(Forbidden) as raised:
        acts(asked, JANE, *given)
    assert raised.value.message.startswith(refusal)


def test_acting_as_an_account_asks_in_its_namespace() -> None:
    asked = {"impersonate-user": "system:serviceaccount:ci:builder"}
    one = role(
        "impersonator",
        rule("impersonate", "core", "serviceaccounts"),
        rule("impersonate", "core", "groups"),
    )
    here = (one, binding("b", one, user("jane"), namespace="ci"))
    assert acts(asked, JANE, *here).name == "system:serviceaccount:ci:builder"
    there = (one, binding("b", one, user("jane"), namespace="other"))
    with pytest.raises(Forbidden) as raised:
        acts(asked, JANE, *there)
    refusal = 'forbidden: User "jane" cannot impersonate-on:serviceaccount:get path "/api"'
    assert raised.value.message == refusal
    with pytest.raises(Forbidden) as raised:
        acts({**asked, "impersonate-group": "g"}, JANE, *there)
    assert raised.value.message.startswith('serviceaccounts "builder" is forbidden')


def test_parts_of_an_identity_without_a_name_are_an_error() -> None:
    for name in ("impersonate-group", "impersonate-uid", "impersonate-extra-a"):
        with pytest.raises(BadRequest) as raised:
            acts({name: "x"})
        assert raised.value.message.endswith(" without impersonating a user name")
    with pytest.raises(BadRequest) as raised:
        acts({"impersonate-group": "g\nh", "impersonate-uid": "7", "impersonate-extra-a": "b\nc"})
    assert raised.value.message == (
        'requested &user.DefaultInfo{Name:"", UID:"7", Groups:[]string{"g", "h"}, '
        'Extra:map[string][]string{"a":[]string{"b", "c"}}} without impersonating a user name'
    )
