"""Servers in front of this one, which name the user in headers."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from test_access_rbac import rbac
from test_access_tokens import Cluster

from served import Served, served
from steersman.api.access.authentication import Authenticator
from steersman.api.access.authorization import Masters, Union
from steersman.api.access.front_proxy import FrontProxy, document
from steersman.api.tokens.bearers import Bearers
from steersman.model.errors import Unauthorized
from steersman.wire.message import Peer, Request, User

KEY, STRANGER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
START = datetime(2026, 1, 1, tzinfo=UTC)


def certificate(
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey = KEY, *, pem: bool = False
) -> bytes:
    subject, above = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer)
    )
    built = (
        x509.CertificateBuilder(above, subject, KEY.public_key(), x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM if pem else serialization.Encoding.DER
    return built.public_bytes(form)


def show(_context: ssl.SSLContext) -> None:
    raise AssertionError("nothing is shown here")


CA = certificate("front-proxy-ca", "front-proxy-ca", pem=True).decode()
PROXY = certificate("front-proxy-client", "front-proxy-ca")
HEADERS = {
    "x-remote-user": "jane",
    "x-remote-group": "a\nb",
    "x-remote-uid": "u-1",
    "x-remote-extra-example.com%2fscope": "x\ny",
}
JANE = User("jane", ("a", "b", "system:authenticated"), "u-1", {"example.com/scope": ("x", "y")})


def identify(peer: Peer, headers: dict[str, str]) -> User:
    authenticator = Authenticator(
        Bearers(Cluster().tokens), Union(Masters(), rbac()), FrontProxy(CA, show)
    )
    return authenticator.identify(Request("GET", "/api", headers=headers, peer=peer))


def test_a_front_proxy_names_the_user_of_each_request() -> None:
    peer = Peer(certificate=PROXY)
    assert identify(peer, HEADERS) == JANE
    assert peer.identity, "it is known who is behind the connection"
    assert identify(peer, {"x-remote-user": "joe"}) == User("joe", ("system:authenticated",))


@pytest.mark.parametrize(
    ("shown", "headers"),
    [
        (PROXY, {}),
        (PROXY, {"x-remote-group": "a"}),
        (certificate("somebody", "front-proxy-ca"), HEADERS),
        (b"no certificate", HEADERS),
    ],
    ids=["no user", "a group alone", "another name", "what cannot be read"],
)
def test_who_is_let_in_by_that_authority_is_a_front_proxy_or_nobody(
    shown: bytes, headers: dict[str, str]
) -> None:
    with pytest.raises(Unauthorized):
        identify(Peer(certificate=shown), headers)


@pytest.mark.parametrize(
    "shown",
    [
        certificate("front-proxy-client", "kubernetes"),
        certificate("front-proxy-client", "front-proxy-ca", STRANGER),
    ],
    ids=["the cluster's authority", "a stranger of that name"],
)
def test_others_are_who_their_certificate_says_whatever_the_headers(shown: bytes) -> None:
    assert identify(Peer(certificate=shown), HEADERS).name == "front-proxy-client"


def test_without_a_certificate_headers_name_nobody() -> None:
    assert identify(Peer(), HEADERS).name == "system:anonymous"


def test_servers_behind_read_by_whom_users_and_this_server_are_known() -> None:
    made = document("CLIENTS", "FRONT")
    assert made["metadata"] == {
        "name": "extension-apiserver-authentication",
        "namespace": "kube-system",
    }
    assert made["data"] == {
        "client-ca-file": "CLIENTS",
        "requestheader-allowed-names": '["front-proxy-client"]',
        "requestheader-client-ca-file": "FRONT",
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-uid-headers": '["X-Remote-Uid"]',
        "requestheader-username-headers": '["X-Remote-User"]',
    }


@served
async def test_a_server_without_a_front_proxy_publishes_none(api: Served) -> None:
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    assert (await api.get(path)).code == 404
