"""Requests for certificates: who is approved by itself, what is signed, and when requests go."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography.x509 import DNSName, GeneralName, IPAddress, RFC822Name
from cryptography.x509 import UniformResourceIdentifier as URI
from tests.unit.model.test_kinds_check_pod_certificates import document
from views import NOW, decoded, time

from authorities import certificate, request
from controlled import conditions, controlled
from served import Served, served
from steersman.controllers import certificate_cleaner, certificate_request
from steersman.controllers.certificate_approving import (
    OTHER,
    SELF,
    CertificateApprovingController,
    is_open,
    plan,
    recognize,
)
from steersman.controllers.certificate_cleaner import CertificateCleanerController
from steersman.controllers.certificate_request import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    LEGACY,
    Asked,
)
from steersman.controllers.certificate_signing import (
    Order,
    awaits_signature,
    decide,
    decide_seconds,
    with_signer,
)
from steersman.controllers.pod_certificate_cleaner import PodCertificateCleanerController
from steersman.model.kinds.certificatesigningrequest import (
    CERTIFICATESIGNINGREQUEST,
    CertificateSigningRequest,
)
from steersman.reconcile.actions import Delete
from steersman.wire.message import User

REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
NODE = "system:node:one"
NODES = ("system:nodes",)
AS_CLIENT = ("client auth", "digital signature")
AS_SERVER = ("digital signature", "key encipherment", "server auth")
CONDITION = ("type", "status", "reason", "message")
SELF_MESSAGE = "Auto approving self kubelet client certificate after SubjectAccessReview."
OTHER_MESSAGE = "Auto approving kubelet client certificate after SubjectAccessReview."


def view(signer: str = CLIENT, usages: Sequence[str] = AS_CLIENT, **spec: Any) -> Any:
    document = {
        "metadata": {"name": "x", "uid": "u", "resourceVersion": "7"},
        "spec": {"request": request("x"), "signerName": signer, "usages": usages, **spec},
    }
    return decoded(document, CertificateSigningRequest)


def body(name: str = "x", signer: str = CLIENT, **spec: Any) -> dict[str, Any]:
    given = {"request": request("somebody"), "signerName": signer, "usages": AS_CLIENT, **spec}
    return {"metadata": {"name": name}, "spec": given}


def of_node(user: str = NODE) -> dict[str, Any]:
    return body(signer=KUBELET_CLIENT, request=request(user, groups=NODES))


ADDRESS = IPAddress(ip_address("10.0.0.1"))
NODE_NAMES: tuple[GeneralName, ...] = (DNSName("one.example.com"), ADDRESS)


def test_what_is_asked_for_is_read_from_the_request() -> None:
    pem = b64decode(request(NODE, groups=("a", "b"), names=(*NODE_NAMES, URI("spiffe://x"))))
    asked = Asked(NODE, ("a", "b"), ("one.example.com",), ("10.0.0.1",), (), ("spiffe://x",))
    assert certificate_request.read(pem) == asked
    mail = b64decode(request("", names=(RFC822Name("a@example.com"),)))
    assert certificate_request.read(mail) == Asked(emails=("a@example.com",))
    with pytest.raises(ValueError, match="PEM block type must be CERTIFICATE REQUEST"):
        certificate_request.read(certificate("x").encode())


ORGANIZATION = "subject organization is not system:nodes"
NAME = "subject common name does not begin with system:node:"
CLIENT_USAGES = "usages did not match [client auth digital signature key encipherment]"
SERVER_USAGES = "usages did not match [digital signature key encipherment server auth]"


@pytest.mark.parametrize(
    ("signer", "asked", "usages", "problem"),
    [
        (CLIENT, Asked("x"), ("client auth",), ""),
        (CLIENT, Asked("x"), (*AS_CLIENT, "key encipherment"), ""),
        (CLIENT, Asked("x", ("any",), ("a.b",)), AS_CLIENT, ""),
        (
            CLIENT,
            Asked("x"),
            ("client auth", "server auth"),
            "invalid usage for client certificate: server auth",
        ),
        (
            CLIENT,
            Asked("x"),
            ("digital signature",),
            "missing required usage for client certificate: client auth",
        ),
        (KUBELET_CLIENT, Asked(NODE, NODES), AS_CLIENT, ""),
        (KUBELET_CLIENT, Asked(NODE, NODES), (*AS_CLIENT, "key encipherment"), ""),
        (KUBELET_CLIENT, Asked(NODE), AS_CLIENT, ORGANIZATION),
        (KUBELET_CLIENT, Asked(NODE, (*NODES, "more")), AS_CLIENT, ORGANIZATION),
        (KUBELET_CLIENT, Asked("one", NODES), AS_CLIENT, NAME),
        (KUBELET_CLIENT, Asked(NODE, NODES), ("client auth",), CLIENT_USAGES),
        (
            KUBELET_CLIENT,
            Asked(NODE, NODES, dns_names=("a",)),
            AS_CLIENT,
            "DNS subjectAltNames are not allowed",
        ),
        (
            KUBELET_CLIENT,
            Asked(NODE, NODES, emails=("a",)),
            AS_CLIENT,
            "Email subjectAltNames are not allowed",
        ),
        (
            KUBELET_CLIENT,
            Asked(NODE, NODES, addresses=("a",)),
            AS_CLIENT,
            "IP subjectAltNames are not allowed",
        ),
        (
            KUBELET_CLIENT,
            Asked(NODE, NODES, uris=("a",)),
            AS_CLIENT,
            "URI subjectAltNames are not allowed",
        ),
        (KUBELET_SERVING, Asked(NODE, NODES, addresses=("a",)), AS_SERVER, ""),
        (
            KUBELET_SERVING,
            Asked(NODE, NODES, dns_names=("a",)),
            ("digital signature", "server auth"),
            "",
        ),
        (KUBELET_SERVING, Asked(NODE, dns_names=("a",)), AS_SERVER, ORGANIZATION),
        (
            KUBELET_SERVING,
            Asked(NODE, NODES),
            AS_SERVER,
            "DNS or IP subjectAltName is required",
        ),
        (KUBELET_SERVING, Asked(NODE, NODES, dns_names=("a",)), AS_CLIENT, SERVER_USAGES),
        (KUBELET_SERVING, Asked("one", NODES, dns_names=("a",)), AS_SERVER, NAME),
        (
            KUBELET_SERVING,
            Asked(NODE, NODES, dns_names=("a",), emails=("b",)),
            AS_SERVER,
            "Email subjectAltNames are not allowed",
        ),
        (
            KUBELET_SERVING,
            Asked(NODE, NODES, dns_names=("a",), uris=("b",)),
            AS_SERVER,
            "URI subjectAltNames are not allowed",
        ),
        (LEGACY, Asked(), ("cert sign",), ""),
    ],
)
def test_each_signer_has_its_rules(
    signer: str, asked: Asked, usages: tuple[str, ...], problem: str
) -> None:
    found = decide(view(signer, usages), asked, 1000)
    content = certificate_request.content(view().spec.request)
    assert found == (problem or Order(content, usages, 1000))


@pytest.mark.parametrize(
    ("asked", "seconds"), [(None, 5000), (5001, 5000), (5000, 5000), (601, 601), (1, 600)]
)
def test_a_certificate_is_good_as_long_as_was_asked_within_bounds(
    asked: int | None, seconds: int
) -> None:
    assert decide_seconds(asked, 5000) == seconds
    order = decide(view(expirationSeconds=asked), Asked("x"), 5000)
    assert isinstance(order, Order)
    assert order.seconds == seconds


def kept(*types: str, ago: float = 60.0, issued: str = "", born: float = 100.0) -> Any:
    """Returns a request; its conditions were written `ago`, it was made `born` seconds ago."""
    one = {"status": "True", "lastUpdateTime": time(ago)}
    status = {"conditions": [{"type": it, **one} for it in types]}
    if issued:
        status["certificate"] = b64encode(issued.encode()).decode()  # type: ignore[assignment]
    metadata = {"name": "x", "uid": "u", "resourceVersion": "7", "creationTimestamp": time(born)}
    spec = {"signerName": CLIENT}
    document = {"metadata": metadata, "spec": spec, "status": status}
    return decoded(document, CertificateSigningRequest)


def test_only_what_nobody_decided_is_approved_and_what_was_said_of_it_stays() -> None:
    assert is_open(kept()) and is_open(kept("Failed"))
    for found in (kept("Approved"), kept("Denied"), kept(issued="x")):
        assert not is_open(found)
    patch = plan(kept("Failed"), OTHER)
    assert (patch.subresource, patch.uid, patch.revision) == ("approval", "u", 7)
    assert isinstance(patch.patch, dict)
    assert conditions(patch.patch, *CONDITION) == [
        ("Failed", "True", None, None),
        ("Approved", "True", "AutoApproved", OTHER_MESSAGE),
    ]


def test_what_was_approved_is_signed_once_and_not_after_a_failure() -> None:
    assert awaits_signature(kept("Approved"))
    for found in (
        kept(),
        kept("Approved", "Denied"),
        kept("Approved", "Failed"),
        kept("Approved", issued="x"),
    ):
        assert not awaits_signature(found)


def test_a_kubelet_may_ask_for_itself_or_for_another_node() -> None:
    asked = Asked(NODE, NODES)
    assert recognize(view(KUBELET_CLIENT, username=NODE), asked) == (SELF, OTHER)
    assert recognize(view(KUBELET_CLIENT, username="bootstrap"), asked) == (OTHER,)
    assert recognize(view(KUBELET_CLIENT, username="x"), Asked("x")) == ()
    assert recognize(view(KUBELET_SERVING, username=NODE), asked) == ()


RBAC = "rbac.authorization.k8s.io"
ROLES, BINDINGS = (f"/apis/{RBAC}/v1/{it}" for it in ("clusterroles", "clusterrolebindings"))
ASKING = ("asking", "system:authenticated")


async def bound(api: Served, role: str, group: str = "asking") -> None:
    """Binds a ClusterRole to a group."""
    document = {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": group}],
    }
    (await api.post(BINDINGS, document)).ok()


async def granted(api: Served, subresource: str) -> None:
    """Binds upstream's role of the subresource to those who ask."""
    await bound(api, f"system:certificates.k8s.io:certificatesigningrequests:{subresource}")


async def requested(api: Served, name: str, document: dict[str, Any]) -> dict[str, Any]:
    """Asks as somebody and returns what became of it some seconds later."""
    await bound(api, "system:node-bootstrapper")
    (await api.post(REQUESTS, document, user=User(name, ASKING))).ok()
    await api.world.sleep(5)
    return (await api.get(f"{REQUESTS}/x")).ok()


@pytest.mark.parametrize(
    ("subresource", "user", "message"),
    [
        ("selfnodeclient", NODE, SELF_MESSAGE),
        ("nodeclient", NODE, OTHER_MESSAGE),
        ("nodeclient", "bootstrap", OTHER_MESSAGE),
        ("selfnodeclient", "bootstrap", ""),
    ],
)
@served
async def test_a_kubelets_request_is_approved_for_who_may(
    api: Served, subresource: str, user: str, message: str
) -> None:
    await granted(api, subresource)
    async with controlled(api, CertificateApprovingController):
        found = await requested(api, user, of_node())
        approved = [("Approved", "True", "AutoApproved", message)]
        assert conditions(found, *CONDITION) == (approved if message else [])


@served
async def test_a_right_that_is_granted_later_is_found(api: Served) -> None:
    async with controlled(api, CertificateApprovingController):
        assert conditions(await requested(api, NODE, of_node()), "type") == []
        await granted(api, "nodeclient")
        await api.world.sleep(60)
        found = (await api.get(f"{REQUESTS}/x")).ok()
        assert conditions(found, "type") == [("Approved",)]


class Seen:
    """A signer that notes what it is given."""

    def __init__(self) -> None:
        self.orders: list[tuple[bytes, tuple[str, ...], int]] = []

    def sign(self, request: bytes, usages: Sequence[str], seconds: int) -> bytes:
        self.orders.append((request, tuple(usages), seconds))
        return certificate("signed").encode()


def decision(kind: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": kind, "status": "True", "reason": "Test"}]}}


async def decided(api: Served, document: dict[str, Any], kind: str = "Approved") -> dict[str, Any]:
    """Asks, has an administrator decide, and returns what became of it."""
    (await api.post(REQUESTS, document)).ok()
    path = f"{REQUESTS}/{document['metadata']['name']}"
    if kind:
        (await api.patch(f"{path}/approval", decision(kind))).ok()
    await api.world.sleep(5)
    return (await api.get(path)).ok()


@served
async def test_an_approved_request_gets_its_certificate_once(api: Served) -> None:
    signer = Seen()
    async with controlled(api, with_signer(signer, 7200)):
        assert "certificate" not in (await decided(api, body("open"), ""))["status"]
        assert "certificate" not in (await decided(api, body("no"), "Denied"))["status"]
        other = await decided(api, body("other", signer="example.com/s"))
        assert "certificate" not in other["status"]
        assert signer.orders == []
        found = await decided(api, body(expirationSeconds=3600))
        assert b64decode(found["status"]["certificate"]) == certificate("signed").encode()
        content = certificate_request.content(b64decode(request("somebody")))
        assert signer.orders == [(content, AS_CLIENT, 3600)]
        (await api.patch(f"{REQUESTS}/x", {"metadata": {"labels": {"a": "b"}}})).ok()
        await api.world.sleep(5)
        assert len(signer.orders) == 1


@served
async def test_what_a_signer_does_not_sign_is_marked_as_failed(api: Served) -> None:
    signer = Seen()
    async with controlled(api, with_signer(signer)):
        found = await decided(api, body(usages=["client auth", "server auth"]))
        assert conditions(found, *CONDITION)[1:] == [
            (
                "Failed",
                "True",
                "SignerValidationFailure",
                "invalid usage for client certificate: server auth",
            )
        ]
        assert conditions(found, "type")[0] == ("Approved",)
        assert "certificate" not in found["status"] and signer.orders == []


HOUR, DAY = 3600.0, 86_400.0


def test_a_request_is_kept_as_long_as_somebody_may_look_for_it() -> None:
    at = certificate_cleaner.expires_at
    assert at(kept()) == NOW - 100 + DAY
    assert at(kept("Denied")) == NOW - 60 + HOUR
    assert at(kept("Failed")) == NOW - 60 + HOUR
    assert at(kept("Approved")) == NOW - 60 + DAY
    assert at(kept("Approved", "Failed")) == NOW - 60 + HOUR
    assert at(kept("Other")) is None


def test_a_request_whose_certificate_has_ended_goes() -> None:
    ended = 1_704_153_600.0  # authorities.certificate: one day from 2024-01-01
    assert certificate_cleaner.expires_at(kept("Approved", issued=certificate("x"))) == ended
    assert certificate_cleaner.expires_at(kept("Denied", issued=certificate("x"))) > ended


def test_a_request_is_deleted_as_it_is() -> None:
    ref = CERTIFICATESIGNINGREQUEST.ref("", "x")
    assert certificate_cleaner.plan(kept()) == Delete(ref, "u", 7)


@served
async def test_requests_go_by_themselves(api: Served) -> None:
    async with controlled(api, CertificateCleanerController):
        for name in ("open", "denied"):
            (await api.post(REQUESTS, body(name))).ok()
        await api.world.sleep(600)
        (await api.patch(f"{REQUESTS}/denied/approval", decision("Denied"))).ok()
        await api.world.sleep(HOUR - 1)
        assert (await api.get(REQUESTS)).names == ["denied", "open"]
        await api.world.sleep(2)
        assert (await api.get(REQUESTS)).names == ["open"]
        await api.world.sleep(DAY - HOUR - 600 - 5)
        assert (await api.get(REQUESTS)).names == ["open"]
        await api.world.sleep(10)
        assert (await api.get(REQUESTS)).names == []


POD_REQUESTS = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests"


@served
async def test_requests_of_pods_go_after_a_quarter_of_an_hour_whatever_became_of_them(
    api: Served,
) -> None:
    async with controlled(api, PodCertificateCleanerController):
        begun = {**document(), "metadata": {"name": "first"}}
        (await api.post(POD_REQUESTS, begun)).ok()
        await api.world.sleep(600)
        (await api.post(POD_REQUESTS, {**document(), "metadata": {"name": "second"}})).ok()
        await api.world.sleep(299)
        assert (await api.get(POD_REQUESTS)).names == ["first", "second"]
        await api.world.sleep(2)
        assert (await api.get(POD_REQUESTS)).names == ["second"]


MASTERS_MESSAGE = (
    'certificatesigningrequests.certificates.k8s.io "x" is forbidden: use of '
    "kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
)


@served
async def test_nobody_asks_the_signer_of_clients_for_an_administrator(api: Served) -> None:
    masters = request("root", groups=("system:masters",))
    refused = await api.post(REQUESTS, body(request=masters))
    assert (refused.code, refused.message) == (403, MASTERS_MESSAGE)
    assert (await api.post(REQUESTS, body(request=masters, signer="a.b/c"))).code == 201


@pytest.mark.parametrize(
    ("subresource", "verb", "change"),
    [
        ("approval", "approve", decision("Approved")),
        ("status", "sign", decision("Failed")),
        (
            "status",
            "sign",
            {"status": {"certificate": b64encode(certificate("x").encode()).decode()}},
        ),
    ],
    ids=["approve", "fail", "sign"],
)
@served
async def test_who_decides_or_signs_needs_the_right_on_the_signer(
    api: Served, subresource: str, verb: str, change: dict[str, Any]
) -> None:
    (await api.post(REQUESTS, body())).ok()
    writes = {
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["certificatesigningrequests/approval", "certificatesigningrequests/status"],
        "verbs": ["get", "patch", "update"],
    }
    (await api.post(ROLES, {"metadata": {"name": "decider"}, "rules": [writes]})).ok()
    await bound(api, "decider")
    path, user = f"{REQUESTS}/x/{subresource}", User("decider", ASKING)
    refused = await api.patch(path, change, user=user)
    assert (refused.code, refused.message) == (
        403,
        'certificatesigningrequests.certificates.k8s.io "x" is forbidden: user not permitted to '
        f'{verb} requests with signerName "kubernetes.io/kube-apiserver-client"',
    )
    if subresource == "status":  # what changes nothing needs no right
        same = {"metadata": {"labels": {}}}
        assert (await api.patch(path, same, user=user)).code == 200
    for name in ("example.com/*", "kubernetes.io/*"):
        assert (await api.patch(path, change, user=user)).code == 403
        signers = {
            "apiGroups": ["certificates.k8s.io"],
            "resources": ["signers"],
            "resourceNames": [name],
            "verbs": [verb],
        }
        (await api.patch(f"{ROLES}/decider", {"rules": [writes, signers]})).ok()
    assert (await api.patch(path, change, user=user)).code == 200
