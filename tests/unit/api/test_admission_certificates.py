"""Who may approve and sign requests for certificates, and which nobody may make."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from test_admission_plugins import JANE, may

from authorities import certificate, request
from served import MERGE, Answer, Served, served
from steersman.model.kind import Document

REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
APPROVED = {"type": "Approved", "status": "True", "reason": "R"}
FAILED = {"type": "Failed", "status": "True", "reason": "R"}
CLIENT = "kubernetes.io/kube-apiserver-client"


async def asked(api: Served, signer: str = "a.b/s", *groups: str) -> Answer:
    spec = {
        "request": request("x", groups=groups),
        "signerName": signer,
        "usages": ["client auth"],
    }
    return await api.post(REQUESTS, {"metadata": {"name": "x"}, "spec": spec})


def signer(verb: str, name: str) -> Document:
    group = "certificates.k8s.io"
    return {
        "apiGroups": [group],
        "resources": ["signers"],
        "resourceNames": [name],
        "verbs": [verb],
    }


async def writing(api: Served, rule: Document) -> None:
    """Lets somebody write all about requests, and what a rule says of signers."""
    kinds = {"apiGroups": ["certificates.k8s.io"], "verbs": ["*"]}
    named = ["certificatesigningrequests", "certificatesigningrequests/approval"]
    every = {**kinds, "resources": [*named, "certificatesigningrequests/status"]}
    await may(api, "jane", every, rule)


async def decided(api: Served, part: str, **status: Any) -> Answer:
    return await api.patch(f"{REQUESTS}/x/{part}", {"status": status}, MERGE, user=JANE)


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        (signer("approve", "a.b/s"), True),
        (signer("approve", "a.b/*"), True),
        (signer("approve", "a.b/other"), False),
        (signer("sign", "a.b/s"), False),
    ],
)
def test_who_approves_may_approve_for_the_signer(rule: Document, allowed: bool) -> None:
    @served
    async def test(api: Served) -> None:
        await writing(api, rule)
        (await asked(api)).ok()
        answer = await decided(api, "approval", conditions=[APPROVED])
        if allowed:
            assert answer.ok()["status"]["conditions"][0]["type"] == "Approved"
            return
        assert answer.code == 403
        assert answer.message == (
            'certificatesigningrequests.certificates.k8s.io "x" is forbidden: user not permitted '
            'to approve requests with signerName "a.b/s"'
        )

    test()


@pytest.mark.parametrize("rule", [signer("sign", "a.b/s"), signer("sign", "a.b/*")])
def test_who_signs_may_sign_for_the_signer(rule: Document) -> None:
    @served
    async def test(api: Served) -> None:
        await writing(api, rule)
        (await asked(api)).ok()
        (await api.patch(f"{REQUESTS}/x/approval", {"status": {"conditions": [APPROVED]}})).ok()
        signed = base64.b64encode(certificate("x").encode()).decode()
        found = (await decided(api, "status", certificate=signed)).ok()
        assert found["status"]["certificate"] == signed

    test()


@served
async def test_who_may_not_sign_changes_neither_certificate_nor_conditions(api: Served) -> None:
    await writing(api, signer("approve", "a.b/s"))
    (await asked(api)).ok()
    (await decided(api, "approval", conditions=[APPROVED])).ok()
    signed = base64.b64encode(certificate("x").encode()).decode()
    for status in {"certificate": signed}, {"conditions": [APPROVED, FAILED]}:
        answer = await decided(api, "status", **status)
        assert answer.code == 403
        assert answer.message == (
            'certificatesigningrequests.certificates.k8s.io "x" is forbidden: user not permitted '
            'to sign requests with signerName "a.b/s"'
        )
    (await decided(api, "status")).ok()  # what changes nothing needs no right
    labels = {"metadata": {"labels": {"a": "b"}}}
    (await api.patch(f"{REQUESTS}/x", labels, MERGE, user=JANE)).ok()


@served
async def test_nobody_becomes_an_administrator_by_a_certificate(api: Served) -> None:
    answer = await asked(api, CLIENT, "dev", "system:masters")
    assert answer.code == 403
    assert answer.message == (
        'certificatesigningrequests.certificates.k8s.io "x" is forbidden: use of '
        f"{CLIENT} signer with system:masters group is not allowed"
    )
    (await asked(api, CLIENT, "dev")).ok()
    (await api.delete(f"{REQUESTS}/x")).ok()
    (await asked(api, "a.b/s", "system:masters")).ok()
